"""What kubeconfigs say, and what is said of those that are wrong."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from svcc.agent.api_server.access import Access, ClientSettings, FileOrData, in_cluster
from svcc.agent.api_server.kubeconfig import access_of
from svcc.grammar.errors import InputError

KUBEADM = """\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://10.0.0.1:6443
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
"""
"""As kubeadm writes it for kube-proxy (cmd/kubeadm/app/phases/addons/proxy/manifests.go)."""

SEVERAL = """\
current-context: two
contexts:
- {name: one, context: {cluster: a, user: him}}
- {name: two, context: {cluster: b, user: me}}
clusters:
- {name: a, cluster: {server: "https://a:6443"}}
- name: b
  cluster:
    server: https://b:6443/prefix/
    certificate-authority: pki/ca.crt
    tls-server-name: kubernetes.default
    proxy-url: http://proxy:3128
    disable-compression: true
users:
- {name: him, user: {token: wrong}}
- name: me
  user:
    client-certificate: pki/me.crt
    client-key: pki/me.key
    token: mine
"""


def read(path: Path, text: str, server: str = "") -> Access:
    path.write_text(text)
    return access_of(ClientSettings(str(path), server))


def test_what_kubeadm_writes_for_kube_proxy(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig.conf"
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert read(path, KUBEADM) == Access(
        source=str(path),
        server="https://10.0.0.1:6443",
        ca=FileOrData(f"{account}/ca.crt"),
        token_file=f"{account}/token",
        files=(str(path),),
    )


def test_the_current_context_of_several(tmp_path: Path) -> None:
    path = tmp_path / "k"
    assert read(path, SEVERAL) == Access(
        source=str(path),
        server="https://b:6443/prefix",
        ca=FileOrData(str(tmp_path / "pki/ca.crt")),
        server_name="kubernetes.default",
        proxy="http://proxy:3128",
        is_compressed=False,
        certificate=FileOrData(str(tmp_path / "pki/me.crt")),
        key=FileOrData(str(tmp_path / "pki/me.key")),
        token="mine",
        files=(str(path),),
    )


def test_data_counts_before_files(tmp_path: Path) -> None:
    ca = base64.b64encode(b"-----BEGIN").decode()
    text = SEVERAL.replace("certificate-authority: pki/ca.crt", f"certificate-authority-data: {ca}")
    assert read(tmp_path / "k", text).ca == FileOrData("", b"-----BEGIN")
    both = SEVERAL.replace(
        "certificate-authority: pki/ca.crt",
        f"certificate-authority: no\n    certificate-authority-data: {ca}",
    )
    assert read(tmp_path / "k", both).ca == FileOrData("", b"-----BEGIN")


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("https://elsewhere:6443", "https://elsewhere:6443"),
        ("https://elsewhere:6443/", "https://elsewhere:6443"),
        ("localhost:8080", "http://localhost:8080"),
    ],
)
def test_another_server_may_be_given(tmp_path: Path, given: str, server: str) -> None:
    access = read(tmp_path / "k", SEVERAL, given)
    assert access.server == server
    assert access.token == "mine"
    assert access_of(ClientSettings("", given)) == Access(source="the command line", server=server)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("current-context: two", "current-context: three", "1:18: error: current-context: there is "
         "no context 'three'"),
        ("current-context: two\n", "", "error: current-context is missing"),
        ("cluster: b, user: me", "cluster: c, user: me", "there is no cluster 'c' among clusters"),
        ("cluster: b, user: me", "cluster: b, user: z", "there is no user 'z' among users"),
        ("cluster: b, user: me", "user: me", "contexts[1].context: cluster is missing"),
        ("    server: https://b:6443/prefix/\n", "", "clusters[1].cluster: server is missing"),
        ("https://b:6443/prefix/", "b:6443", "9:13: error: clusters[1].cluster.server: 'b:6443' "
         "is no URL; write https://HOST:PORT"),
        ("http://proxy:3128", "socks5://proxy:1080", "'socks5://proxy:1080' is not usable"),
        ("name: one,", "name: two,", "contexts[1].name: 'two' is there twice"),
        ("certificate-authority: pki/ca.crt", "certificate-authority-data: '%'", "is no base64"),
        ("certificate-authority: pki/ca.crt", "insecure-skip-tls-verify: 1", "a boolean"),
        ("tls-server-name: kubernetes.default", "insecure-skip-tls-verify: true",
         "insecure-skip-tls-verify: with a certificate-authority there is no sense in it"),
        ("    client-key: pki/me.key\n", "", "client-certificate without client-key"),
        ("    client-certificate: pki/me.crt\n", "", "client-key without client-certificate"),
        ("token: mine", "token: 17", "users[1].user.token:"),
        ("token: mine", "auth-provider: {name: gcp}", "is no more, as in kubectl since 1.26"),
        ("token: mine", "as: root", "svcc acts as nobody else"),
        ("token: mine", "exec: {}", "apiVersion '' is not known"),
        ("token: mine", "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}",
         "'client.authentication.k8s.io/v1alpha1' is not known"),
        ("token: mine", "exec: {apiVersion: client.authentication.k8s.io/v1}", "command is miss"),
        ("token: mine", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, "
         "interactiveMode: Always}", "nobody is there to be asked"),
        ("users:", "users: 3\nothers:", "users:"),
        ("users:", "users: [", "error:"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SEVERAL
    path = tmp_path / "k"
    with pytest.raises(InputError) as caught:
        read(path, SEVERAL.replace(old, new, 1))
    text = str(caught.value)
    assert message in text
    assert text.startswith(str(path))
    assert "mine" not in text


@pytest.mark.parametrize("text", ["", "[]", "a", "---\na: 1\n---\nb: 2\n", "\0"])
def test_what_is_no_kubeconfig(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError):
        read(tmp_path / "k", text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"k: error: cannot read: No such file"):
        access_of(ClientSettings(str(tmp_path / "k")))


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    assert "mine" not in repr(read(tmp_path / "k", SEVERAL))


def test_a_pod_has_a_service_account(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(InputError, match="automountServiceAccountToken"):
        in_cluster(environment, tmp_path)
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("c")
    assert in_cluster(environment, tmp_path) == Access(
        source="the service account",
        server="https://[fd00::1]:443",
        ca=FileOrData(str(tmp_path / "ca.crt")),
        token_file=str(tmp_path / "token"),
    )
    with pytest.raises(InputError, match="give a kubeconfig"):
        in_cluster({}, tmp_path)

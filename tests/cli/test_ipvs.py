"""The command line in ipvs mode: what is written where, and what a kernel without IPVS gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.command import Done, svcc, svcc_process
from tests.support.kernel.namespace import missing, namespace
from tests.support.programs import random_ipvs as ipvs

SHOP = ("-f", "examples/shop", "--config", "examples/shop/config.yaml", "--mode", "ipvs")
FILES = {
    "addresses.batch",
    "bundle.json",
    "ip6tables.rules",
    "ipset.rules",
    "iptables.rules",
    "ipvsadm.rules",
}


def test_a_bundle_is_whole_the_same_each_time_and_proved(tmp_path: Path) -> None:
    for name in ("one", "other"):
        done = svcc_process("compile", *SHOP, "-o", str(tmp_path / name))
        assert (done.code, done.out) == (0, ""), done.err
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    manifest = json.loads((tmp_path / "one" / "bundle.json").read_text())
    assert manifest["mode"] == "ipvs"
    assert set(manifest["files"]) == FILES - {"bundle.json"}
    assert manifest["sysctls"]["net.ipv4.vs.conntrack"] == "1"
    done = svcc("verify", *SHOP, "--rules", str(tmp_path / "one"))
    assert done.code == 0, done.out


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    svcc("compile", *SHOP, "-o", str(tmp_path / "b"))
    given = []
    for number, name in enumerate(sorted(FILES - {"bundle.json"})):
        path = tmp_path / f"file{number}"
        path.write_text((tmp_path / "b" / name).read_text())
        given += ["--rules", str(path)]
    done = svcc("verify", *SHOP, *given)
    assert done.code == 0, done.out + done.err


def test_a_set_that_was_not_given_leaves_it_undecided(tmp_path: Path) -> None:
    svcc("compile", *SHOP, "-o", str(tmp_path / "b"))
    (tmp_path / "b" / "ipset.rules").unlink()
    done = svcc("verify", *SHOP, "--rules", str(tmp_path / "b"))
    assert done.code == 3, done.out
    assert "sets of IPVS were not given" in done.out


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("ipvsadm.rules", "-A -t 10.96.0.1 -s rr -z", "4:23: error"),
        ("ipvsadm.rules", "-a -t 1.2.3.4:80 -r 10.1.1.1:80 -m", "no virtual server 1.2.3.4:80"),
        ("ipset.rules", "add NOWHERE 10.96.0.1", "no set NOWHERE before this line"),
        ("addresses.batch", "address add 10.96.0 dev x", "is not an IP address"),
    ],
)
def test_exit_2_and_where_the_mistake_is(
    tmp_path: Path, file: str, line: str, message: str
) -> None:
    svcc("compile", *SHOP, "-o", str(tmp_path / "b"))
    path = tmp_path / "b" / file
    path.write_text("# one\n# two\n# three\n" + line + "\n")
    done = svcc("verify", *SHOP, "--rules", str(tmp_path / "b"))
    assert (done.code, done.out) == (2, "")
    assert f"{path}:4:" in done.err
    assert message in done.err


def test_schedulers(tmp_path: Path) -> None:
    service = (ROOT / "examples/classic/clusterip.yaml").read_text()
    path = tmp_path / "objects.yaml"
    path.write_text(
        service.replace(
            "  name: myapp\nspec",
            "  name: myapp\n  annotations: {svcc/ipvs-scheduler: lc}\nspec",
            1,
        )
    )
    done = svcc("compile", "-f", str(path), "--mode", "ipvs", "--ipvs-scheduler", "sh")
    assert "-A -t 10.99.10.103:80 -s lc\n" in done.out
    plain = svcc("compile", "-f", "examples/classic/clusterip.yaml", "--mode", "ipvs",
                 "--ipvs-scheduler", "sh")  # fmt: skip
    assert "-A -t 10.99.10.103:80 -s sh\n" in plain.out
    path.write_text(path.read_text().replace(": lc}", ": fastest}"))
    wrong = svcc("compile", "-f", str(path), "--mode", "ipvs")
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err.startswith(f"{path}:5:"), wrong.err
    assert "fastest" in wrong.err


@pytest.mark.skipif(ipvs.missing() is None, reason="this kernel has IPVS")
def test_a_kernel_without_ipvs_is_said_so() -> None:
    done = svcc("apply", *SHOP, "--dry-run")
    assert (done.code, done.out) == (1, "")
    assert "ipvs mode cannot be used here" in done.err
    assert "nothing was changed" in done.err


@pytest.mark.kernel
@pytest.mark.skipif(ipvs.missing() is None, reason="this kernel has IPVS")
def test_fallback_uses_iptables_mode() -> None:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as node:

        def inside(*arguments: str) -> Done:
            return svcc(*arguments, inside=node)

        before = node.run("iptables-save")
        refused = inside("apply", *SHOP)
        assert refused.code == 1
        assert "ipvs mode cannot be used here" in refused.err
        assert node.run("iptables-save") == before
        assert inside("diff", *SHOP).code == 2
        done = inside("apply", *SHOP, "--fallback")
        assert done.code == 0, done.err
        assert "iptables mode it is" in done.err
        assert "SVCC-SVC-" in node.run("iptables-save")
        assert inside("diff", *SHOP, "--fallback").code == 0

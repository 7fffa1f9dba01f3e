"""kubeconfig files, as client-go reads them.

Source: client-go tools/clientcmd (api/v1/types.go for the fields, client_config.go for which
counts before which, validation.go for what is refused).
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from svcc.agent.api_server.access import Access, ClientSettings, ExecPlugin, FileOrData, in_cluster
from svcc.compiler.load.document import Complaint, Source, problems_of
from svcc.compiler.load.fields import Fields, Report
from svcc.compiler.load.inputs import reason, source_of
from svcc.compiler.load.text import TextError, shorten
from svcc.grammar.errors import InputError, Position, Problem

EXEC_VERSIONS = tuple(f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1"))
_URL = re.compile(r"(https?)://[^\s/]+(?:/\S*)?\Z")
_PROXY = re.compile(r"https?://\S+\Z")
_IMPERSONATION = ("as", "as-uid", "as-groups", "as-user-extra")


def access_of(settings: ClientSettings) -> Access:
    """The access that settings ask for.

    Raises:
        InputError: a file cannot be read, or something in it is wrong.
    """
    if not settings.kubeconfig:
        if not settings.server:
            return in_cluster()
        return Access(source="the command line", server=_given_server(settings.server))
    try:
        source = source_of(settings.kubeconfig, Path(settings.kubeconfig).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            [Problem(Position(settings.kubeconfig), f"cannot read: {reason(error)}")]
        ) from None
    return kubeconfig_access(source, _given_server(settings.server))


def _given_server(text: str) -> str:
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    if not _URL.match(url):
        raise InputError(
            [Problem(Position("--master"), f"{shorten(text)} is no URL; write https://HOST:PORT")]
        )
    return url.rstrip("/")


def kubeconfig_access(source: Source, server: str = "") -> Access:
    """The access of a kubeconfig's current context.

    Args:
        source: the file; paths in it are relative to its folder.
        server: in place of the cluster's, unless empty.

    Raises:
        InputError: something in it is wrong or missing.
    """
    try:
        documents = source.documents()
    except TextError as error:
        position = Position(source.name, error.line, error.column)
        raise InputError([Problem(position, error.message)]) from None
    found = [(number, value) for number, value in enumerate(documents) if value is not None]
    if len(found) != 1 or not isinstance(found[0][1], dict):
        raise InputError([Problem(Position(source.name, 1, 1), "this is no kubeconfig")])
    number, value = found[0]
    complaints: list[Complaint] = []
    report = Report(source, number, complaints)
    reader = _Reader(Fields(value, (), report), Path(source.name).parent)
    access = reader.access(source.name, server)
    if report.errors:
        raise InputError(problems_of(complaints))
    return access


class _Reader:
    def __init__(self, top: Fields, folder: Path) -> None:
        self._top = top
        self._folder = folder

    def access(self, name: str, server: str) -> Access:
        context = self._current_context()
        cluster = user = None
        if context is not None:
            cluster = self._named("clusters", "cluster", context, "cluster")
            if context.has("user"):
                user = self._named("users", "user", context, "user")
        empty = Fields({}, (), Report(Source(name, ""), 0, []))
        where, who = cluster or empty, user or empty
        read = where.read("server", _server) or ""
        if cluster is not None and not read and not server and not where.text("server"):
            where.wrong(None, "server is missing; write server: https://HOST:PORT")
        access = Access(
            source=name,
            server=server or read,
            ca=self._file_or_data(where, "certificate-authority"),
            skip_verify=where.flag("insecure-skip-tls-verify", False),
            server_name=where.text("tls-server-name"),
            proxy=where.read("proxy-url", _proxy) or "",
            is_compressed=not where.flag("disable-compression", False),
            certificate=self._file_or_data(who, "client-certificate"),
            key=self._file_or_data(who, "client-key"),
            token=who.text("token"),
            token_file=self._path(who.text("tokenFile")),
            username=who.text("username"),
            password=who.text("password"),
            exec=self._exec(who, where) if who.has("exec") else None,
            files=(name,),
        )
        self._check(access, where, who)
        return access

    def _current_context(self) -> Fields | None:
        wanted = self._top.text("current-context")
        if not wanted:
            self._top.wrong(
                "current-context" if self._top.has("current-context") else None,
                "current-context is missing, which says whom to ask as whom",
            )
            return None
        if entry := self._entries("contexts").get(wanted):
            return entry.object("context")
        self._top.wrong("current-context", f"there is no context {shorten(wanted)}")
        return None

    def _named(self, listed: str, inner: str, context: Fields, key: str) -> Fields | None:
        wanted = context.text(key)
        if not wanted:
            context.wrong(key if context.has(key) else None, f"{key} is missing")
            return None
        if entry := self._entries(listed).get(wanted):
            return entry.object(inner)
        context.wrong(key, f"there is no {key} {shorten(wanted)} among {listed}")
        return None

    def _entries(self, listed: str) -> dict[str, Fields]:
        found: dict[str, Fields] = {}
        for entry in self._top.objects(listed):
            name = entry.text("name")
            if name in found:
                entry.wrong("name", f"{shorten(name)} is there twice")
            found.setdefault(name, entry)
        return found

    def _path(self, text: str) -> str:
        return str(self._folder / text) if text else ""

    def _file_or_data(self, fields: Fields, key: str) -> FileOrData:
        data = fields.read(f"{key}-data", _decoded) or b""
        return FileOrData("" if data else self._path(fields.text(key)), data)

    def _exec(self, user: Fields, cluster: Fields) -> ExecPlugin:
        fields = user.object("exec")
        version, command = fields.text("apiVersion"), fields.text("command")
        if version not in EXEC_VERSIONS:
            fields.wrong(
                "apiVersion" if fields.has("apiVersion") else None,
                f"apiVersion {shorten(version)} is not known; write {' or '.join(EXEC_VERSIONS)}",
            )
        if not command:
            fields.wrong(None, "command is missing")
        if fields.text("interactiveMode") == "Always":
            fields.wrong("interactiveMode", "nobody is there to be asked; use another credential")
        if "/" in command:
            command = self._path(command)
        return ExecPlugin(
            api_version=version,
            command=command,
            arguments=tuple(fields.texts("args", str)),
            environment={item.text("name"): item.text("value") for item in fields.objects("env")},
            install_hint=fields.text("installHint"),
            cluster=_told(cluster) if fields.flag("provideClusterInfo", False) else None,
        )

    def _check(self, access: Access, cluster: Fields, user: Fields) -> None:
        if access.skip_verify and access.ca:
            cluster.wrong(
                "insecure-skip-tls-verify",
                "with a certificate-authority there is no sense in it; leave one of them out",
            )
        for one, other in (("client-certificate", "client-key"), ("client-key", None)):
            have = access.certificate if one == "client-certificate" else access.key
            missing = access.key if one == "client-certificate" else access.certificate
            if have and not missing:
                user.wrong(None, f"{one} without {other or 'client-certificate'}; give both")
        if user.has("auth-provider"):
            user.wrong("auth-provider", "is no more, as in kubectl since 1.26; use exec")
        for key in _IMPERSONATION:
            if user.has(key):
                user.wrong(key, "svcc acts as nobody else; give it credentials of its own")


def _told(cluster: Fields) -> dict[str, object]:
    """What of a cluster a plugin is told (client.authentication.k8s.io, Cluster)."""
    told: dict[str, object] = {
        key: cluster.raw(key)
        for key in (
            "server",
            "tls-server-name",
            "insecure-skip-tls-verify",
            "certificate-authority-data",
            "proxy-url",
            "disable-compression",
        )
        if cluster.has(key)
    }
    for extension in cluster.objects("extensions"):
        if extension.text("name") == "client.authentication.k8s.io/exec":
            told["config"] = extension.raw("extension")
    return told


def _server(text: str) -> str:
    if not _URL.match(text):
        raise ValueError(f"{shorten(text)} is no URL; write https://HOST:PORT")
    return text.rstrip("/")


def _proxy(text: str) -> str:
    if not _PROXY.match(text):
        raise ValueError(f"{shorten(text)} is not usable; write http://HOST:PORT or https://…")
    return text


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("this is no base64") from None

"""The steps of the Containerfile, taken in a chroot: a layer over the files of this machine.

Without a network nothing is fetched: ``apt-get`` does nothing, since the tools are on this machine,
and pip installs svcc alone. What svcc imports is this machine's.
"""

from __future__ import annotations

import json
import shlex
import sysconfig
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from dockerfile_parse import DockerfileParser

from tests.paths import ROOT

CONTAINERFILE = ROOT / "packaging" / "Containerfile"
_LIBRARIES = "/mnt/libraries"
_SETUPTOOLS = "/mnt/setuptools"
_ENVIRONMENT = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    # pip reads it the other way round: it is the value of the option build-isolation.
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}


@dataclass
class Stage:
    """What one FROM begins."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        """The value of the last instruction of that name."""
        found = [value for name, value in self.steps if name == instruction]
        return found[-1] if found else None

    def command(self, instruction: str) -> list[str]:
        """ENTRYPOINT or CMD, which are lists."""
        value = self.last(instruction)
        found: list[str] = json.loads(value) if value else []
        return found


def stages() -> dict[str, Stage]:
    """The stages by name, in their order."""
    parser = DockerfileParser(fileobj=BytesIO(CONTAINERFILE.read_bytes()))
    found: dict[str, Stage] = {}
    stage = Stage("", "")
    for step in parser.structure:
        name, value = step["instruction"], step["value"]
        if name == "FROM":
            base, _, as_name = value.split()
            stage = found[as_name] = Stage(as_name, base)
        elif name != "COMMENT":
            stage.steps.append((name, value))
    return found


def chain(target: str) -> list[Stage]:
    """A stage and those that it begins from, the first first."""
    known = stages()
    found: list[Stage] = []
    while target in known:
        found.insert(0, known[target])
        target = known[target].base
    return found


def needed(target: str) -> list[Stage]:
    """The stages that have to be built for a target, in order."""
    known, wanted = stages(), {stage.name for stage in chain(target)}
    for name in tuple(wanted):
        for instruction, value in known[name].steps:
            if instruction == "COPY" and "--from=" in value:
                wanted.add(value.split("--from=")[1].split()[0])
    return [stage for stage in known.values() if stage.name in wanted]


def script(target: str, commands: str) -> str:
    """A program of bash that takes all steps, then the commands; ``$root`` is the image's root.

    It wants a mount namespace of its own, whose mounts go with it.
    """
    lines = ["set -euo pipefail", "top=$(mktemp -d)", "mount -t tmpfs svcc-image $top"]
    lines += ["trap 'cd /; umount -R $top; rmdir $top' EXIT", "exec 3>&1 >&2"]
    for stage in needed(target):
        lines += _layer(stage)
        lines += _steps(stage)
    return "\n".join([*lines, f"root=$top/{target}/root", "exec >&3", commands, ""])


def _layer(stage: Stage) -> list[str]:
    below = [f"$top/{other.name}/upper" for other in reversed(chain(stage.name)[:-1])]
    place = f"$top/{stage.name}"
    return [
        f"mkdir -p {place}/upper {place}/work {place}/root",
        f"mount -t overlay overlay -o lowerdir={':'.join([*below, '/'])},"
        f"upperdir={place}/upper,workdir={place}/work {place}/root",
        f"for name in proc dev; do mount --rbind /$name {place}/root/$name; done",
        f"mount -t tmpfs svcc-image {place}/root/tmp && chmod 1777 {place}/root/tmp",
        f"mkdir -p {place}/root{_LIBRARIES} {place}/root{_SETUPTOOLS}",
        f"mount --bind {_site()} {place}/root{_LIBRARIES}",
        f"cp -r {_site()}/setuptools* {_site()}/_distutils_hack {place}/root{_SETUPTOOLS}/",
        # An interpreter in root's home is to be found by other users, too.
        f"chmod 755 {place}/root/root",
        f"mkdir -p {place}/root/usr/local/bin",
        f"printf '#!/bin/sh\\n' >{place}/root/usr/local/bin/apt-get",
        f"chmod 755 {place}/root/usr/local/bin/apt-get",
    ]


def _site() -> str:
    return shlex.quote(sysconfig.get_path("purelib"))


def _steps(stage: Stage) -> list[str]:
    root = f"$top/{stage.name}/root"
    folder, lines = "/", []
    for name, value in stage.steps:
        match name:
            case "WORKDIR":
                folder = value
                lines.append(f"mkdir -p {root}{folder}")
            case "RUN":
                lines.append(chrooted(root, f"cd {folder} && {value}", _SETUPTOOLS))
            case "COPY":
                lines += _copy(root, folder, value)
            case "ENV" | "LABEL" | "USER" | "ENTRYPOINT" | "CMD":
                pass
            case _:
                raise AssertionError(f"{name} is not known here")
    return lines


def chrooted(root: str, command: str, libraries: str = _LIBRARIES) -> str:
    """A line of bash that has ``/bin/sh`` run a command in there."""
    variables = {**_ENVIRONMENT, "PYTHONPATH": libraries}
    environment = " ".join(f"{key}={shlex.quote(value)}" for key, value in variables.items())
    # apt-get is that of /usr/local/bin.
    return (
        f'chroot "{root}" env -i {environment} PATH="/usr/local/bin:$PATH" '
        f"/bin/sh -c {shlex.quote(command)}"
    )


def _copy(root: str, folder: str, value: str) -> list[str]:
    words = value.split()
    source = shlex.quote(str(ROOT))
    if words[0].startswith("--from="):
        source = f"$top/{words.pop(0).removeprefix('--from=')}/root"
    *names, target = words
    place = f"{root}{Path(folder, target)}"
    lines = []
    for name in names:
        here = f"{source}/{name.lstrip('/')}"
        lines.append(
            f"if test -d {here}; then mkdir -p {place}; cp -a {here}/. {place}/; "
            f"else cp -a {here} {place}/; fi"
        )
    return lines

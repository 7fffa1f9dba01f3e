"""svcc status."""

from __future__ import annotations

import argparse
import json
import sys

from svcc.commands.exit_codes import BAD_INPUT, DIFFERENT, OK
from svcc.commands.terminal import coloured, has_colours, say


def add(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="(default: text)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Status."""
    from svcc.api import ApplyError, status
    from svcc.api.loaded.listing import status_json, status_text

    try:
        found = status()
    except ApplyError as error:
        say(f"error: {error}")
        return BAD_INPUT
    if arguments.output == "json":
        json.dump(status_json(found), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        text = status_text(found)
        sys.stdout.write(_in_colours(text) if has_colours(sys.stdout) else text)
    return DIFFERENT if found.drift else OK


def _in_colours(text: str) -> str:
    lines = []
    for line in text.splitlines():
        is_drift = line.startswith(("drift      somebody", "unread", "confirm"))
        is_heading = line.startswith("SERVICE-PORT")
        lines.append(coloured(line, "!" if is_drift else "*") if is_drift or is_heading else line)
    return "".join(f"{line}\n" for line in lines)

"""Colours at terminals only, and not where NO_COLOR is set (https://no-color.org)."""

from __future__ import annotations

import io

import pytest

from svcc.commands.terminal import coloured_diff, coloured_service, has_colours


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_at_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert has_colours(Terminal())
    assert not has_colours(io.StringIO())
    assert not has_colours(None)
    monkeypatch.setenv("TERM", "dumb")
    assert not has_colours(Terminal())


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())
    # It is set only if it is not empty.
    monkeypatch.setenv("NO_COLOR", "")
    assert has_colours(Terminal())


def test_a_diff() -> None:
    text = "--- a\n+++ b\n@@ c\n-d\n+e\n f\n"
    assert coloured_diff(text) == (
        "\033[1m--- a\033[0m\n\033[1m+++ b\033[0m\n\033[36m@@ c\033[0m\n"
        "\033[31m-d\033[0m\n\033[32m+e\033[0m\n f\n"
    )


def test_a_line_for_a_service() -> None:
    line = "shop/web: +10.0.0.1:80 -10.0.0.2:80, frontend +10.96.0.1:80/TCP"
    plain = coloured_service(line)
    assert "\033[32m+10.0.0.1:80\033[0m" in plain
    assert "\033[31m-10.0.0.2:80,\033[0m" in plain
    for code in ("\033[32m", "\033[31m", "\033[0m"):
        plain = plain.replace(code, "")
    assert plain == line

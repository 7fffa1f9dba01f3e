"""Words that ask what becomes of packets: who sends them, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from svcc.grammar.address import Address
from svcc.verify.questions.targets import (
    HOW,
    MAX_PORT,
    NamedTarget,
    QuestionError,
    number,
    read_address,
    read_target,
)
from svcc.verify.simulator.packet import EPHEMERAL_PORT

SenderKind = Literal["outside", "pod", "node"]
KINDS: tuple[SenderKind, ...] = ("outside", "pod", "node")

_KEYS = ("from", "to", "port", "in", "iif", "mark")
_MAX_MARK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked.

    ``sender`` None: every kind of sender. ``in_interface`` None: the usual one of the sender.
    """

    target: NamedTarget
    text: str
    """The target as it was written."""
    sender: SenderKind | Address | None = None
    source_port: int = EPHEMERAL_PORT
    in_interface: str | None = None
    mark: int = 0


def read_question(words: Sequence[str]) -> Question:
    """``WHAT``, or ``[from SENDER] to WHAT [port N] [in INTERFACE] [mark N]``.

    Args:
        words: SENDER is ``pod``, ``outside``, ``node`` or an address; without it a client from
            outside sends the packet. WHAT is what
            :func:`svcc.verify.questions.targets.read_target` takes. ``from`` and the rest may
            stand behind a WHAT without ``to`` too.

    Raises:
        QuestionError: they do not say that.
    """
    if not words:
        raise QuestionError(HOW)
    given: dict[str, str] = {}
    rest = list(words) if words[0] in _KEYS else ["to", *words]
    for word, value in zip(rest[::2], [*rest[1::2], ""], strict=False):
        if word not in _KEYS:
            raise QuestionError(f"{word!r} is not understood")
        if not value:
            raise QuestionError(f"{word!r} needs a value")
        key = "in" if word == "iif" else word
        if key in given:
            raise QuestionError(f"{word!r} is said twice")
        given[key] = value
    if "to" not in given:
        raise QuestionError(f"there is no destination; say to WHAT: {HOW}")
    target = read_target(given["to"])
    if len(words) == 1:
        return Question(target, given["to"])
    return Question(
        target,
        given["to"],
        _sender(given.get("from", "outside")),
        number(given.get("port", str(EPHEMERAL_PORT)), MAX_PORT),
        given.get("in"),
        number(given.get("mark", "0"), _MAX_MARK),
    )


def _sender(text: str) -> SenderKind | Address:
    for kind in KINDS:
        if text == kind:
            return kind
    try:
        return read_address(text.strip("[]"))
    except QuestionError:
        message = f"{text!r} is no sender; say pod, outside, node or an IP address"
        raise QuestionError(message) from None

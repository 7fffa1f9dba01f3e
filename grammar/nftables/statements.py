"""One rule, from its words to its statements (nft(8), STATEMENTS and EXPRESSIONS)."""

from __future__ import annotations

import re
from typing import Literal

from svcc.grammar.address import Address
from svcc.grammar.nftables.fields import field_at
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Anything,
    AnyVerdict,
    Comparison,
    Concatenation,
    Counter,
    DynamicSet,
    Element,
    Expression,
    Field,
    Flags,
    Goto,
    Jhash,
    Jump,
    Limit,
    Log,
    MapLookup,
    Match,
    Nat,
    Notrack,
    Number,
    Numgen,
    Operation,
    Operator,
    OtherStatement,
    Range,
    Reject,
    Rule,
    SetField,
    SetReference,
    Statement,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.values import milliseconds, value

WORDS = re.compile(r'"[^"]*"|[{}(),]|[^\s{}(),"]+')

_OPERATORS: dict[str, Operator] = {
    "&": "&", "|": "|", "^": "^", "<<": "<<", ">>": ">>",
    "and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>",
}  # fmt: skip
_COMPARISONS: dict[str, Comparison] = {
    "==": "==", "!=": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">=",
    "eq": "==", "ne": "!=", "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "!": "!=",
}  # fmt: skip
_VERDICTS: dict[str, Verdict] = {
    "accept": Verdict("accept"), "drop": Verdict("drop"), "continue": Verdict("continue"),
    "return": Verdict("return"),
}  # fmt: skip
_NAT: dict[str, Literal["dnat", "snat", "masquerade", "redirect"]] = {
    "dnat": "dnat", "snat": "snat", "masquerade": "masquerade", "redirect": "redirect",
}  # fmt: skip
_NAT_FLAGS = {"random", "fully-random", "persistent"}
_NAT_FAMILIES: dict[str, Literal["ip", "ip6"]] = {"ip": "ip", "ip6": "ip6"}
_DYNAMIC: dict[str, Literal["add", "update", "delete"]] = {
    "add": "add", "update": "update", "delete": "delete",
}  # fmt: skip
_CARRIED = {"queue", "xt", "flow", "tproxy", "dup", "fwd", "synproxy", "meter", "quota", "last",
            "offload", "reset"}  # fmt: skip
"""Statements that are only carried along, with all that follows in their rule."""
_SET_ONLY = {"ct helper", "ct timeout", "ct expectation", "ct zone", "ct event"}
_LOG_VALUES = {"prefix", "level", "group", "snaplen", "queue-threshold", "flags"}


class RuleError(Exception):
    """Something that nft would not take; ``at`` is the word where it shows."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


def read_rule(text: str) -> Rule:
    """One rule, without its handle.

    Raises:
        RuleError: nft would not take it.
    """
    return _Reader(WORDS.findall(text)).rule()


def read_expression(words: list[str]) -> Expression:
    """An expression that is all of some words, as behind ``typeof``.

    Raises:
        RuleError: it is none.
    """
    reader = _Reader(words)
    found = reader.expression()
    reader.expect_end()
    return found


def read_verdict(words: list[str]) -> AnyVerdict | None:
    """The verdict that some words are, if they are one."""
    if len(words) == 1:
        return _VERDICTS.get(words[0])
    if len(words) == 2 and words[0] in ("jump", "goto"):
        return (Jump if words[0] == "jump" else Goto)(words[1])
    return None


class _Reader:
    """Reads words from left to right."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._at = 0

    # -- words -------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def _next(self) -> str:
        word = self._peek()
        if not word:
            raise RuleError(self._at, "something is missing at the end")
        self._at += 1
        return word

    def _expect(self, wanted: str) -> None:
        if self._peek() != wanted:
            found = self._peek() or "the end"
            raise RuleError(self._at, f"{wanted!r} is expected here, not {found!r}")
        self._at += 1

    def _take(self, wanted: str) -> bool:
        if self._peek() != wanted:
            return False
        self._at += 1
        return True

    def _number(self) -> int:
        word = self._next()
        try:
            found = value(word)
        except ValueError:
            found = None
        if not isinstance(found, Number):
            raise RuleError(self._at - 1, f"a number is expected here, not {word!r}")
        return found.value

    def _time(self) -> int:
        word = self._next()
        try:
            return milliseconds(word)
        except ValueError as error:
            raise RuleError(self._at - 1, str(error)) from None

    def expect_end(self) -> None:
        """Nothing follows."""
        if self._at < len(self._words):
            raise RuleError(self._at, f"{self._peek()!r} is not expected here")

    # -- statements --------------------------------------------------------------------

    def rule(self) -> Rule:
        statements: list[Statement] = []
        comment = None
        while self._at < len(self._words):
            if self._peek() == "comment":
                self._at += 1
                comment = self._next().strip('"')
                self.expect_end()
                break
            statements.append(self._statement())
        return Rule(tuple(statements), comment)

    def _statement(self) -> Statement:
        word = self._peek()
        if word in _VERDICTS:
            self._at += 1
            return _VERDICTS[word]
        if word in ("jump", "goto"):
            self._at += 1
            return (Jump if word == "jump" else Goto)(self._next())
        if word == "counter":
            return self._counter()
        if word in _NAT:
            return self._nat(_NAT[word])
        if word == "reject":
            return self._reject()
        if word == "notrack":
            self._at += 1
            return Notrack()
        if word == "log":
            return self._log()
        if word == "limit":
            return self._limit()
        if word in _DYNAMIC or (word == "set" and self._peek(1) in _DYNAMIC):
            return self._dynamic()
        if word in _CARRIED or " ".join(self._words[self._at : self._at + 2]) in _SET_ONLY:
            return self._carried()
        return self._about_a_field()

    def _counter(self) -> Counter | OtherStatement:
        self._at += 1
        if self._take("name"):
            return OtherStatement(f"counter name {self._next()}")
        if not self._take("packets"):
            return Counter()
        packets = self._number()
        self._expect("bytes")
        return Counter(packets, self._number())

    def _nat(self, kind: Literal["dnat", "snat", "masquerade", "redirect"]) -> Nat:
        self._at += 1
        family = _NAT_FAMILIES.get(self._peek())
        if family is not None:
            self._at += 1
        with_port = False
        if self._peek() in ("addr", "prefix", "interval"):
            if self._peek() != "addr":
                raise RuleError(self._at, f"{kind} {self._peek()} is not known to svcc")
            self._at += 1
            self._expect(".")
            self._expect("port")
            with_port = True
        address: Expression | None = None
        port: Expression | None = None
        if self._take("to"):
            address, port = self._nat_target()
        elif kind in ("dnat", "snat"):
            raise RuleError(self._at, f"{kind} needs 'to' and an address")
        return Nat(kind, family, address, port, self._nat_flags(), with_port)

    def _nat_target(self) -> tuple[Expression | None, Expression | None]:
        word = self._peek()
        found = _address_and_port(word)
        following = self._peek(1)
        if found is not None and following not in (".", "map", *_OPERATORS):
            self._at += 1
            return found
        return self.expression(), None

    def _nat_flags(self) -> tuple[str, ...]:
        flags = []
        while self._peek() in _NAT_FLAGS:
            flags.append(self._next())
            if not self._take(","):
                break
        return tuple(flags)

    def _reject(self) -> Reject:
        self._at += 1
        if not self._take("with"):
            return Reject()
        words = [self._next()]
        if words[0] in ("icmp", "icmpv6", "icmpx", "tcp"):
            if self._peek() == "type":
                self._at += 1
            words.append(self._next())
        return Reject(" ".join(words))

    def _log(self) -> Log:
        start = self._at = self._at + 1
        while self._peek() in _LOG_VALUES:
            self._at += 1
            self._next()
            while self._take(","):
                self._next()
        return Log(" ".join(self._words[start : self._at]))

    def _limit(self) -> Limit | OtherStatement:
        start = self._at = self._at + 1
        if self._take("name"):
            return OtherStatement(f"limit name {self._next()}")
        self._expect("rate")
        self._take("over")
        self._next()
        if self._peek().split("/")[0].endswith("bytes"):
            self._at += 1
        if self._take("burst"):
            self._number()
            self._next()
        return Limit(" ".join(self._words[start : self._at]))

    def _dynamic(self) -> DynamicSet:
        old_form = self._take("set")
        operation = _DYNAMIC[self._next()]
        name = key = None
        if not old_form:
            name = self._set_name()
            self._expect("{")
        key = self.expression()
        timeout = self._time() if self._take("timeout") else None
        while self._peek() in ("counter", "limit", "ct", "quota", "expires"):
            raise RuleError(self._at, f"{self._peek()} in an element is not known to svcc")
        data = self.expression() if self._take(":") else None
        if old_form:
            name = self._set_name()
        else:
            self._expect("}")
        assert name is not None
        return DynamicSet(operation, name, key, timeout, data)

    def _set_name(self) -> str:
        word = self._next()
        if not word.startswith("@"):
            raise RuleError(self._at - 1, f"a set such as @clients is expected, not {word!r}")
        return word[1:]

    def _carried(self) -> OtherStatement:
        start = self._at
        while self._at < len(self._words) and self._peek() != "comment":
            self._at += 1
        return OtherStatement(" ".join(self._words[start : self._at]))

    def _about_a_field(self) -> Statement:
        start = self._at
        left = self.expression()
        if self._take("vmap"):
            return VerdictMap(left, self._set_or_elements())
        if self._take("set"):
            if not isinstance(left, Field):
                raise RuleError(start, "only a field can be set")
            return SetField(left, self.expression())
        operator: Comparison = "=="
        if self._peek() in _COMPARISONS:
            operator = _COMPARISONS[self._next()]
        if self._at >= len(self._words):
            raise RuleError(self._at, "a value to compare with is missing")
        return Match(left, operator, self._right())

    # -- expressions -------------------------------------------------------------------

    def expression(self) -> Expression:
        """What is looked at or calculated."""
        left = self._concatenated()
        while self._peek() in _OPERATORS:
            operator = _OPERATORS[self._next()]
            left = Operation(operator, left, self._concatenated())
        if self._take("map"):
            return MapLookup(left, self._set_or_elements())
        return left

    def _concatenated(self) -> Expression:
        parts = [self._primary()]
        while self._peek() == ".":
            self._at += 1
            parts.append(self._primary())
        return parts[0] if len(parts) == 1 else Concatenation(tuple(parts))

    def _primary(self) -> Expression:
        word = self._peek()
        if word == "(":
            self._at += 1
            inner = self.expression()
            self._expect(")")
            return inner
        if word == "{":
            return self._elements()
        if word == "numgen":
            return self._numgen()
        if word == "jhash":
            return self._jhash()
        if word.startswith("@") and len(word) > 1:
            self._at += 1
            return SetReference(word[1:])
        field = field_at(self._words, self._at) if word else None
        if field is not None:
            name, self._at = field
            return Field(name)
        return self._value()

    def _value(self) -> Expression:
        word = self._next()
        if word == "*":
            return Anything()
        try:
            return value(word)
        except ValueError:
            raise RuleError(
                self._at - 1, f"{word!r} is no field, statement or value that nft knows here"
            ) from None

    def _numgen(self) -> Numgen:
        self._at += 1
        kind = self._next()
        if kind not in ("random", "inc"):
            raise RuleError(self._at - 1, f"numgen is random or inc, not {kind!r}")
        self._expect("mod")
        modulus = self._number()
        offset = self._number() if self._take("offset") else 0
        return Numgen("random" if kind == "random" else "inc", modulus, offset)

    def _jhash(self) -> Jhash:
        self._at += 1
        what = self._concatenated()
        self._expect("mod")
        modulus = self._number()
        seed = self._number() if self._take("seed") else None
        offset = self._number() if self._take("offset") else 0
        return Jhash(what, modulus, seed, offset)

    def _set_or_elements(self) -> SetReference | AnonymousSet:
        if self._peek() == "{":
            return self._elements()
        return SetReference(self._set_name())

    def _elements(self) -> AnonymousSet:
        self._expect("{")
        found = []
        while self._peek() != "}":
            key = self.expression()
            comment = self._next().strip('"') if self._take("comment") else None
            data: Expression | AnyVerdict | None = None
            if self._take(":"):
                data = self._data()
            found.append(Element(key, data, comment))
            if not self._take(","):
                break
        self._expect("}")
        return AnonymousSet(tuple(found))

    def _data(self) -> Expression | AnyVerdict:
        for length in (1, 2):
            verdict = read_verdict(self._words[self._at : self._at + length])
            if verdict is not None:
                self._at += length
                return verdict
        return self.expression()

    def _right(self) -> Expression:
        found = self.expression()
        if self._peek() != ",":
            return found
        members = [found]
        while self._take(","):
            members.append(self._concatenated())
        return Flags(tuple(members))


_PORTS = re.compile(r"\d{1,5}(?:-\d{1,5})?")


def _address_and_port(word: str) -> tuple[Expression | None, Expression | None] | None:
    """``10.0.0.1:80``, ``[fd00::1]:80``, ``10.0.0.1-10.0.0.9``, ``:80-90``; None: none of them."""
    address_text, colon, port_text = word, "", ""
    if word.startswith("[") or word.count(":") == 1:
        address_text, colon, port_text = word.rpartition(":")
        if word.endswith("]"):
            address_text, colon, port_text = word, "", ""
    if colon and not _PORTS.fullmatch(port_text):
        return None
    port = value(port_text) if colon else None
    if not address_text:
        return (None, port) if colon else None
    try:
        address = value(_unbracketed(address_text))
    except ValueError:
        return None
    is_address = isinstance(address, Address) or (
        isinstance(address, Range) and isinstance(address.first, Address)
    )
    return (address, port) if is_address else None


def _unbracketed(text: str) -> str:
    return text.replace("[", "").replace("]", "")

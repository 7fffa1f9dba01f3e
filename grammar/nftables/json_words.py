"""Statements and expressions of nft's JSON in nft's own words (libnftables-json(5))."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from svcc.grammar.nftables import symbols

Json = object
"""What json.loads gives."""

_PLAIN = re.compile(
    r"@?[A-Za-z_.][\w./\\-]*|[0-9a-fA-F.:]+|0[xX][0-9a-fA-F]+|(?:\d+(?:ms|[dhms]))+"
)
_OPERATORS = ("|", "&", "^", "<<", ">>")
_NAT = ("dnat", "snat", "masquerade", "redirect")
_VERDICTS = ("accept", "drop", "continue", "return")


class JsonError(Exception):
    """Something that nft does not print, or that svcc does not know."""


def object_of(item: Json) -> tuple[str, Json]:
    """The name and the value of an object that has one alone.

    Raises:
        JsonError: it has none, or more.
    """
    if not isinstance(item, dict) or len(item) != 1:
        raise JsonError(f"an object with one name is wanted here, not {str(item)[:60]}")
    ((name, value),) = item.items()
    return str(name), value


def _inside(name: str, value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise JsonError(f"{name!r} wants an object")
    return value


def _field(of: str, value: Mapping[str, Json], name: str) -> Json:
    if name not in value:
        raise JsonError(f"{of!r} has no {name!r}")
    return value[name]


def expression(item: Json) -> str:
    """An expression, a value or several.

    Raises:
        JsonError: svcc does not know it.
    """
    match item:
        case bool():
            return "exists" if item else "missing"
        case int():
            return str(item)
        case str():
            if item == "*" or (_PLAIN.fullmatch(item) and item not in symbols.KEYWORDS):
                return item
            if '"' in item or "\n" in item:
                raise JsonError(f"{item!r} is no value that nft would print")
            return f'"{item}"'
        case list():
            return ",".join(expression(each) for each in item)
    name, value = object_of(item)
    if name in _OPERATORS:
        return _operation(name, value)
    if name in ("concat", "range", "set"):
        parts = cast("Sequence[Json]", value if isinstance(value, list) else [value])
        match name:
            case "concat":
                return " . ".join(expression(part) for part in parts)
            case "range":
                return "-".join(expression(part) for part in parts)
            case _:
                return f"{{ {', '.join(_member(part) for part in parts)} }}"
    return _looked_at(name, value)


def _operation(sign: str, value: Json) -> str:
    if not isinstance(value, list) or len(value) < 2:
        raise JsonError(f"{sign!r} wants two sides")
    sides = []
    for each in value:
        if isinstance(each, list):
            sides.append(f"({' | '.join(expression(bit) for bit in each)})")
        elif isinstance(each, dict) and next(iter(each), "") in _OPERATORS:
            sides.append(f"({expression(each)})")
        else:
            sides.append(expression(each))
    return f" {sign} ".join(sides)


def _looked_at(name: str, value: Json) -> str:
    of = _inside(name, value)
    match name:
        case "payload" if "base" in of:
            return f"@{of['base']},{_field(name, of, 'offset')},{_field(name, of, 'len')}"
        case "payload":
            return f"{_field(name, of, 'protocol')} {_field(name, of, 'field')}"
        case "meta" | "socket":
            return f"{name} {_field(name, of, 'key')}"
        case "ct" | "rt":
            parts = (of.get("dir"), of.get("family"), _field(name, of, "key"))
            return " ".join([name, *(str(part) for part in parts if part is not None)])
        case "fib":
            flags = _field(name, of, "flags")
            shown = " . ".join(map(str, flags)) if isinstance(flags, list) else str(flags)
            return f"fib {shown} {_field(name, of, 'result')}"
        case "tcp option":
            return f"tcp option {_field(name, of, 'name')} {of.get('field', 'exists')}"
        case "numgen":
            offset = f" offset {of['offset']}" if of.get("offset") else ""
            return f"numgen {_field(name, of, 'mode')} mod {_field(name, of, 'mod')}{offset}"
        case "jhash":
            more = "".join(f" {word} {of[word]}" for word in ("seed", "offset") if of.get(word))
            return (
                f"jhash {expression(_field(name, of, 'expr'))} mod {_field(name, of, 'mod')}{more}"
            )
        case "map":
            data = expression(_field(name, of, "data"))
            return f"{expression(_field(name, of, 'key'))} map {data}"
        case "prefix":
            return f"{_field(name, of, 'addr')}/{_field(name, of, 'len')}"
        case "elem":
            return _element(of)
        case _:
            raise JsonError(f"{name!r} is no expression that svcc knows")


def _member(item: Json) -> str:
    """An element of a set, or of a map: a pair."""
    if isinstance(item, list) and len(item) == 2:
        return f"{_member(item[0])} : {_data(item[1])}"
    return expression(item)


def _data(item: Json) -> str:
    if isinstance(item, dict) and next(iter(item), "") in (*_VERDICTS, "jump", "goto"):
        return statement(item)
    return expression(item)


def _element(of: Mapping[str, Json]) -> str:
    words = [expression(_field("elem", of, "val"))]
    words += [f"{word} {of[word]}s" for word in ("timeout", "expires") if word in of]
    words += [statement({word: of[word]}) for word in ("counter", "limit", "quota") if word in of]
    if "comment" in of:
        words.append(f'comment "{of["comment"]}"')
    return " ".join(words)


def statement(item: Json) -> str:
    """A statement.

    Raises:
        JsonError: svcc does not know it.
    """
    name, value = object_of(item)
    if name in _VERDICTS or name == "notrack":
        return name
    if name in _NAT:
        return _nat(name, {} if value is None else _inside(name, value))
    if value is None:
        return name
    if name == "counter" and isinstance(value, str):
        return f'counter name "{value}"'
    of = _inside(name, value)
    match name:
        case "match":
            operator = str(_field(name, of, "op"))
            shown = "" if operator == "in" else f"{operator} "
            left, right = _field(name, of, "left"), _field(name, of, "right")
            return f"{expression(left)} {shown}{expression(right)}"
        case "jump" | "goto":
            return f"{name} {_field(name, of, 'target')}"
        case "vmap":
            data = expression(_field(name, of, "data"))
            return f"{expression(_field(name, of, 'key'))} vmap {data}"
        case "mangle":
            value = expression(_field(name, of, "value"))
            return f"{expression(_field(name, of, 'key'))} set {value}"
        case "counter":
            return f"counter packets {of.get('packets', 0)} bytes {of.get('bytes', 0)}"
        case "reject":
            kind, code = of.get("type"), of.get("expr")
            words = "" if kind is None else f" with {kind}" + ("" if code is None else f" {code}")
            return f"reject{words}"
        case "set" | "map":
            return _filling(name, of)
        case "limit":
            return _limit(of)
        case "log":
            return _log(of)
        case _:
            return _carried(name, of)


def _nat(name: str, of: Mapping[str, Json]) -> str:
    words = [name, *([str(of["family"])] if "family" in of else [])]
    address, port = of.get("addr"), of.get("port")
    shown = "" if address is None else expression(address)
    if port is not None:
        bracketed = isinstance(address, str) and ":" in shown
        shown = f"{f'[{shown}]' if bracketed else shown}:{expression(port)}"
    if shown:
        words.append(f"to {shown}")
    if "flags" in of:
        flags = of["flags"]
        words.append(",".join(map(str, flags)) if isinstance(flags, list) else str(flags))
    return " ".join(words)


def _filling(name: str, of: Mapping[str, Json]) -> str:
    words = [str(_field(name, of, "op")), str(_field(name, of, name)), "{"]
    words.append(expression(_field(name, of, "elem")))
    kept = of.get("stmt", [])
    words += [statement(each) for each in (kept if isinstance(kept, list) else [kept])]
    if "data" in of:
        words += [":", _data(of["data"])]
    return " ".join([*words, "}"])


def _limit(of: Mapping[str, Json]) -> str:
    unit, burst, burst_unit = of.get("rate_unit"), of.get("burst"), of.get("burst_unit", "packets")
    over = "over " if of.get("inv") else ""
    rate = f"{_field('limit', of, 'rate')}{'' if unit in (None, 'packets') else f' {unit}'}"
    text = f"limit rate {over}{rate}/{of.get('per', 'second')}"
    return f"{text} burst {burst} {burst_unit}" if burst else text


def _log(of: Mapping[str, Json]) -> str:
    words = ["log"]
    if "prefix" in of:
        words.append(f'prefix "{of["prefix"]}"')
    for word in ("group", "snaplen", "queue-threshold", "level"):
        if word in of:
            words.append(f"{word} {of[word]}")
    flags = of.get("flags")
    for flag in flags if isinstance(flags, list) else [] if flags is None else [flags]:
        words.append(f"flags {flag}")
    return " ".join(words)


def _carried(name: str, of: Mapping[str, Json]) -> str:
    match name:
        case "xt":
            return f'xt {of.get("type", "match")} "{_field(name, of, "name")}"'
        case "queue":
            flags = of.get("flags", [])
            shown = ",".join(map(str, flags)) if isinstance(flags, list) else str(flags)
            number = f" num {expression(of['num'])}" if "num" in of else ""
            return f"queue{number}{f' {shown}' if shown else ''}"
        case "quota":
            over = "over " if of.get("inv") else ""
            return f"quota {over}{_field(name, of, 'val')} {of.get('val_unit', 'bytes')}"
        case "ct count":
            return f"ct count {'over ' if of.get('inv') else ''}{_field(name, of, 'val')}"
        case _:
            raise JsonError(f"{name!r} is no statement that svcc knows")

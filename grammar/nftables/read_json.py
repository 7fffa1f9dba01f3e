"""What ``nft -j list ruleset`` prints (libnftables-json(5)).

JSON is put into nft's own words and read as those, so the two forms cannot be read differently.
What nft leaves out of its JSON is not there: comments of tables, sets and chains, the flag
``dynamic``, ``auto-merge``, and which expressions a ``typeof`` had.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import cast

from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.nftables.json_words import Json, JsonError, expression, object_of, statement
from svcc.grammar.nftables.parse import parse
from svcc.grammar.nftables.program import Ruleset

_Key = tuple[str, str]
_OTHERS = ("counter", "quota", "limit", "flowtable", "synproxy", "secmark", "ct helper",
           "ct timeout", "ct expectation")  # fmt: skip


def parse_json(text: str, *, source: str) -> Ruleset:
    """Read a whole text; lines are those of the text that nft would print.

    Args:
        text: what ``nft -j list ruleset`` or ``nft -j list table`` prints.
        source: its name, for messages.

    Raises:
        InputError: it is no such JSON, or nft would not take what it says.
    """
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        where = Position(source, error.lineno, error.colno)
        raise InputError([Problem(where, f"this is no JSON: {error.msg}")]) from None
    except RecursionError:
        raise InputError([Problem(Position(source, 1, 1), "this is nested too deeply")]) from None
    try:
        written = _Tables(whole).text()
    except JsonError as error:
        raise InputError([Problem(Position(source, 1, 1), str(error))]) from None
    try:
        return parse(written, source=source, of_json=True)
    except InputError as error:
        lines = written.splitlines()
        raise InputError(
            [
                Problem(
                    Position(source, 1, 1),
                    f"{problem.message} (in {lines[problem.position.line - 1].strip()!r})",
                )
                for problem in error.problems
            ]
        ) from None


class _Tables:
    """The tables of a text, in the order in which they are told."""

    def __init__(self, whole: Json) -> None:
        listed = whole.get("nftables") if isinstance(whole, dict) else None
        if not isinstance(listed, list):
            raise JsonError('there is no list "nftables"; print it with nft -j list ruleset')
        self._heads: dict[_Key, list[str]] = {}
        self._bodies: dict[_Key, list[str]] = {}
        self._rules: dict[tuple[_Key, str], list[str]] = {}
        self._chains: dict[_Key, list[tuple[str, str]]] = {}
        for item in listed:
            kind, value = object_of(item)
            if kind != "metainfo":
                self._add(kind, cast("Mapping[str, Json]", value))

    def text(self) -> str:
        """All of it, in nft's words."""
        return "".join(self._table(key) for key in self._heads)

    def _table(self, key: _Key) -> str:
        lines = [f"table {key[0]} {key[1]} {{", *self._heads[key], *self._bodies[key]]
        for name, head in self._chains[key]:
            lines += [f"\tchain {name} {{", *([head] if head else []), *self._rules[key, name]]
            lines.append("\t}")
        return "\n".join([*lines, "}", ""])

    def _add(self, kind: str, item: Mapping[str, Json]) -> None:
        if not isinstance(item, dict) or "family" not in item:
            raise JsonError(f"{kind!r} is no object of nft with a family")
        name = _name(item, "name" if kind == "table" else "table")
        key = (_name(item, "family"), name)
        if kind == "table":
            self._heads[key] = _of_table(item)
            self._bodies[key] = []
            self._chains[key] = []
            return
        if key not in self._heads:
            raise JsonError(f"a {kind} of table {key[0]} {key[1]}, which is not told before it")
        match kind:
            case "chain":
                self._chains[key].append((_name(item, "name"), _base(item)))
                self._rules[key, _name(item, "name")] = []
            case "rule":
                rules = self._rules.get((key, _name(item, "chain")))
                if rules is None:
                    raise JsonError(f"a rule of chain {item['chain']}, which is not told before it")
                rules.append(_rule(item))
            case "set" | "map":
                self._bodies[key] += _set(kind, item)
            case "element":
                raise JsonError("elements apart from their set; print the whole rule set")
            case _ if kind in _OTHERS:
                self._bodies[key] += [f"\t{kind} {_name(item, 'name')} {{", "\t}"]
            case _:
                raise JsonError(f"{kind!r} is no object of nft that svcc knows")


def _name(item: Mapping[str, Json], field: str) -> str:
    value = item.get(field)
    if not isinstance(value, str):
        raise JsonError(f"{field!r} is missing, or no text")
    return value


def _of_table(item: Mapping[str, Json]) -> list[str]:
    lines = [f"\tcomment {_quoted(item['comment'])}"] if "comment" in item else []
    return lines + ([f"\tflags {_listed(item['flags'], ',')}"] if "flags" in item else [])


def _base(item: Mapping[str, Json]) -> str:
    if "hook" not in item:
        return ""
    device = f' device "{item["dev"]}"' if "dev" in item else ""
    return (
        f"\t\ttype {item.get('type')} hook {item['hook']}{device} "
        f"priority {item.get('prio', 0)}; policy {item.get('policy', 'accept')};"
    )


def _rule(item: Mapping[str, Json]) -> str:
    words = [statement(each) for each in cast("Iterable[Json]", item.get("expr", []))]
    if "comment" in item:
        words.append(f"comment {_quoted(item['comment'])}")
    handle = f" # handle {item['handle']}" if "handle" in item else ""
    return f"\t\t{' '.join(words)}{handle}"


def _set(kind: str, item: Mapping[str, Json]) -> list[str]:
    lines = [f"\t{kind} {_name(item, 'name')} {{", f"\t\t{_types(item)}"]
    if "flags" in item:
        lines.append(f"\t\tflags {_listed(item['flags'], ',')}")
    lines += [
        f"\t\t{word} {item[word]}{unit}"
        for word, unit in (("timeout", "s"), ("gc-interval", "s"), ("size", ""), ("policy", ""))
        if word in item
    ]
    if item.get("auto-merge"):
        lines.append("\t\tauto-merge")
    lines += [f"\t\t{statement(each)}" for each in cast("Iterable[Json]", item.get("stmt", []))]
    if "comment" in item:
        lines.append(f"\t\tcomment {_quoted(item['comment'])}")
    if item.get("elem"):
        lines.append(f"\t\telements = {expression({'set': item['elem']})}")
    return [*lines, "\t}"]


def _types(item: Mapping[str, Json]) -> str:
    key, data = item.get("type"), item.get("map")
    if isinstance(key, dict):
        found = f"typeof {expression(key.get('typeof'))}"
        of_data = data.get("typeof") if isinstance(data, dict) else data
        shown = of_data if isinstance(of_data, str) else expression(of_data)
        return found if data is None else f"{found} : {shown}"
    found = f"type {_listed(key, ' . ')}"
    return found if data is None else f"{found} : {_listed(data, ' . ')}"


def _listed(value: Json, separator: str) -> str:
    return separator.join(map(str, value)) if isinstance(value, list) else str(value)


def _quoted(value: Json) -> str:
    if not isinstance(value, str) or '"' in value or "\n" in value:
        raise JsonError(f"{value!r} is no comment that nft would print")
    return f'"{value}"'

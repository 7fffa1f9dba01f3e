"""Rule text to judge: from files and bundles, or as it was read elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet, load, place_of
from svcc.grammar.ipvs import addresses, ipset, ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.packed import unpacked
from svcc.verify.other_formats import EMPTY, is_nftables, what_it_is
from svcc.verify.prepare.loaded import LoadedRules, Part
from svcc.verify.prepare.remarks import remarks_of

BUNDLE_FILES = ("iptables.rules", "ip6tables.rules")
NFTABLES_FILE = "nftables.rules"
IPVS_FILES = ("ipvsadm.rules", "ipset.rules", "addresses.batch")


_IPVS_PARTS: dict[str, Part] = {"ipvsadm": "virtual servers", "ipset": "sets"}


def from_text(
    text: str, family: Family, source: str, *, whole: frozenset[Part] = frozenset()
) -> LoadedRules:
    """The rules of a text; ``whole`` as in :class:`LoadedRules`.

    Raises:
        InputError: iptables-restore would not take it.
    """
    rules = load(parse(text, family=family, source=source))
    return LoadedRules(rules, source, whole, remarks_of(text))


def of_nftables(
    text: str,
    source: str,
    *,
    beside: Mapping[Family, LoadedRules] | None = None,
    whole: frozenset[Part] = frozenset({"tables"}),
    of_iptables_too: bool = True,
) -> dict[Family, LoadedRules]:
    """The rules of a text of nft, of both families.

    ``beside``: rules of iptables that packets pass as well; tables that iptables-nft made are then
    left to them. ``of_iptables_too`` False: such tables are left out wherever they stand, as
    somebody else looks at them.

    Raises:
        InputError: nft would not take it, or it has rules that only iptables-nft can show.
    """
    from svcc.grammar.nftables.parse import parse as parse_nftables
    from svcc.verify.nftables.iptables_tables import without_tables_of_iptables
    from svcc.verify.nftables.translate import translate

    ruleset = parse_nftables(text, source=source)
    found = {}
    for family in Family:
        known = None if beside is None else beside.get(family)
        of_iptables = None if known is None else known.rules
        tables = without_tables_of_iptables(ruleset, family, of_iptables, every=not of_iptables_too)
        rules = translate(tables, family, of_iptables)
        turned = None
        if len(rules.tables) > 1 and _have_ties(rules):
            turned = translate(tables, family, of_iptables, ties_turned=True)
            if list(turned.tables) == list(rules.tables):
                turned = None
        item = LoadedRules(rules, source) if known is None else known
        found[family] = replace(
            item,
            rules=rules,
            source=source if known is None else f"{known.source} and {source}",
            whole=item.whole | whole,
            other_order=turned,
        )
    return found


def _have_ties(rules: RuleSet) -> bool:
    """Whether tables of several owners stand at one place, so that their order can matter."""
    places = Counter(
        place_of(table)
        for table, chains in rules.tables.items()
        if any(chain.rules or chain.policy == "DROP" for chain in chains.values())
    )
    return any(count > 1 for count in places.values())


def from_files(paths: Sequence[str], family: Family | None) -> dict[Family, LoadedRules]:
    """The rules of files and bundle folders, by family.

    ``family`` says what a file is that does not tell by its content or name.

    Raises:
        InputError: a file cannot be read, or two are of one family.
    """
    problems: list[Problem] = []
    texts: dict[str, str] = {}
    for path in _expand(paths, problems):
        try:
            text = unpacked(path.read_bytes()).decode("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, UnicodeDecodeError):
                reason = "not UTF-8 text"
            problems.append(Problem(Position(str(path)), f"cannot read: {reason}"))
            continue
        if str(path) in texts:
            message = "this file is given twice; leave one out"
            problems.append(Problem(Position(str(path)), message))
        texts[str(path)] = text
    return from_texts(texts, family, problems)


def from_texts(
    texts: Mapping[str, str], family: Family | None, problems: Sequence[Problem] = ()
) -> dict[Family, LoadedRules]:
    """The rules of texts by their names, which tell what they are where the content does not.

    Args:
        texts: what iptables-save, ipvsadm, ipset and a bundle's files hold.
        family: as in :func:`from_files`.
        problems: what is wrong already.

    Raises:
        InputError: a text cannot be read, or two are of one family.
    """
    found: dict[Family, LoadedRules] = {}
    problems = list(problems)
    beside: dict[str, tuple[str, str]] = {}
    nft: tuple[str, str] | None = None
    for name, text in texts.items():
        kind = kind_of(text, Path(name).name)
        wrong = what_it_is(text)
        if kind == "iptables" and not text[:100].strip() and not text.strip("\ufeff \t\r\n"):
            wrong = EMPTY
        if wrong is not None:
            problems.append(Problem(Position(name), wrong))
            continue
        if kind == "nftables":
            if nft is not None:
                message = f"{nft[1]} is a ruleset of nft too; give one, it has both families"
                problems.append(Problem(Position(name), message))
            nft = (text, name)
            continue
        if kind != "iptables":
            if kind in beside:
                message = f"{beside[kind][1]} is {kind} text too; give one"
                problems.append(Problem(Position(name), message))
            beside[kind] = (text, name)
            continue
        of = family_of(text, Path(name).name) or family or Family.IPV4
        if of in found:
            message = f"{found[of].source} holds {of.label} rules too; give one file per family"
            problems.append(Problem(Position(name), message))
            continue
        try:
            found[of] = from_text(text, of, name)
        except InputError as error:
            problems.extend(error.problems)
    try:
        ipvs = ipvs_of(beside)
    except InputError as error:
        problems.extend(error.problems)
    if nft is not None:
        try:
            found = of_nftables(*nft, beside=found)
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    for item in found.values():
        item.rules.ipvs = ipvs
    parts = frozenset(part for kind, part in _IPVS_PARTS.items() if kind in beside)
    return {of: replace(item, whole=item.whole | parts) for of, item in found.items()}


def kind_of(text: str, name: str) -> str:
    """What a file holds: ``iptables``, ``nftables``, ``ipvsadm``, ``ipset`` or ``addresses``."""
    if is_nftables(text):
        return "nftables"
    first = next((line for line in text.splitlines() if line.strip() and line[0] != "#"), "")
    if re.match(r"(create|add) ", first):
        return "ipset"
    if addresses.is_address_text(first):
        return "addresses"
    if re.match(r"(-[AaEe]|--(add|edit)-(service|server)) -", first):
        return "ipvsadm"
    if not first:
        by_name = {"ipvsadm": "ipvsadm", "ipset": "ipset", "addresses": "addresses"}
        return by_name.get(name.split(".")[0], "iptables")
    return "iptables"


def ipvs_of(beside: Mapping[str, tuple[str, str]]) -> Ipvs | None:
    """Virtual servers, sets and addresses from their texts and file names; None without any.

    Which addresses the dummy device has without a text of them is told later, see
    :mod:`svcc.verify.prepare.virtual_addresses`.

    Raises:
        InputError: ipvsadm, ipset or ip would not take a text.
    """
    if not beside:
        return None
    nothing = ("", "")
    ipvs = Ipvs(
        ipvsadm.parse(beside.get("ipvsadm", nothing)[0], source=beside.get("ipvsadm", nothing)[1]),
        ipset.parse(beside.get("ipset", nothing)[0], source=beside.get("ipset", nothing)[1]),
    )
    ipvs.files = {kind: name for kind, (_, name) in beside.items()}
    if "addresses" in beside:
        lines = addresses.parse(beside["addresses"][0], source=beside["addresses"][1])
        ipvs.address_lines = lines
        ipvs.addresses = {family: tuple(of) for family, of in lines.items()}
    return ipvs


def _with(found: dict[Family, LoadedRules], ipvs: Ipvs | None) -> dict[Family, LoadedRules]:
    for item in found.values():
        item.rules.ipvs = ipvs
    return found


def _expand(paths: Sequence[str], problems: list[Problem]) -> list[Path]:
    files = []
    for text in paths:
        path = Path(text)
        if not path.is_dir():
            files.append(path)
            continue
        names = (*BUNDLE_FILES, NFTABLES_FILE)
        inside = [path / name for name in names if (path / name).is_file()]
        if not inside:
            message = f"no bundle: neither {' nor '.join(names)} is in this folder"
            problems.append(Problem(Position(text), message))
        files += inside
        files += [path / name for name in IPVS_FILES if (path / name).is_file()]
    return files


_ADDRESS6 = re.compile(r" -[sd] [0-9a-fA-F]*:[0-9a-fA-F:]*[/ ]|icmp6-|ipv6-icmp|-j DNAT .*\[")
_ADDRESS4 = re.compile(r" -[sd] \d+\.\d+\.\d+\.\d+[/ ]|icmp-port|--to-destination \d+\.\d+")


def family_of(text: str, name: str) -> Family | None:
    """The family of rule text, from its content or else from its file name."""
    header = None
    # Plain search first: in a long text without it the pattern takes ten times as long.
    if "# Generated by ip" in text:
        header = re.search(r"^# Generated by (ip6?tables)", text, re.MULTILINE)
    if header:
        return Family.IPV6 if header[1] == "ip6tables" else Family.IPV4
    # The beginning nearly always tells; a search for what is not there takes as long as parsing.
    for part in (text[:1_000_000], text):
        if _ADDRESS6.search(part):
            return Family.IPV6
        if _ADDRESS4.search(part):
            return Family.IPV4
    if "6" in name.split(".")[0]:
        return Family.IPV6
    return Family.IPV4 if name.startswith("iptables") else None

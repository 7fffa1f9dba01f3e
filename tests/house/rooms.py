"""The rooms of the house: which may import which, and why.

A room is a folder of modules, or a module that has a row of its own. Every import counts,
those inside functions and under ``if TYPE_CHECKING`` too: a room that needs another one's
types knows it.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.house.imports import PACKAGES

FOLDERS = (*PACKAGES, "svcc", "tests", "bench", "examples")
MOST_FILES = 15


class Room(NamedTuple):
    """A row: ``imports`` are the rooms that it may import, all of them above it in the table.

    ``NAME.*`` stands for NAME and all below it.
    """

    name: str
    imports: str
    reason: str

    def may_import(self, other: str) -> bool:
        """Whether the row has a room in it."""
        return other == self.name or any(
            other == entry or (entry.endswith(".*") and _is_below(other, entry[:-2]))
            for entry in self.imports.split()
        )


_OBJECTS = "compiler.model compiler.settings"
_CORE = (
    "verify.netfilter verify.spec verify.simulator verify.prepare verify.model verify.slicing "
    "verify.smt verify.confirm verify.cause verify.proof verify.report"
)

ROOMS = (
    Room("svcc", "", "the version"),
    Room("grammar", "", "text and types: what everybody else is about"),
    Room("grammar.ipvs", "grammar", "ipset and ipvsadm know nothing of rules"),
    Room("grammar.iptables", "grammar grammar.ipvs", "a rule set may have virtual servers beside"),
    Room("grammar.nftables", "grammar", "tables and their text; it knows no other tool's"),
    Room(
        "grammar.nftables.reading",
        "grammar grammar.nftables",
        "words become statements and blocks; who asks for a text asks parse",
    ),
    Room(
        "grammar.nftables.parse",
        "grammar grammar.nftables grammar.nftables.reading",
        "the whole text in one call",
    ),
    Room(
        "grammar.nftables.read_json",
        "grammar grammar.nftables grammar.nftables.reading grammar.nftables.parse",
        "JSON is put into words, which are read like others",
    ),
    Room("grammar.nginx", "grammar", "configurations of a proxy; they know nothing of rules"),
    Room("grammar.dns", "grammar", "zones and their files; they know nothing of rules"),
    Room("compiler.model", "grammar", "objects, however they were read"),
    Room("compiler.api_names", "", "names that the API knows, whatever they are looked up for"),
    Room(
        "compiler.select",
        "grammar compiler.model",
        "Pods become slices before anybody asks what slices are for",
    ),
    Room("compiler.consistency", "grammar compiler.model", "objects, wherever they were read"),
    Room(
        "compiler.allocate",
        "grammar compiler.model",
        "numbers for Services, whoever reads them and wherever they stand",
    ),
    Room("compiler.show", "grammar compiler.model compiler.select", "objects in other forms"),
    Room(
        "compiler.load",
        "grammar compiler.model compiler.api_names compiler.consistency compiler.select "
        "compiler.allocate",
        "objects are loaded whatever the node is",
    ),
    Room(
        "compiler.settings",
        "grammar grammar.dns compiler.model compiler.api_names compiler.load",
        "a configuration is a file, and a Node an object",
    ),
    Room(
        "compiler.simulate",
        "grammar compiler.model compiler.select compiler.allocate",
        "what a cluster would add to objects, before anybody asks what it forwards",
    ),
    Room("compiler.names", f"grammar grammar.dns {_OBJECTS}", "names, however they are answered"),
    Room("compiler.resolve", f"grammar {_OBJECTS}", "what is forwarded, not how it is told"),
    Room(
        "compiler.lower.shared",
        "grammar grammar.iptables compiler.settings compiler.resolve",
        "what every mode's rules are made of",
    ),
    Room(
        "compiler.lower.iptables",
        "grammar grammar.iptables compiler.settings compiler.resolve compiler.lower.shared",
        "a mode knows no other mode",
    ),
    Room(
        "compiler.lower.ipvs",
        "grammar.* compiler.settings compiler.resolve compiler.lower.shared",
        "a mode knows no other mode",
    ),
    Room(
        "compiler.lower.nftables",
        "grammar grammar.nftables compiler.settings compiler.resolve compiler.lower.shared",
        "a mode knows no other mode",
    ),
    Room(
        "compiler.lower.userspace",
        "grammar grammar.nginx compiler.settings compiler.resolve",
        "a mode knows no other mode",
    ),
    Room(
        "compiler.pipeline",
        f"grammar.* {_OBJECTS} compiler.resolve compiler.lower.*",
        "the whole compiler in one call, from objects on",
    ),
    Room("compiler.bundle", "svcc grammar.* compiler.pipeline", "files of what was compiled"),
    Room(
        "compiler.files",
        "svcc grammar.* compiler.settings compiler.load compiler.names compiler.bundle "
        "compiler.pipeline",
        "folders of such files: written, read back, checked",
    ),
    Room("verify.netfilter", "grammar.*", "kernel facts: the trusted base of both models"),
    Room(
        "verify.spec",
        f"grammar.* {_OBJECTS} verify.netfilter",
        "what must happen is said without looking at what the rules do",
    ),
    Room(
        "verify.simulator",
        "grammar.* verify.netfilter",
        "the second opinion shares nothing with the first but kernel facts",
    ),
    Room(
        "verify.prepare",
        f"grammar.* {_OBJECTS} verify.netfilter verify.spec verify.simulator",
        "rewritings of what was read, before anybody models it",
    ),
    Room(
        "verify.nftables",
        "grammar.* verify.netfilter",
        "nftables as the rules that are judged: told by their text, for no objects",
    ),
    Room(
        "verify.model",
        "grammar.* verify.netfilter verify.prepare",
        "rules as conditions, whatever they are wanted for",
    ),
    Room(
        "verify.slicing",
        "grammar.* verify.netfilter verify.spec verify.prepare verify.model",
        "cuts rules to a region, and asks no solver",
    ),
    Room(
        "verify.signatures",
        "grammar.* verify.netfilter verify.spec verify.prepare verify.model verify.slicing",
        "which regions are cut alike is told without a solver, and nobody has to ask",
    ),
    Room(
        "verify.smt",
        "grammar.* verify.netfilter verify.spec verify.simulator verify.prepare verify.model "
        "verify.slicing",
        "formulas and what solvers answer, not what is to be proved",
    ),
    Room(
        "verify.confirm",
        "grammar.* compiler.model verify.netfilter verify.spec verify.simulator verify.prepare "
        "verify.model verify.slicing",
        "a packet is replayed whoever found it",
    ),
    Room(
        "verify.cause",
        "grammar.* verify.netfilter verify.spec verify.simulator verify.prepare verify.model "
        "verify.slicing verify.confirm",
        "what a violation is due to has no part in whether it is one",
    ),
    Room(
        "verify.proof",
        "grammar.* verify.netfilter verify.spec verify.simulator verify.prepare verify.model "
        "verify.slicing verify.smt verify.confirm",
        "the core of the verifier, complete without add-ons",
    ),
    Room(
        "verify.manifests",
        "grammar.* compiler.model compiler.api_names verify.spec verify.confirm",
        "what people write, whatever rules come of it",
    ),
    Room(
        "verify.names",
        f"grammar.* {_OBJECTS} verify.spec verify.confirm",
        "what names answer, and what of that was proved; whatever the rules are",
    ),
    Room(
        "verify.open_questions",
        f"grammar.* {_OBJECTS} verify.spec verify.simulator verify.prepare verify.model "
        "verify.confirm",
        "what was not given or not looked at, whoever judges the rest",
    ),
    Room(
        "verify.report",
        "svcc grammar.* compiler.model verify.netfilter verify.spec verify.simulator "
        "verify.prepare verify.model verify.slicing verify.smt verify.confirm",
        "findings in words, however they were found",
    ),
    Room(
        "verify.questions",
        f"grammar.* {_OBJECTS} compiler.api_names verify.netfilter verify.spec verify.simulator",
        "what people mean is told by the objects, whatever the rules do",
    ),
    Room(
        "verify.picture",
        f"grammar.* {_OBJECTS} verify.spec verify.simulator verify.confirm verify.report "
        "verify.questions",
        "what is seen of Services, by the reading that rules are held to; no reading of its own",
    ),
    Room("verify.drawing", "verify.confirm verify.picture", "a picture as text, nothing beside it"),
    Room(
        "verify.userspace",
        f"grammar.* {_OBJECTS} verify.spec verify.simulator verify.confirm verify.report",
        "a proxy has no rules: it is judged without models of them, by what must happen",
    ),
    Room("verify.recheck", f"grammar.* {_OBJECTS} {_CORE}", "an add-on: the core does without"),
    Room("verify.policy", f"grammar.* {_OBJECTS} {_CORE}", "an add-on: the core does without"),
    Room("verify.equivalence", f"grammar.* {_OBJECTS} {_CORE}", "an add-on: the core does without"),
    Room(
        "verify.partial",
        "grammar grammar.nftables",
        "whether a part may be judged for the whole; it judges nothing",
    ),
    Room(
        "verify",
        f"grammar.* {_OBJECTS} verify.*",
        "entry points; the objects are shared with the compiler, nothing that it decides",
    ),
    Room("apply.system", "grammar grammar.ipvs", "the node aside from its rules"),
    Room("apply.iptables", "grammar grammar.iptables apply.system", "one kernel interface"),
    Room("apply.ipvs", "grammar grammar.ipvs apply.system", "one kernel interface"),
    Room(
        "apply.nftables",
        "grammar grammar.iptables grammar.nftables grammar.nftables.parse apply.system",
        "one kernel interface",
    ),
    Room(
        "apply",
        "grammar.* apply.system apply.iptables apply.ipvs apply.nftables",
        "the protocol; it is given programs, and compiles none",
    ),
    Room(
        "apply.seen",
        "grammar.* apply apply.system apply.iptables apply.ipvs apply.nftables",
        "svcc's own layouts read as Services, for people; apply does without",
    ),
    Room(
        "apply.reverting",
        "svcc grammar.* apply apply.system apply.iptables apply.ipvs apply.nftables",
        "another use of the protocol, which does without: back to what was loaded",
    ),
    Room(
        "api.applying",
        "grammar.* compiler.* verify.* apply.*",
        "judges an apply, and runs none",
    ),
    Room(
        "api.loaded",
        "svcc grammar.* compiler.* apply.*",
        "what is loaded and what becomes of it, whoever has loaded it",
    ),
    Room(
        "api",
        "svcc grammar.* compiler.* verify.* apply.* api.applying api.loaded",
        "workflows for any caller, who need not be a command line",
    ),
    Room(
        "api.inside",
        "grammar.* compiler.* verify.* api",
        "shows what the workflows work with, and is no part of them",
    ),
    Room(
        "api.standalone",
        "grammar.* compiler.* api",
        "what a cluster does beside forwarding, for any caller",
    ),
    Room("agent.state", "grammar", "what the loop writes and servers read"),
    Room(
        "agent.api_server",
        "svcc grammar compiler.model compiler.load",
        "how an API server is asked, whoever wants what it has",
    ),
    Room(
        "agent.sources",
        "grammar compiler.* agent.api_server",
        "where objects come from; they judge nothing",
    ),
    Room(
        "agent.serving",
        "grammar compiler.settings agent.state",
        "what is answered of the state",
    ),
    Room(
        "agent",
        "grammar.* compiler.* verify.* apply.* api.* agent.*",
        "has the workflows follow what sources see",
    ),
    Room(
        "commands",
        "svcc grammar.* compiler.* verify.* apply.* api.* agent.*",
        "the command line: it may ask everybody, and nobody asks it",
    ),
    Room(
        "commands.standalone",
        "svcc grammar.* compiler.* api.* commands",
        "commands that stand in for a cluster, like any others",
    ),
    Room(
        "commands.node",
        "svcc api.* commands",
        "commands for what is loaded on this node, like any others",
    ),
    Room(
        "cli",
        "svcc grammar commands commands.standalone commands.node",
        "finds the command and runs it",
    ),
    Room("__main__", "cli", "python -m svcc"),
)


class Never(NamedTuple):
    """``room`` must not import any of ``others``; each stands for all below it, too."""

    room: str
    others: str
    reason: str


NEVERS = (
    Never("grammar", "compiler verify apply api commands", "everybody reads and writes text"),
    Never("compiler", "apply", "compiling touches no kernel"),
    Never("compiler.load", "compiler.settings compiler.resolve", "loading decides nothing"),
    Never(
        "compiler.lower.shared",
        "compiler.lower.iptables compiler.lower.ipvs compiler.lower.nftables "
        "compiler.lower.userspace",
        "it is shared",
    ),
    Never(
        "compiler.lower.iptables",
        "compiler.lower.ipvs compiler.lower.nftables compiler.lower.userspace",
        "what they need is shared",
    ),
    Never(
        "compiler.lower.ipvs",
        "compiler.lower.iptables compiler.lower.nftables compiler.lower.userspace",
        "what they need is shared",
    ),
    Never(
        "compiler.lower.nftables",
        "compiler.lower.iptables compiler.lower.ipvs compiler.lower.userspace",
        "what they need is shared",
    ),
    Never(
        "compiler.lower.userspace",
        "compiler.lower.shared compiler.lower.iptables compiler.lower.ipvs compiler.lower.nftables",
        "rules of the kernel are none of its business",
    ),
    Never(
        "verify",
        "compiler.select compiler.simulate compiler.names compiler.resolve compiler.lower "
        "compiler.pipeline "
        "compiler.bundle compiler.files apply",
        "a proof by the code that is to be proved is none",
    ),
    Never(
        "verify.simulator",
        "verify.model verify.slicing verify.smt verify.spec",
        "a second opinion that shares the first one's code is none",
    ),
    Never(
        "verify.spec",
        "verify.model verify.slicing verify.smt",
        "what is wanted does not depend on what the rules do",
    ),
    Never("verify.model", "verify.slicing verify.spec", "rules mean what they mean"),
    Never("verify.slicing", "verify.smt verify.proof", "a slice is cut without a solver"),
    Never("verify.smt", "verify.proof", "a formula does not know what it is asked for"),
    Never("verify.confirm", "verify.proof verify.smt", "it distrusts both"),
    Never("verify.report", "verify.proof", "it reports findings, and makes none"),
    Never(
        "verify.proof",
        "verify.policy verify.equivalence verify.recheck",
        "the core does without add-ons",
    ),
    Never("verify.policy", "verify.equivalence", "add-ons know the core only"),
    Never("verify.equivalence", "verify.policy", "add-ons know the core only"),
    Never(
        "apply.system",
        "apply.iptables apply.ipvs apply.nftables",
        "what they share knows none",
    ),
    Never("apply.iptables", "apply.ipvs apply.nftables", "what they share is in system"),
    Never("apply.ipvs", "apply.iptables apply.nftables", "what they share is in system"),
    Never("apply.nftables", "apply.iptables apply.ipvs", "what they share is in system"),
    Never("api", "commands", "workflows know no command line"),
)


_NAMES = frozenset(room.name for room in ROOMS)


def room_of(module: str) -> str | None:
    """The room of a module: its own row, or that of the package that it is in; None without."""
    name = module.removeprefix("svcc.")
    if name in _NAMES:
        return name
    package = name.rpartition(".")[0]
    return package if package in _NAMES else None


def refusal(module: str, imported: str) -> str | None:
    """Why a module must not import another one; None if it may."""
    room, other = room_of(module), room_of(imported)
    if room is None or other is None:
        return f"{module if room is None else imported} is in no room; give it a row"
    for never in NEVERS:
        if _is_below(room, never.room) and any(_is_below(other, o) for o in never.others.split()):
            return f"{never.room} must never import {other}: {never.reason}"
    row = next(row for row in ROOMS if row.name == room)
    return None if row.may_import(other) else f"{room} may not import {other}: {row.reason}"


def _is_below(room: str, other: str) -> bool:
    return room == other or room.startswith(f"{other}.")

"""Rules of several nodes, and folders of rules: whose they are, and whether they were changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.paths import DATA
from tests.support.command import Done, svcc

SHOP = DATA / "reports" / "questions" / "shop.yaml"
GIVEN = ("-f", SHOP, "--cluster-cidr", "10.244.0.0/16,fd00:244::/32")
FILES = ("iptables.rules", "ip6tables.rules")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules of both nodes."""
    done = svcc("compile", *GIVEN, "--all-nodes", "-o", tmp_path / "rules")
    assert (done.code, done.out) == (0, ""), done.err
    return tmp_path / "rules"


def verify(*arguments: object) -> Done:
    return svcc("verify", *GIVEN, *arguments)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def last(done: Done) -> str:
    return done.out.splitlines()[-1]


def of_files(folder: Path, node: str, name: str = "") -> list[object]:
    """The node's files, without what says whose they are."""
    return [
        word for file in FILES for word in ("--rules", f"{name or node}={folder / node / file}")
    ]


def test_each_node_is_judged_by_its_own_rules(folder: Path) -> None:
    for given in (
        ("--all-nodes", "--rules", folder),
        ("--rules", folder),
        ("--rules", f"node-a={folder / 'node-a'}", "--rules", f"node-b={folder / 'node-b'}"),
        ("--all-nodes", *of_files(folder, "node-a"), *of_files(folder, "node-b")),
    ):
        done = verify(*given)
        assert (done.code, last(done)) == (0, "2 nodes: 2 proved"), done.err


def test_the_wrong_one_is_named(folder: Path) -> None:
    change(folder / "node-b" / "iptables.rules", "10.244.2.10:8080", "10.244.2.99:8080")
    given = ("--all-nodes", *of_files(folder, "node-a"), *of_files(folder, "node-b"))
    done = verify(*given)
    assert (done.code, last(done)) == (1, "2 nodes: 1 proved, 1 violated: node-b")
    assert str(folder / "node-b" / "iptables.rules") in done.out
    found = verify(*given, "-o", "json").json()
    assert [node["verdict"] for node in found["nodes"]] == ["proved", "violated"]
    assert {p["node"] for p in found["properties"] if p["verdict"] == "violated"} == {"node-b"}
    assert verify("--node", "node-a", *given[1:]).code == 0


def test_rules_of_one_node_are_not_those_of_another(folder: Path) -> None:
    """They differ: what has one local endpoint here has none there."""
    swapped = (*of_files(folder, "node-a", "node-b"), *of_files(folder, "node-b", "node-a"))
    assert verify("--all-nodes", *swapped).code == 1
    done = verify("--rules", f"node-a={folder / 'node-b'}")
    assert (done.code, done.out) == (2, "")
    assert "these are the rules of node node-b, not of node-a" in done.err
    done = verify("--node", "node-a", "--rules", folder / "node-b")
    assert (done.code, done.out) == (2, "")
    done = verify("--rules", folder / "node-b")
    assert done.code == 0
    assert "on node node-b" in last(done)


def test_rules_of_nobody_are_not_taken_for_everybodys(folder: Path) -> None:
    plain = [word.partition("=")[2] or word for word in map(str, of_files(folder, "node-a"))]
    done = verify("--all-nodes", *plain)
    assert (done.code, done.out) == (2, "")
    assert "these are the rules of one node, and 2 are to be judged" in done.err
    assert "--rules NODE=PATH" in done.err
    assert verify("--all-nodes", "--rules", folder / "node-a").code == 2
    assert verify("--node", "node-a", *plain).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--all-nodes", "--rules", "node-a={}/node-a"), "there are no rules of node-b"),
        (("--node", "node-b", "--rules", "node-a={}/node-a"), "there are no rules of node-b"),
        (("--rules", "node-c={}/node-a/iptables.rules"), "no Node 'node-c' among the objects"),
        (("--rules", "node-a={}/node-a", "--rules", "{}/node-b"), "write NODE=PATH for each"),
        (("--rules", "node-a="), "write NODE=PATH"),
        (("--rules", "node-a={}/nothing"), "cannot read"),
        (
            ("--rules", "{}/node-a", "--rules", "{}/node-b"),
            "rules of several nodes: node-a, node-b",
        ),
    ],
)
def test_bad_input(folder: Path, words: tuple[str, ...], said: str) -> None:
    done = verify(*(word.format(folder) for word in words))
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_a_path_with_an_equals_sign_is_a_path(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "a=b")
    assert verify("--rules", tmp_path / "a=b").code == 0


def test_explain_and_dump_take_them(folder: Path) -> None:
    asked = ("explain", *GIVEN, "--rules", folder)
    done = svcc(*asked, "shop/api")
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line.startswith("node node")] == [
        "node node-a", "node node-b",
    ]  # fmt: skip
    here = "no endpoint is on node-a"
    assert here in done.out.partition("node node-b\n")[0]
    assert "no endpoint is on" not in done.out.partition("node node-b\n")[2]
    shown = json.loads(svcc(*asked, "-o", "json", "shop/api").out)
    assert {item["node"] for item in shown} == {"node-a", "node-b"}
    one = svcc(*asked, "--node", "node-b", "shop/api")
    assert one.code == 0
    assert "node node-" not in one.out
    assert svcc("dump", "rules", *GIVEN, "--rules", folder, "shop/api").code == 2
    done = svcc("dump", "rules", *GIVEN, "--node", "node-b", "--rules", folder, "shop/api")
    assert done.code == 0
    assert str(folder / "node-b" / "iptables.rules") in done.out


def test_compile_needs_a_folder() -> None:
    done = svcc("compile", *GIVEN, "--all-nodes")
    assert (done.code, done.out) == (2, "")
    assert "-o DIR" in done.err


# -- changed folders -------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["changed", "missing", "added", "bundle.json"])
def test_a_folder_that_is_not_as_it_was_written(folder: Path, which: str) -> None:
    """What is there is judged all the same; but that is not what was compiled."""
    node = folder / "node-a"
    path = node / "ip6tables.rules"
    match which:
        case "changed":
            path.write_text(path.read_text() + "\n")
        case "missing":
            path = node / "notes.rules"
            manifest = json.loads((node / "bundle.json").read_text())
            manifest["files"][path.name] = {"sha256": "0"}
            (node / "bundle.json").write_text(json.dumps(manifest))
        case "added":
            path = node / "nftables.nft"
            path.write_text("")
        case _:
            path = node
            (node / "bundle.json").unlink()
    given = ("--node", "node-a", "--rules", node)
    done = verify(*given)
    assert done.code == 2
    assert f"{path}: error: {'there is no' if which == 'bundle.json' else which}" in done.err
    found = verify(*given, "-o", "json").json()
    assert [p["file"] for p in found["problems"] if p["severity"] == "error"] == [str(path)]
    assert str(path) in verify(*given, "-o", "junit").out
    assert svcc("explain", *GIVEN, *given, "web").code == 2
    done = svcc("apply", *GIVEN, "--no-verify", *given)
    assert (done.code, done.out) == (2, "")


def test_a_violation_is_one_all_the_same(folder: Path) -> None:
    change(folder / "node-b" / "iptables.rules", "10.244.2.10:8080", "10.244.2.99:8080")
    done = verify("--node", "node-b", "--rules", folder)
    assert done.code == 1
    assert "iptables.rules: error: changed since svcc compile wrote it" in done.err
    assert verify("--node", "node-a", "--rules", folder).code == 0
    files = [word.partition("=")[2] or word for word in map(str, of_files(folder, "node-b"))]
    done = verify("--node", "node-b", *files)
    assert done.code == 1
    assert "changed since" not in done.err


def test_what_apply_refuses_before_it_touches_anything(folder: Path) -> None:
    def apply(*words: object) -> str:
        done = svcc("apply", *words)
        assert (done.code, done.out) == (2, "")
        return done.err

    assert "name the objects" in apply("--rules", folder)
    assert "name the objects" in apply()
    assert "no rules of node node-c" in apply("--no-verify", "--node", "node-c", "--rules", folder)
    here = ("--node", "node-a", "--no-verify", "--rules")
    assert "not of node-a" in apply(*here, folder / "node-b")
    assert "no bundle" in apply(*here, folder.parent)
    assert "not together with --rules" in apply("--mode", "ipvs", *here, folder)
    assert "not together with --rules" in apply("--fallback", *here, folder)

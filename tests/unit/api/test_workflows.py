"""What the library does is what the commands do, without printing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import svcc.api
from tests.paths import DATA, ROOT

DUMP = DATA / "kube-proxy" / "clusterip-3ep"
SAVED = DUMP / "iptables-save.txt"


@pytest.fixture(scope="module")
def objects() -> svcc.api.Objects:
    return svcc.api.load(DUMP / "objects.yaml")


@pytest.fixture(scope="module")
def settings(objects: svcc.api.Objects) -> svcc.api.NodeSettings:
    return svcc.api.node_settings(
        objects, node="node-a", node_ip="192.168.7.10", cluster_cidr="10.244.0.0/16"
    )


def test_texts_are_the_bundle_and_are_proved(
    objects: svcc.api.Objects, settings: svcc.api.NodeSettings, tmp_path: Path
) -> None:
    compiled = svcc.api.compile(objects, settings)
    written = {path.name: path.read_text() for path in compiled.write(tmp_path)}
    assert written == compiled.texts
    assert compiled.text(svcc.api.Family.IPV4) == compiled.texts["iptables.rules"]
    assert compiled.families == (svcc.api.Family.IPV4,)
    assert compiled.virtual_servers is None
    texts = {name: text for name, text in compiled.texts.items() if name != "bundle.json"}
    for rules in (svcc.api.read_rules(tmp_path), svcc.api.read_rules(text=texts), None):
        report = svcc.api.verify(objects, settings, rules)
        assert report.verdict == "proved"
        assert report.rules == 40
        assert report.in_files == (rules is not None and rules.in_files)


def test_a_folder_that_cannot_be_written(
    objects: svcc.api.Objects, settings: svcc.api.NodeSettings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(svcc.api.InputError, match="cannot write"):
        svcc.api.compile(objects, settings).write(tmp_path / "file")


def test_ipvs_texts(objects: svcc.api.Objects) -> None:
    settings = svcc.api.node_settings(objects, node="node-a", mode="ipvs")
    compiled = svcc.api.compile(objects, settings)
    assert compiled.virtual_servers == compiled.texts["ipvsadm.rules"]
    assert "-A -t 10.96.0.10:80" in compiled.texts["ipvsadm.rules"]


def test_rules_of_one_family_only(
    objects: svcc.api.Objects, settings: svcc.api.NodeSettings
) -> None:
    rules = svcc.api.read_rules(SAVED)
    assert rules.families == (svcc.api.Family.IPV4,)
    with pytest.raises(svcc.api.InputError, match="no ipv6 rules were given"):
        svcc.api.verify(objects, settings, rules, family=svcc.api.Family.IPV6)
    with pytest.raises(svcc.api.InputError, match="given twice"):
        svcc.api.read_rules(SAVED, SAVED)
    with pytest.raises(svcc.api.InputError, match="not both"):
        svcc.api.read_rules(SAVED, text=SAVED.read_text())


def test_policies(objects: svcc.api.Objects, settings: svcc.api.NodeSettings) -> None:
    policies = svcc.api.read_policies(text={"mine": "never pod -> service shop/web"})
    report = svcc.api.verify(objects, settings, policies=policies, policies_only=True)
    assert {finding.property for finding in report.findings} == {"policy", "ends"}
    assert report.verdict == "violated"
    with pytest.raises(svcc.api.InputError, match="there are no statements"):
        svcc.api.verify(objects, settings, policies_only=True)
    with pytest.raises(svcc.api.InputError, match="mine:1:"):
        svcc.api.read_policies(text={"mine": "sometimes"})


def test_explanations(objects: svcc.api.Objects, settings: svcc.api.NodeSettings) -> None:
    rules = svcc.api.read_rules(SAVED)
    found = svcc.api.explain(objects, settings, "shop/web", rules)
    assert [item.sender for item in found] == ["outside", "pod", "node"]
    assert {item.verdict for item in found} == {"proved"}
    (one,) = svcc.api.explain(objects, settings, "from node to 10.96.0.10:80/tcp", rules)
    assert len(one.outcomes()) == 3
    assert sum(share for share, _ in one.outcomes()) == 1
    for what in ("", "  ", "shop/other", "from nowhere to 10.96.0.10:80"):
        with pytest.raises(svcc.api.InputError):
            svcc.api.explain(objects, settings, what, rules)


def test_compared_without_objects() -> None:
    before, after = (
        svcc.api.read_rules(ROOT / "examples" / "diff" / f"{name}.rules")
        for name in ("before", "after")
    )
    assert svcc.api.compare(before, after).verdict == "violated"
    again = svcc.api.read_rules(ROOT / "examples" / "diff" / "before.rules")
    assert svcc.api.compare(before, again).verdict == "proved"


def test_what_is_not_proved_is_not_loaded(
    objects: svcc.api.Objects, settings: svcc.api.NodeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []
    damaged = SAVED.read_text().replace("10.244.2.7:8080", "10.244.2.8:8080")
    rules = svcc.api.read_rules(text=damaged)
    monkeypatch.setattr("svcc.api.own_rules.read_back", lambda compiled: rules.of(None))

    def apply(*_: object, **given: object) -> svcc.api.Outcome:
        loaded.append(given)
        return svcc.api.Outcome(())

    monkeypatch.setattr("svcc.apply.engine.apply", apply)
    with pytest.raises(svcc.api.NotProvedError) as raised:
        svcc.api.apply(objects, settings)
    assert raised.value.report.verdict == "violated"
    assert not loaded
    svcc.api.apply(objects, settings, prove=False)
    assert loaded[0]["judge"] is None


def test_nothing_is_printed(
    objects: svcc.api.Objects,
    settings: svcc.api.NodeSettings,
    capfd: pytest.CaptureFixture[str],
) -> None:
    svcc.api.verify(objects, settings)
    svcc.api.explain(objects, settings, "shop/web")
    svcc.api.node_settings(svcc.api.Objects())
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")

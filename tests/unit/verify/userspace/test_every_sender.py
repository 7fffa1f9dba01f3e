"""One sender of each kind stands for all of its kind, and addresses are cut as they should be."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.load.loader import load
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.grammar.address import Address, Family, Network, prefix_mask
from svcc.grammar.nginx.read import read_text
from svcc.verify.spec.expectation import expect
from svcc.verify.userspace.engine import verify_proxy
from svcc.verify.userspace.evaluate import Evaluator
from svcc.verify.userspace.intervals import cells, first_in_both, interval, united, without
from svcc.verify.userspace.limits import accepting
from svcc.verify.userspace.outcomes import wrong
from svcc.verify.userspace.places import Places
from svcc.verify.userspace.reading import model_of
from svcc.verify.userspace.senders import Sender, is_met
from tests.support.effort import LONG, examples
from tests.unit.verify.userspace.shop import FOLDER, RIGHT

_NETWORKS = st.lists(
    st.builds(
        lambda value, length: Network(
            Family.IPV4, value << 24 & prefix_mask(Family.IPV4, length), length
        ),
        st.integers(0, 255),
        st.integers(0, 8),
    ),
    max_size=5,
)


@given(_NETWORKS, _NETWORKS, st.integers(0, 2**32 - 1))
@examples(200, 5000)
def test_cells_are_cut_at_every_network(
    networks: list[Network], taken: list[Network], value: int
) -> None:
    cut = cells(Family.IPV4, networks)
    assert list(united(cut)) == [(0, 2**32 - 1)]
    (cell,) = [each for each in cut if each[0] <= value <= each[1]]
    for network in networks:
        low, high = interval(network)
        assert (low <= cell[0] and cell[1] <= high) or cell[1] < low or high < cell[0]
    left = without(cut, taken)
    address = Address(Family.IPV4, value)
    assert any(low <= value <= high for low, high in left) != any(n.holds(address) for n in taken)
    found = first_in_both(list(united(left)), cell)
    inside = [max(low, cell[0]) for low, high in left if low <= cell[1] and cell[0] <= high]
    assert found == (min(inside) if inside else None)


def _random_text(random: Random) -> str:
    """The right configuration with other ranges, other sides, other upstreams here and there."""

    def network() -> str:
        return f"{random.choice(['10.244', '203.0', '192.168', '198.51'])}." + random.choice(
            ["0.0/16", "113.0/24", "113.128/25", "7.10", "112.0/20", "100.20", "0.0/17"]
        )

    lines = RIGHT.splitlines()
    for _ in range(random.randint(1, 3)):
        number = random.randrange(len(lines))
        line = lines[number].strip()
        match line.split()[0] if line else "":
            case "allow" | "deny":
                rule = f"{random.choice(['allow', 'deny'])} {random.choice([network(), 'all'])};"
                lines[number] = rule
            case "default" | "10.244.0.0/16" | "192.168.7.10/32":
                lines.insert(number, f"{network()} {random.choice(['all', 'here'])};")
            case "proxy_pass" if "edge" in line:
                lines[number] = f"proxy_pass shop_edge.{random.choice(['all', 'here'])};"
            case "listen" if "udp" not in line:
                rule = f"{random.choice(['allow', 'deny'])} {network()};"
                lines.insert(number, rule)
            case _:
                pass
    return "\n".join(lines)


@pytest.mark.parametrize("seed", range(400 if LONG else 60))
def test_what_is_proved_is_right_for_every_address(seed: int) -> None:
    """Addresses at random, asked one by one: what is wrong for one of them is violated."""
    random = Random(seed)
    objects = load([str(FOLDER / "objects.yaml")])
    settings, _ = node_settings(
        objects,
        load_configuration(str(FOLDER / "config.yaml")),
        Overrides(),
        Overrides(),
        hostname="elsewhere",
    )
    model = model_of(read_text(_random_text(random), "nginx.conf"))
    report = verify_proxy(objects, settings, model, [Family.IPV4])
    expectation = accepting(expect(objects, settings, Family.IPV4))
    places = Places(model, expectation)
    evaluator = Evaluator(model)
    bad: set[str] = set()
    bases = [
        10 << 24 | 244 << 16,
        203 << 24 | 113 << 8,
        192 << 24 | 168 << 16,
        198 << 24 | 51 << 16,
    ]
    for item in expectation.frontends:
        frontend = item.frontend
        to = frontend.address or min(places.own)
        listener = model.listener(Family.IPV4, to, frontend.protocol, frontend.port)
        for _ in range(60):
            value = random.choice(
                [random.getrandbits(32), random.choice(bases) | random.getrandbits(16)]
            )
            if places.is_local(value):
                continue
            sender = Sender(value, False, "")
            allowed = next(
                c.allowed for c in item.cases if is_met(c.condition, sender, to, Family.IPV4)
            )
            result = evaluator.result(listener, Address(Family.IPV4, value))
            if wrong(allowed, result) is not None:
                bad.add(str(frontend))
    violated = {f.frontend for f in report.findings if f.verdict == "violated"}
    assert bad <= violated


def test_random_changes_do_something() -> None:
    """Not all of them are right, nor are all of them wrong."""
    verdicts = set()
    objects = load([str(FOLDER / "objects.yaml")])
    settings, _ = node_settings(
        objects, load_configuration(str(FOLDER / "config.yaml")), Overrides(), Overrides(),
        hostname="elsewhere",
    )  # fmt: skip
    for seed in range(20):
        model = model_of(read_text(_random_text(Random(seed)), "nginx.conf"))
        verdicts.add(verify_proxy(objects, settings, model, [Family.IPV4]).verdict)
    assert verdicts == {"proved", "violated"}

"""What connection tracking is set to."""

from __future__ import annotations

import pytest

from svcc.apply.system import sysctl
from svcc.apply.system.conntrack_limits import BE_LIBERAL, MAX, ConntrackLimits, set_limits
from svcc.apply.system.errors import ToolError

UDP = "net/netfilter/nf_conntrack_udp_timeout"


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The sysctls that there are; what is read-only ends in a dot."""
    values = {MAX: "65536", UDP: "30", BE_LIBERAL: "0"}

    def set_value(name: str, text: str) -> None:
        if values[name].endswith("."):
            raise ToolError(f"cannot set {sysctl.dotted(name)}")
        values[name] = text

    monkeypatch.setattr(sysctl, "value", lambda name: values.get(name, "").rstrip(".") or None)
    monkeypatch.setattr(sysctl, "set_value", set_value)
    return values


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (ConntrackLimits(max_per_core=32768), {MAX: "131072"}),
        (ConntrackLimits(max_per_core=65536, least=7), {MAX: "262144"}),
        (ConntrackLimits(max_per_core=0, least=262144), {}),
        (ConntrackLimits(least=262144), {MAX: "262144"}),
        (ConntrackLimits(max_per_core=1, least=7), {}),
        (ConntrackLimits(udp=10.0, tcp_established=0.0), {UDP: "10"}),
        (ConntrackLimits(be_liberal=True), {BE_LIBERAL: "1"}),
        (ConntrackLimits(), {}),
    ],
)
def test_what_is_asked_for_is_set(
    kernel: dict[str, str], limits: ConntrackLimits, wanted: dict[str, str]
) -> None:
    before = dict(kernel)
    said = list(set_limits(limits, cores=4))
    assert kernel == before | wanted
    assert len(said) == len(wanted)
    assert not list(set_limits(limits, cores=4))


def test_what_cannot_be_set_is_told(kernel: dict[str, str]) -> None:
    kernel[UDP] = "30."
    said = list(set_limits(ConntrackLimits(udp=10.0, udp_stream=5.0), cores=4))
    assert [text.split(":")[0] for text in said] == ["warning", "warning"]

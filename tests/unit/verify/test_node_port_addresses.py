"""Every way to select the addresses of node ports is proved, in both modes."""

from __future__ import annotations

import pytest

from svcc.cli import main
from tests.paths import ROOT

NODE_PORT = ROOT / "examples" / "classic" / "nodeport.yaml"


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
@pytest.mark.parametrize(
    "networks",
    [
        "127.0.0.1/32",
        "127.0.0.0/8",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "127.0.0.0/9,192.168.0.0/16",
        "primary",
    ],
)
def test_it_is_proved(mode: str, networks: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([
        "verify", "-f", str(NODE_PORT), "--mode", mode, "--node", "node-a", "--node-ip",
        "192.168.7.10", "--cluster-cidr", "10.244.0.0/16", "--nodeport-addresses", networks,
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().out

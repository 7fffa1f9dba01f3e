"""Random rule sets: chains, matches, negations, marks, jumps and translations of any shape."""

from __future__ import annotations

from hypothesis import strategies as st

ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.9", "192.168.7.10")
NETWORKS = (*(f"{a}/32" for a in ADDRESSES), "10.0.0.0/30", "10.0.0.0/8", "192.168.0.0/16")
PORTS = (80, 81, 443)
BACKENDS = (("10.0.0.3", 8080), ("10.0.0.9", 80), ("192.168.7.10", 443))

_HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
_CHAINS = ("ONE", "TWO", "THREE")


def _negated(text: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(st.sampled_from(("", "! ")), text).map("".join)


def _address(option: str) -> st.SearchStrategy[str]:
    return _negated(st.sampled_from(NETWORKS).map(lambda network: f"{option} {network}"))


_MATCHES = st.one_of(
    _address("-s"),
    _address("-d"),
    _negated(st.sampled_from(("-i eth0", "-i veth+", "-i lo"))),
    _negated(st.sampled_from(("-o eth1", "-o lo"))),
    _negated(st.sampled_from(("-p tcp", "-p udp"))),
    st.sampled_from(PORTS).map(lambda port: f"-p tcp -m tcp --dport {port}"),
    st.sampled_from(PORTS).map(lambda port: f"-p tcp -m tcp ! --dport {port}"),
    st.just("-p tcp -m tcp --dport 80:81"),
    st.just("-p tcp -m multiport --dports 80,443"),
    st.just("-p tcp -m tcp --sport 1024:65535"),
    _negated(st.sampled_from(("1", "2", "3"))).map(
        lambda mark: (
            f"-m mark {mark.replace('! ', '! --mark ') if '!' in mark else '--mark ' + mark}/0x3"
        )
    ),
    st.sampled_from(("NEW", "NEW,ESTABLISHED", "DNAT", "RELATED,ESTABLISHED", "UNTRACKED"))
    .flatmap(lambda states: _negated(st.just(f"--ctstate {states}")))
    .map(lambda text: f"-m conntrack {text}"),
    st.sampled_from(ADDRESSES).map(lambda a: f"-m conntrack --ctorigdst {a}"),
    _negated(st.sampled_from(("--dst-type LOCAL", "--src-type LOCAL"))).map(
        lambda text: f"-m addrtype {text}"
    ),
    st.sampled_from(("0.25", "0.5", "1.0", "0.0")).map(
        lambda p: f"-m statistic --mode random --probability {p}"
    ),
    _negated(st.sampled_from(("--rcheck --seconds 60", "--update --seconds 600"))).map(
        lambda text: f"-m recent {text} --name seen --rsource"
    ),
    st.just('-m bpf --bytecode "6,32 0 0 12,7 0 0 0,32 0 0 16,29 0 1 0,6 0 0 1,6 0 0 0"'),
)


@st.composite
def _rule(draw: st.DrawFn, table: str, chain: str, later: tuple[str, ...]) -> str:
    matches = draw(st.lists(_MATCHES, max_size=3))
    kept: list[str] = []
    for text in matches:
        # One of each kind, as iptables takes -s, -d, -i, -o and -p once.
        option = text.replace("! ", "").split()[0]
        if option == "-m" or not any(option in other.split() for other in kept):
            kept.append(text)
    if table == "nat" and chain not in ("PREROUTING", "OUTPUT", "POSTROUTING"):
        kept = [text for text in kept if "-o" not in text]
    targets = ["-j RETURN", "-j MARK --set-xmark 0x1/0x3", "-j MARK --set-xmark 0x2/0x2", ""]
    targets += [f"-j {name}" for name in later] + [f"-g {name}" for name in later]
    if table == "nat":
        if chain == "POSTROUTING":
            targets += ["-j MASQUERADE"] * 2
        elif any("-p tcp" in text and "! -p" not in text for text in kept):
            targets += [f"-j DNAT --to-destination {a}:{p}" for a, p in BACKENDS]
    if table in ("filter", "mangle"):
        targets += ["-j ACCEPT", "-j DROP"]
    if table == "nat":
        targets += ["-j ACCEPT"]
    if table == "filter":
        targets += ["-j REJECT --reject-with icmp-port-unreachable"]
    if table == "raw":
        targets += ["-j CT --notrack", "-j ACCEPT"]
    return " ".join(part for part in (f"-A {chain}", *kept, draw(st.sampled_from(targets))) if part)


@st.composite
def rule_sets(draw: st.DrawFn) -> str:
    """An iptables-save text of IPv4 with rules of every kind that the model knows."""
    lines: list[str] = []
    for table, hooks in _HOOKS.items():
        if table in ("raw", "mangle") and draw(st.integers(0, 3)):
            continue
        lines.append(f"*{table}")
        drops = st.sampled_from(("ACCEPT", "ACCEPT", "DROP") if table == "filter" else ("ACCEPT",))
        lines += [f":{hook} {draw(drops)} [0:0]" for hook in hooks]
        lines += [f":{name} - [0:0]" for name in _CHAINS]
        for hook in hooks:
            for _ in range(draw(st.integers(0, 4))):
                lines.append(draw(_rule(table, hook, _CHAINS if hook != "POSTROUTING" else ())))
        for index, name in enumerate(_CHAINS):
            for _ in range(draw(st.integers(0, 3))):
                lines.append(draw(_rule(table, name, _CHAINS[index + 1 :])))
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"

"""Damage to a right configuration is caught, with the code that says what it is; changes that are
none are not flagged; what is not known is never proved.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import svcc
from tests.unit.verify.userspace.shop import FOLDER, GIVEN, RIGHT, changed, server, verify

WEB = server("10.96.0.10:80")
EDGE = server("198.51.100.20:443")
AWAY = server("198.51.100.30:25")

DAMAGE = {
    "a backend is missing": (
        changed("        server 10.244.2.7:8080 max_fails=0;\n", ""), "SVC001"),
    "a backend is another's": (
        changed("server 10.244.2.7:8080", "server 10.244.2.70:8080"), "SVC002"),
    "a backend too many": (
        changed("        server 10.244.2.7:8080",
                "        server 10.244.9.9:8080 max_fails=0;\n        server 10.244.2.7:8080"),
        "SVC002"),
    "a backend's port": (changed("server 10.244.2.7:8080", "server 10.244.2.7:8081"), "SVC002"),
    "a backend has another weight": (
        changed("server 10.244.2.7:8080 max", "server 10.244.2.7:8080 weight=2 max"), "SVC005"),
    "a backend stands twice": (
        changed("        server 10.244.2.7:8080",
                "        server 10.244.2.7:8080 max_fails=0;\n        server 10.244.2.7:8080"),
        "SVC005"),
    "a backend is down": (
        changed("server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080 max_fails=0 down"),
        "SVC001"),
    "the only backend is down": (
        changed("server 10.244.2.9:25 max_fails=0", "server 10.244.2.9:25 max_fails=0 down"),
        "SVC004"),
    "a backend is a backup": (
        changed("server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080 max_fails=0 backup"),
        "SVC001"),
    "another's backend is a backup": (
        changed("        server 10.244.2.7:8080",
                "        server 10.244.9.9:8080 backup;\n        server 10.244.2.7:8080"),
        "SVC002"),
    "passive health checks": (
        changed("server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080"), "SVC086"),
    "passive health checks after three": (
        changed("server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080 max_fails=3"),
        "SVC086"),
    "passive health checks that forget at once": (
        changed("server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080 fail_timeout=0"),
        "SVC086"),
    "a listener is missing": (changed(WEB, ""), "SVC003"),
    "a listener on another port": (
        changed("listen 10.96.0.10:80 ", "listen 10.96.0.10:8080 "), "SVC003"),
    "a listener on another address": (
        changed("listen 10.96.0.10:80 ", "listen 10.96.0.14:80 "), "SVC003"),
    "a listener of the other protocol": (
        changed("listen 10.96.0.10:80 so_keepalive=on", "listen 10.96.0.10:80 udp reuseport"),
        "SVC003"),
    "a listener of the other family": (
        changed("listen [fd00:96::10]:80", "listen 10.96.0.14:81"), "SVC003"),
    "a listener on all addresses": (
        changed("listen 192.168.7.10:30080", "listen 30080"), "SVC011"),
    "a listener on all addresses of IPv6": (
        changed("listen [fd00:7::10]:30080", "listen [::]:30080"), "SVC011"),
    "a listener of nobody": (
        changed(WEB, WEB + WEB.replace("10.96.0.10:80 ", "10.96.0.10:81 ")), "SVC011"),
    "a listener of nobody on the node": (
        changed(WEB, WEB + WEB.replace("10.96.0.10:80 ", "192.168.7.10:80 ")), "SVC011"),
    "a listener where nobody is": (
        changed(WEB, WEB + WEB.replace("10.96.0.10:80 ", "10.96.0.14:80 ")), "SVC009"),
    "a listener that closes where nobody is": (
        changed(WEB, WEB + WEB.replace("10.96.0.10:80 so_keepalive=on;",
                                       "10.96.0.14:80; deny all;")), "SVC010"),
    "another loopback address of a node port": (
        changed("listen 127.0.0.1:30080 so_keepalive=on;\n        proxy_pass shop_web_http.all",
                "listen 127.0.0.1:30080 so_keepalive=on;\n        proxy_pass shop_web_http.all;\n"
                "    }\n    server {\n        listen 127.0.0.9:30080;\n"
                "        proxy_pass shop_cart.all"), "SVC002"),
    "another upstream": (
        changed(WEB, WEB.replace("shop_web_http.all", "shop_cart.all")), "SVC002"),
    "another upstream of the same size and affinity": (
        changed("proxy_pass shop_dns_dns-tcp.all", "proxy_pass shop_edge.all"), "SVC002"),
    "an address instead of the upstream": (
        changed(WEB, WEB.replace("shop_web_http.all", "10.244.1.5:8080")), "SVC001"),
    "all instead of those of the client's side": (
        changed(EDGE, EDGE.replace("shop_edge.$svcc_side", "shop_edge.all")), "SVC002"),
    "those here instead of those of the client's side": (
        changed(EDGE, EDGE.replace("shop_edge.$svcc_side", "shop_edge.here")), "SVC001"),
    "the side of a client is turned round": (
        changed("default here;", "default all;"), "SVC002"),
    "the pods are outside": (changed("        10.244.0.0/16 all;\n", ""), "SVC001"),
    "some pods are outside": (
        changed("10.244.0.0/16 all;", "10.244.0.0/16 all;\n        10.244.7.7 here;"), "SVC001"),
    "the node is outside": (changed("        192.168.7.10/32 all;\n", ""), "SVC001"),
    "the side leads to no upstream": (changed("default here;", "default nowhere;"), "SVC004"),
    "no deny": (changed(EDGE, EDGE.replace("        deny all;\n", "")), "SVC009"),
    "deny before allow": (
        changed(EDGE, EDGE.replace("        deny all;\n", "").replace(
            "        allow 10", "        deny all;\n        allow 10")), "SVC004"),
    "a range is wider": (
        changed("allow 203.0.113.0/24", "allow 203.0.112.0/23"), "SVC009"),
    "a range is narrower": (
        changed("allow 203.0.113.0/24", "allow 203.0.113.0/25"), "SVC004"),
    "a range is missing": (changed("        allow 203.0.113.0/24;\n", ""), "SVC004"),
    "an address within a range is denied": (
        changed("        allow 203.0.113.0/24;\n",
                "        deny 203.0.113.9;\n        allow 203.0.113.0/24;\n"), "SVC004"),
    "ranges where there are none": (
        changed(WEB, WEB.replace("proxy_pass", "deny 203.0.113.9;\n        proxy_pass")), "SVC004"),
    "denied for all servers": (
        changed("    proxy_half_close on;\n", "    proxy_half_close on;\n    deny 10.0.0.0/8;\n"),
        "SVC004"),
    "outside gets in where none is here": (
        changed(AWAY, AWAY.replace("        deny all;\n", "")), "SVC009"),
    "no affinity": (changed("        hash $remote_addr;\n", ""), "SVC006"),
    "affinity by the port": (
        changed("hash $remote_addr", "hash $remote_addr$remote_port"), "SVC006"),
    "affinity for nobody": (changed("hash $remote_addr", "hash $server_addr"), "SVC005"),
    "affinity at random": (changed("hash $remote_addr", "random"), "SVC006"),
    "affinity that nobody asks for": (
        changed("    upstream shop_web_http.all {\n",
                "    upstream shop_web_http.all {\n        hash $remote_addr;\n"), "SVC006"),
    "workers share a socket for UDP": (
        changed("udp reuseport", "udp"), "SVC087"),
    "the UDP listener is one of TCP": (
        changed(server("10.96.0.53:53 udp"), ""), "SVC003"),
}  # fmt: skip

HARMLESS = {
    "no comments": "".join(
        line for line in RIGHT.splitlines(True) if not line.strip().startswith("#")
    ),
    "other comments": changed("    # shop/cart", "    # anything { } ; at all\n    # shop/cart"),
    "on few lines": " ".join(
        line.strip() for line in RIGHT.splitlines() if not line.strip().startswith("#")
    ),
    "quotes": changed("listen 10.96.0.10:80", 'listen "10.96.0.10:80"'),
    "servers in another order": changed(WEB, "", RIGHT).replace(AWAY, WEB + AWAY),
    "backends in another order": changed(
        "        server 10.244.1.5:8080 max_fails=0;\n        server 10.244.2.7:8080 max_fails=0;",
        "        server 10.244.2.7:8080 max_fails=0;\n        server 10.244.1.5:8080 max_fails=0;"),
    "upstreams of other names": RIGHT.replace("shop_web_http.all", "web"),
    "names in capitals": changed("proxy_pass shop_cart.all", "proxy_pass SHOP_CART.ALL"),
    "equal weights": changed(
        "server 10.244.1.5:8081 max_fails=0", "server 10.244.1.5:8081 weight=3 max_fails=0"
    ).replace("server 10.244.2.7:8081 max_fails=0", "server 10.244.2.7:8081 max_fails=0 weight=3"),
    "at random": changed("    upstream shop_web_http.all {\n",
                         "    upstream shop_web_http.all {\n        random;\n"),
    "the address in binary": changed("hash $remote_addr", "hash $binary_remote_addr"),
    "a shared zone": changed("    upstream shop_cart.all {\n",
                             "    upstream shop_cart.all {\n        zone cart 64k;\n"),
    "a surplus server that is down": changed(
        "        server 10.244.2.7:8080",
        "        server 10.244.9.9:8080 down;\n        server 10.244.2.7:8080"),
    "passive health checks of a single backend": changed(
        "server 10.244.2.9:25 max_fails=0", "server 10.244.2.9:25"),
    "the address of a single backend": changed(
        AWAY, AWAY.replace("shop_away.all", "10.244.2.9:25")),
    "one worker": changed("worker_processes auto", "worker_processes 1").replace(
        "udp reuseport", "udp"),
    "other timeouts": changed("proxy_connect_timeout 5s", "proxy_connect_timeout 1s"),
    "no other backend is tried": changed(
        "    proxy_half_close on;\n", "    proxy_half_close on;\n    proxy_next_upstream off;\n"),
    "a range in two halves": changed(
        "allow 203.0.113.0/24;", "allow 203.0.113.0/25;\n        allow 203.0.113.128/25;"),
    "a range with bits behind its prefix": changed("203.0.113.0/24", "203.0.113.77/24"),
    "the side by a map": changed(
        "geo $svcc_side {", "map $where $svcc_side { default here; in all; }\n    geo $where {"
    ).replace("        default here;\n", "        default out;\n").replace(" all;\n", " in;\n", 7),
    "access for all servers": changed(
        "    proxy_half_close on;\n", "    proxy_half_close on;\n    allow all;\n"),
    "two listeners of one server": changed(
        "        listen 192.168.7.10:30080 so_keepalive=on;\n",
        "        listen 192.168.7.10:30080;\n        listen 127.0.0.1:30080;\n"
    ).replace(server("127.0.0.1:30080"), ""),
    "a socket of a file": changed(
        "        listen 10.96.0.10:80 ",
        "        listen unix:a.sock;\n        listen 10.96.0.10:80 "),
    "no module to load": changed(RIGHT.splitlines(True)[0], ""),
}  # fmt: skip

UNKNOWN = {
    "TLS": changed("10.96.0.10:80 so_keepalive=on", "10.96.0.10:80 ssl"),
    "the PROXY protocol": changed("10.96.0.10:80 so_keepalive=on", "10.96.0.10:80 proxy_protocol"),
    "the PROXY protocol to backends": changed(
        "    proxy_half_close on;\n", "    proxy_half_close on;\n    proxy_protocol on;\n"),
    "another source": changed(
        WEB, WEB.replace("proxy_pass", "proxy_bind $remote_addr transparent; proxy_pass")),
    "limits": changed(WEB, WEB.replace("proxy_pass", "limit_conn addr 1; proxy_pass")),
    "scripts": changed(WEB, WEB.replace("proxy_pass", "js_access main.access; proxy_pass")),
    "a directive of nobody": changed("    proxy_half_close on;\n", "    proxy_magic on;\n"),
    "least connections": changed("    upstream shop_web_http.all {\n",
                                 "    upstream shop_web_http.all {\n        least_conn;\n"),
    "the better of two": changed("    upstream shop_web_http.all {\n",
                                 "    upstream shop_web_http.all {\n        random two;\n"),
    "points of a circle": changed("hash $remote_addr", "hash $remote_addr consistent"),
    "affinity by something": changed("hash $remote_addr", "hash $ssl_preread_server_name"),
    "a limit of connections": changed(
        "server 10.244.2.7:8080 max_fails=0", "server 10.244.2.7:8080 max_fails=0 max_conns=1"),
    "a backend by name": changed("server 10.244.2.7:8080", "server web.example:8080"),
    "a target by name": changed(WEB, WEB.replace("shop_web_http.all", "web.example:80")),
    "a target by a variable of nobody": changed(
        WEB, WEB.replace("shop_web_http.all", "$ssl_preread_server_name")),
    "ranges of addresses": changed("        default here;\n",
                                   "        ranges;\n        default here;\n"),
    "regular expressions": changed(
        WEB, WEB.replace("shop_web_http.all", "$target")
    ).replace("    geo $svcc_side {",
              "    map $remote_addr $target { ~^10 shop_web_http.all; }\n    geo $svcc_side {"),
    "many ports": changed(WEB, WEB + WEB.replace("10.96.0.10:80 ", "10.96.0.10:90-99 ")),
    "a name to listen on": changed(WEB, WEB + WEB.replace("10.96.0.10:80 ", "localhost:81 ")),
    "a web server": RIGHT + "http { server { listen 10.96.0.14:80; } }\n",
    "another module": "load_module modules/ngx_stream_js_module.so;\n" + RIGHT,
    "a rate": changed(WEB, WEB.replace("proxy_pass", "proxy_download_rate 1; proxy_pass")),
    "a semicolon is missing": changed("proxy_half_close on;", "proxy_half_close on"),
    "few answers": changed("proxy_timeout 120s", "proxy_timeout 120s; proxy_responses 0"),
}  # fmt: skip

REFUSED = {
    "a listener stands twice": changed(WEB, WEB + WEB),
    "no such upstream": changed("proxy_pass shop_cart.all", "proxy_pass shop_card.all"),
    "an upstream stands twice": changed(
        "    upstream shop_cart.all {\n", "    upstream shop_web_http.all {\n"),
    "an upstream without servers": changed("        server 10.244.2.9:25 max_fails=0;\n", ""),
    "nothing to do": changed(WEB, WEB.replace("        proxy_pass shop_web_http.all;\n", "")),
    "nowhere to listen": changed("        listen 10.96.0.10:80 so_keepalive=on;\n", ""),
    "no events": RIGHT[: RIGHT.index("events {")] + RIGHT[RIGHT.index("stream {") :],
    "too few connections": changed("worker_connections 16461", "worker_connections 10"),
    "a backup beside hash": changed("server 10.244.2.7:8081", "server 10.244.2.7:8081 backup"),
    "a semicolon is missing": changed("worker_processes auto;", "worker_processes auto"),
    "a brace too many": RIGHT + "}\n",
    "a brace too few": RIGHT.rstrip()[:-1],
    "the end is missing": RIGHT + "user nobody",
    "a directive at the wrong place": changed("    proxy_half_close on;\n", "    listen 1;\n"),
    "an address that is none": changed("allow 203.0.113.0/24", "allow 203.0.113.0/33"),
    "an include that is not there": RIGHT + "include nothere.conf;\n",
}  # fmt: skip


def test_what_is_right_is_proved(tmp_path: Path) -> None:
    done = verify(tmp_path, RIGHT)
    assert done.code == 0, done.out
    assert done.json()["verdict"] == "proved"
    assert len(done.json()["properties"]) > 30


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_caught(name: str, tmp_path: Path) -> None:
    text, code = DAMAGE[name]
    assert text != RIGHT
    done = verify(tmp_path, text)
    assert done.code == 1, done.out
    assert code in done.codes(), done.codes()
    found = [f for f in done.json()["properties"] if f.get("code") == code]
    assert found[0]["verdict"] == "violated"
    assert "counterexample" in found[0] or found[0]["property"] == "captures-nothing-else"


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_changes_are_not_flagged(name: str, tmp_path: Path) -> None:
    text = HARMLESS[name]
    assert text != RIGHT
    done = verify(tmp_path, text)
    assert done.code == 0, done.out + done.err


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_undecided(name: str, tmp_path: Path) -> None:
    text = UNKNOWN[name]
    assert text != RIGHT
    done = verify(tmp_path, text)
    assert done.code == 3, done.out + done.err
    assert "SVC020" in done.codes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_nginx_refuses_is_bad_input(name: str, tmp_path: Path) -> None:
    text = REFUSED[name]
    assert text != RIGHT
    done = verify(tmp_path, text)
    assert done.code == 2, done.out + done.err
    assert f"{tmp_path}/nginx.conf" in done.err
    assert "error: " in done.err


ADDRESSES = (FOLDER / "addresses.batch").read_text()


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (changed("address add 10.96.0.10\n", "", ADDRESSES), "SVC001"),
        (changed("address add 10.96.0.14\n", "", ADDRESSES), "SVC009"),
        (f"{ADDRESSES}address add 10.96.0.99\n", "SVC014"),
        (f"{ADDRESSES}address add 10.244.2.9\n", "SVC017"),
    ],
)
def test_wrong_addresses_are_caught(addresses: str, code: str, tmp_path: Path) -> None:
    done = verify(tmp_path, RIGHT, addresses=addresses)
    assert done.code == 1, done.out
    assert code in done.codes(), done.codes()


def test_addresses_as_ip_shows_them(tmp_path: Path) -> None:
    shown = "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n"
    for line in ADDRESSES.split("\n")[:-1]:
        address = line.split()[-1]
        shown += f"    inet{'6' * (':' in address)} {address} scope global lo\n"
    assert verify(tmp_path, RIGHT, addresses=shown).code == 0
    less = changed("    inet 10.96.0.13 scope global lo\n", "", shown)
    assert verify(tmp_path, RIGHT, addresses=less).code == 1


def test_without_addresses_a_note_says_so(tmp_path: Path) -> None:
    (tmp_path / "proxy").write_text(RIGHT)
    done = svcc("verify", *GIVEN, "--rules", tmp_path / "proxy")
    assert done.code == 0, done
    assert "SVC088" in done.err


def test_includes_stand_where_they_are_included(tmp_path: Path) -> None:
    start, end = RIGHT.index("    upstream"), RIGHT.rindex("}")
    (tmp_path / "sites").mkdir()
    text = RIGHT[:start] + "    include sites/*.conf;\n" + RIGHT[end:]
    (tmp_path / "sites" / "a.conf").write_text(RIGHT[start:end])
    assert verify(tmp_path, text).code == 0
    wrong = changed("        server 10.244.2.7:8080 max_fails=0;\n", "", RIGHT[start:end])
    (tmp_path / "sites" / "a.conf").write_text(wrong)
    done = verify(tmp_path, text)
    assert done.code == 1
    causes = [finding.get("cause", {}) for finding in done.json()["findings"]]
    assert {cause.get("file") for cause in causes} == {str(tmp_path / "sites" / "a.conf")}
    (tmp_path / "sites" / "b.conf").write_text("include b.conf;\n")
    assert verify(tmp_path, text).code == 2

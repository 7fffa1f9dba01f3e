"""How often what fails is tried again, without a clock: each wait is written down, none waited."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.agent.api_server import follower as module
from svcc.agent.api_server.access import Access
from svcc.agent.api_server.timing import Backoff
from tests.support.api_server.server import (
    ApiServer,
    Fault,
    dropped,
    garbage,
    half,
    status,
    stream,
)
from tests.unit.agent.api_server.following import (
    GONE,
    Seen,
    Ticks,
    asked,
    bookmark,
    event,
    follow,
    service,
)

# -- how often -----------------------------------------------------------------------------

FAILURES: dict[str, tuple[str, Fault]] = {
    "500": ("", status(500, "InternalError", "etcd is upset")),
    "503": ("", status(503, "ServiceUnavailable", "not now")),
    "401": ("", status(401, "Unauthorized", "Unauthorized")),
    "403": ("", status(403, "Forbidden", "forbidden")),
    "404": ("", status(404, "NotFound", "the server could not find the requested resource")),
    "410 of a list": ("list", status(410, "Expired", "too old")),
    "no list": ("list", garbage(b"<html>")),
    "a redirect": ("", garbage(b"", 302)),
    "cut": ("", dropped),
    "half": ("", half),
    "watches end at once": ("watch", stream()),
    "watches are cut at once": ("watch", stream(cut_off=True)),
    "410 of each watch": ("watch", stream({"type": "ERROR", "object": GONE})),
    "nonsense in each watch": ("watch", stream(b"nonsense\n")),
    "an event, and the watch is cut": ("watch", stream(event("ADDED", "a", 101), cut_off=True)),
    "400 of each watch": ("watch", status(400, "BadRequest", "no such version")),
}


@pytest.mark.parametrize("what", FAILURES)
@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_what_always_fails_is_tried_ever_more_rarely(
    server: ApiServer, access: Access, what: str, chance: float
) -> None:
    verb, answer = FAILURES[what]
    server.store.put(service("web"))
    server.fail(1000, answer, verb=verb)
    ticks = Ticks(12, chance=chance)
    _, seen = follow(access, ticks)
    plain = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, *[30.0] * 6]
    assert ticks.waits == pytest.approx([wait * (1 + chance) for wait in plain])
    # A try is a list and a watch, and each may have been refused once for its version.
    assert len(server.requests) <= 12 * 3
    # It is told once, not each time, and once when it has worked in between.
    assert len(seen.told) <= 24
    if not verb:
        assert len(seen.told) == 1


@pytest.mark.parametrize(("header", "waits"), [("7", 7.0), ("0", 0.8), ("86400", 300.0)])
def test_what_a_server_asks_to_wait_is_waited(
    server: ApiServer, access: Access, header: str, waits: float
) -> None:
    server.fail(1, status(429, "TooManyRequests", "too many requests", header))
    server.fail(1, stream(), verb="watch")
    ticks = Ticks(2)
    _, seen = follow(access, ticks)
    assert ticks.waits[0] == waits
    assert "too many requests" in seen.told[0]


def test_a_watch_that_lasted_is_followed_by_the_next_at_once(
    server: ApiServer, access: Access
) -> None:
    ticks = Ticks(1)

    def later() -> None:
        ticks.time += 400.0 if len(server.asked("services", "watch")) < 4 else 0.0

    seen = Seen(on_call=later)
    for number, cut_off in ((101, False), (102, True), (103, False)):
        server.fail(1, stream(event("ADDED", "a", number), cut_off=cut_off), verb="watch")
    server.fail(1, stream(), verb="watch")
    follow(access, ticks, seen)
    assert len(asked(server, "watch")) == 4
    assert ticks.waits == [Backoff.FIRST]
    assert seen.told == []


def test_after_a_watch_that_lasted_it_is_tried_soon_again(
    server: ApiServer, access: Access
) -> None:
    ticks = Ticks(6)

    def later() -> None:
        ticks.time += 400.0 if seen.calls[-1] == ("put", "a") else 0.0

    seen = Seen(on_call=later)
    refused = status(503, "ServiceUnavailable", "not now")
    server.fail(4, refused, verb="list")
    server.fail(1, stream(event("ADDED", "a", 101)), verb="watch")
    server.fail(100, refused, verb="watch")
    follow(access, ticks, seen)
    assert ticks.waits == [0.8, 1.6, 3.2, 6.4, 0.8, 1.6]


def test_all_is_listed_again_from_time_to_time(server: ApiServer, access: Access) -> None:
    ticks = Ticks(1)
    server.store.put(service("web"))
    server.store.put(service("lost"))

    def later() -> None:
        if len(asked(server, "list")) == 1 and len(seen.calls) == 2:
            ticks.time += module.RELIST
            server.store.delete_unseen(service("lost"))

    seen = Seen(on_call=later)
    server.fail(1, stream(event("ADDED", "web", 102)), verb="watch")
    server.fail(1, stream(), verb="watch")
    follow(access, ticks, seen)
    assert seen.calls == [("replace", ["lost", "web"]), ("put", "web"), ("replace", ["web"])]


def test_since_when_it_may_be_out_of_date(server: ApiServer, access: Access) -> None:
    ticks = Ticks(4)
    server.fail(1, stream(bookmark(101)), verb="watch")
    server.fail(1000, status(503, "ServiceUnavailable", "not now"), verb="watch")
    follower, _ = follow(access, ticks)
    # The first watch was right up to its end, at the beginning; waits came after it.
    assert follower.stale_since == 1000.0
    assert ticks.time > 1005.0


def test_nothing_is_known_before_the_first_list(server: ApiServer, access: Access) -> None:
    server.fail(1000, status(503, "ServiceUnavailable", "not now"))
    follower, seen = follow(access, Ticks(3))
    assert follower.stale_since == 1000.0
    assert seen.calls == []


def test_a_fault_of_ours_does_not_end_it(server: ApiServer, access: Access) -> None:
    server.store.put(service("web"))
    calls: list[None] = []

    def fail_once() -> None:
        calls.append(None)
        if len(calls) == 1:
            raise KeyError("x")

    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(2), Seen(on_call=fail_once))
    assert seen.told[0] == "warning: services: KeyError: 'x'; please report this"
    assert len(asked(server, "list")) == 2


def test_lists_may_be_packed(server: ApiServer, access: Access, tmp_path: Path) -> None:
    server.ignores_limit = True
    for number in range(600):
        server.store.put(service(f"s{number:04}"))
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    (request,) = server.asked("services", "list")
    assert request.headers["Accept-Encoding"] == "gzip"
    assert len(seen.objects) == 600

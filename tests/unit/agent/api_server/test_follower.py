"""How a kind is listed and watched, without a clock: each wait is written down, none waited."""

from __future__ import annotations

import json

import pytest

from svcc.agent.api_server import follower as module
from svcc.agent.api_server.access import Access
from tests.support.api_server.server import (
    ApiServer,
    Fault,
    Handler,
    Hang,
    Request,
    garbage,
    status,
    stream,
)
from tests.unit.agent.api_server.following import (
    GONE,
    Object,
    Ticks,
    asked,
    bookmark,
    event,
    follow,
    service,
)

ITEM = b'{"metadata":{"name":"made-up"}}'


# -- lists ---------------------------------------------------------------------------------


def test_a_list_comes_in_pages(server: ApiServer, access: Access) -> None:
    for number in range(1201):
        server.store.put(service(f"s{number:04}"))
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", [f"s{number:04}" for number in range(1201)])]
    first, second, third = asked(server, "list")
    selector = {"labelSelector": "!service.kubernetes.io/service-proxy-name"}
    assert first == {**selector, "limit": "500", "resourceVersion": "0"}
    for later in (second, third):
        assert later.keys() == {"labelSelector", "limit", "continue"}
    (watched,) = asked(server, "watch")
    assert watched == {
        **selector,
        "watch": "1",
        "resourceVersion": "1301",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
    }
    assert all(item["kind"] == "Service" for item in seen.objects.values())


def test_a_server_that_sends_all_at_once_is_as_good(server: ApiServer, access: Access) -> None:
    server.ignores_limit = True
    for number in range(700):
        server.store.put(service(f"s{number:04}"))
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert len(seen.objects) == 700
    assert len(asked(server, "list")) == 1


def test_pages_that_expire_are_asked_for_all_at_once(server: ApiServer, access: Access) -> None:
    for number in range(1100):
        server.store.put(service(f"s{number:04}"))

    def compact(handler: Handler, request: Request) -> bool:
        server.store.delete(service("s0000"))
        server.store.compact()
        return True

    def is_third(handler: Handler, request: Request) -> bool:
        return compact(handler, request) if len(asked(server, "list")) == 3 else True

    server.faults.append(is_third)
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", [f"s{number:04}" for number in range(1, 1100)])]
    last = asked(server, "list")[-1]
    assert "limit" not in last
    assert "continue" not in last
    assert len(asked(server, "list")) == 4
    assert seen.told == []


def test_a_list_is_never_older_than_what_is_known(server: ApiServer, access: Access) -> None:
    server.store.put(service("web"))
    server.fail(1, stream({"type": "ERROR", "object": GONE}), verb="watch")
    server.fail(1, stream(), verb="watch")
    follow(access, Ticks(1))
    _, again = asked(server, "list")
    assert again["resourceVersion"] == "101"
    assert again["resourceVersionMatch"] == "NotOlderThan"
    assert again["limit"] == "500"


def test_where_nothing_so_new_is_to_be_had_what_is_newest_counts(
    server: ApiServer, access: Access
) -> None:
    for name in ("a", "b", "c"):
        server.store.put(service(name))

    def restore(handler: Handler, request: Request) -> bool:
        server.store.delete_unseen(service("c"))
        server.store.restore(50)
        return stream({"type": "ERROR", "object": GONE})(handler, request)

    server.fail(1, restore, verb="watch")
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    _, refused, newest = asked(server, "list")
    assert refused["resourceVersion"] == "103"
    assert "resourceVersion" not in newest
    assert sorted(seen.objects) == ["a", "b"]
    assert asked(server, "watch")[-1]["resourceVersion"] == "50"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>welcome</html>",
        b"[]",
        b"null",
        b'{"kind": "ServiceList", "items": []}',
        b'{"kind": "ServiceList", "metadata": {}, "items": []}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": 5}, "items": []}',
        b'{"kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": []}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": "5"}, "items": {}}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": "5"}}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": "5"}, "items": [3]}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": "5"}, "items": [{}]}',
        b'{"kind": "ServiceList", "metadata": {"resourceVersion": "5", "continue": 3}}',
        *(
            b'{"kind":"ServiceList","metadata":{"resourceVersion":"5"},"items":[' + rest
            for rest in (
                b"",
                b"3]}",
                b"{}]}",
                b"%(a)b" % {b"a": ITEM},
                b"%(a)b,]}" % {b"a": ITEM},
                b",%(a)b]}" % {b"a": ITEM},
                b"%(a)b%(a)b]}" % {b"a": ITEM},
                b"%(a)b}" % {b"a": ITEM},
                b"%(a)b]" % {b"a": ITEM},
                b"%(a)b]}}" % {b"a": ITEM},
                b"[" * 100_000,
            )
        ),
        b'{"metadata":{"resourceVersion":"5","items":[]},"kind":"ServiceList"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_list_that_is_none_changes_nothing(
    server: ApiServer, access: Access, body: bytes
) -> None:
    server.store.put(service("web"))
    server.fail(1, garbage(body), verb="list")
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(2))
    assert seen.calls == [("replace", ["web"])]
    assert len(asked(server, "list")) == 2
    assert "list" in seen.told[0] or "no JSON" in seen.told[0]


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("order", [1, -1])
def test_a_list_is_the_same_however_it_is_written(
    server: ApiServer, access: Access, indent: int | None, order: int
) -> None:
    items = [service(name) for name in ("a", "b")]
    items[0]["metadata"]["annotations"] = {"x": '"items":[', "items": ["]"]}
    body: Object = {
        "kind": "ServiceList",
        "metadata": {"resourceVersion": "101"},
        "items": [{k: v for k, v in item.items() if k != "kind"} for item in items],
    }
    fields = list(body.items())[::order]
    text = json.dumps(dict(fields), indent=indent, separators=None if indent else (",", ":"))
    server.fail(1, garbage(text.encode()), verb="list")
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.objects == {item["metadata"]["name"]: item for item in items}


def test_a_list_of_nothing_is_one(server: ApiServer, access: Access) -> None:
    # Go writes an empty list as null.
    server.fail(
        1,
        garbage(b'{"kind":"ServiceList","metadata":{"resourceVersion":"101"},"items":null}'),
        verb="list",
    )
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", [])]


# -- watches -------------------------------------------------------------------------------


def test_events_are_told_as_they_come(server: ApiServer, access: Access) -> None:
    server.store.put(service("web"))
    server.fail(
        1,
        stream(
            event("ADDED", "db", 102),
            event("MODIFIED", "never-seen", 103),
            event("DELETED", "web", 104),
            event("ADDED", "web", 105),
            event("DELETED", "unknown", 106),
            bookmark(200),
        ),
        verb="watch",
    )
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(2))
    assert seen.calls == [
        ("replace", ["web"]),
        ("put", "db"),
        ("put", "never-seen"),
        ("remove", "web"),
        ("put", "web"),
        ("remove", "unknown"),
    ]
    assert [query["resourceVersion"] for query in asked(server, "watch")] == ["101", "200"]
    assert seen.told == []


@pytest.mark.parametrize("size", [1, 100, 700])
def test_an_event_may_come_in_pieces(server: ApiServer, access: Access, size: int) -> None:
    text = json.dumps(event("ADDED", "db", 102)).encode() + b"\n"
    text += json.dumps(event("ADDED", "cache", 103)).encode() + b"\n"
    server.fail(1, stream(*(text[n : n + size] for n in range(0, len(text), size))), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", []), ("put", "db"), ("put", "cache")]


def test_a_line_that_breaks_off_was_never_sent(server: ApiServer, access: Access) -> None:
    whole = json.dumps(event("ADDED", "db", 102)).encode() + b"\n"
    for cut_off in (True, False):
        server.fail(1, stream(whole + whole[: len(whole) // 2], cut_off=cut_off), verb="watch")
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(3))
    assert seen.calls == [("replace", []), ("put", "db"), ("put", "db")]
    # What came whole counts: the next watch goes on from there, and nothing is listed again.
    assert [query["resourceVersion"] for query in asked(server, "watch")] == ["100", "102", "102"]
    assert len(asked(server, "list")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        stream({"type": "ERROR", "object": GONE}),
        status(410, "Gone", "too old"),
        status(410, "Expired", "too old"),
    ],
)
def test_a_version_that_is_too_old_lists_again(
    server: ApiServer, access: Access, answer: Fault
) -> None:
    server.store.put(service("web"))
    server.store.put(service("old"))

    def forget(handler: Handler, request: Request) -> bool:
        server.store.delete(service("old"))
        server.store.compact()
        return answer(handler, request)

    server.fail(1, forget, verb="watch")
    server.fail(1, stream(), verb="watch")
    # Nothing is waited for before the list, only behind the watch that ended at once.
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", ["old", "web"]), ("replace", ["web"])]
    # It is nothing that anybody could mend.
    assert seen.told == []


NONSENSE = [
    b"nonsense\n",
    b"[]\n",
    b"null\n",
    b'{"type": "ADDED"}\n',
    b'{"type": "ADDED", "object": []}\n',
    b"[" * 100_000 + b"\n",
    b"\xff\n",
    event("ADDED", "x", ""),
    event("ADDED", "x", 102, kind="Pod"),
    event("ADDED", "", 102),
    event("SHOUTED", "x", 102),
    {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "etcd is upset"}},
    {"type": "ERROR", "object": None},
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda value: str(value)[:30])
def test_nonsense_in_a_watch_lists_again(
    server: ApiServer, access: Access, nonsense: bytes | Object
) -> None:
    server.store.put(service("web"))
    server.fail(
        1,
        stream(event("ADDED", "made-up", 102), nonsense, event("ADDED", "behind", 103)),
        verb="watch",
    )
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(2))
    # What is on the server counts in the end, and nothing that stood behind the nonsense.
    assert [call for call in seen.calls if call != ("put", "made-up")] == [
        ("replace", ["web"]),
        ("replace", ["web"]),
    ]
    assert seen.told[0].startswith("warning: services: ")
    assert seen.told[-1] == "note: services: the API server is followed again"


def test_a_line_without_an_end_is_given_up(
    server: ApiServer, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 100_000)
    server.fail(1, stream(*[b"x" * 50_000] * 4), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert "without an end" in seen.told[0]


@pytest.mark.parametrize("second", ["BOOKMARK", "ADDED", "MODIFIED", "DELETED"])
def test_events_out_of_order_are_not_believed(
    server: ApiServer, access: Access, second: str
) -> None:
    server.store.put(service("web"))
    older = bookmark(109) if second == "BOOKMARK" else event(second, "web", 109)
    server.fail(1, stream(event("ADDED", "db", 110), older), verb="watch")
    server.fail(1, stream(), verb="watch")
    _, seen = follow(access, Ticks(2))
    assert seen.calls[:2] == [("replace", ["web"]), ("put", "db")]
    assert ("remove", "web") not in seen.calls
    assert "out of order: 109 after 110" in seen.told[0]
    assert len(asked(server, "list")) == 3  # the second was refused: this server is not at 110


def test_versions_that_are_no_numbers_are_not_compared(server: ApiServer, access: Access) -> None:
    server.fail(1, stream(event("ADDED", "a", "b10"), event("ADDED", "b", "b9")), verb="watch")
    _, seen = follow(access, Ticks(1))
    assert seen.calls == [("replace", []), ("put", "a"), ("put", "b")]


def test_after_a_silence_all_is_listed_again(
    server: ApiServer, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WATCH_SILENCE", 0.1)
    hang = Hang()

    def silent(handler: Handler, request: Request) -> bool:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        return hang(handler, request)

    server.fail(1, silent, verb="watch")
    server.fail(1, stream(), verb="watch")
    try:
        _, seen = follow(access, Ticks(2))
    finally:
        hang.released.set()
    assert [query["resourceVersion"] for query in asked(server, "watch")] == ["100", "100"]
    assert len(asked(server, "list")) == 2
    assert "not even a bookmark" in seen.told[0]

"""Polling: what changed since the last time, in one call."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest

from amiguard.v1 import finding_service_pb2
from amiguard_client import Client, CursorExpiredError, FindingChanges, UnreachableError, connect
from tests.clients.live_server import Live
from tests.clients.scripted_server import serve, status
from tests.clients.scripted_watch import line, playing

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def names(changes: FindingChanges) -> list[str]:
    """Returns which findings changed."""
    return [finding.name for finding in changes.findings]


def test_polls_go_on_where_the_last_one_ended(live: Live, live_client: Client) -> None:
    """Each change is seen once by who stores the cursor, none by who starts at the present."""
    first = live.occur(1)
    since_ever = live_client.poll_findings(start_time=LONG_AGO)
    from_now = live_client.poll_findings()
    second = live.occur(2)

    assert names(since_ever) == [first]
    assert names(from_now) == []
    assert names(live_client.poll_findings(cursor=since_ever.cursor)) == [second]
    assert names(live_client.poll_findings(cursor=from_now.cursor)) == [second]


def test_a_poll_asks_for_no_more_than_its_limit() -> None:
    """The server is told the limit, and what it sends up to there is the answer."""
    played = playing(([line("c1"), line("c2", "a"), line("c3", "b"), line("c4", "d")], None))

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        changes = client.poll_findings("state = OPEN", cursor="c0", limit=2)

    assert (names(changes), changes.cursor) == (["findings/a", "findings/b"], "c3")
    assert played.opened == [
        finding_service_pb2.WatchFindingsRequest(
            cursor="c0", filter="state = OPEN", stop_at_present=True, max_findings=2
        )
    ]


def test_what_is_over_the_limit_comes_next_time(live: Live, live_client: Client) -> None:
    """A poll gives at most its limit, and polls together give each change once, in its order."""
    found = [live.occur(number) for number in range(7)]
    polls = []

    changes = live_client.poll_findings(start_time=LONG_AGO, limit=3)
    while changes.findings:
        polls.append(names(changes))
        changes = live_client.poll_findings(cursor=changes.cursor, limit=3)

    assert polls == [found[:3], found[3:6], found[6:]]


def test_a_finding_that_changes_between_polls_comes_again(live: Live, live_client: Client) -> None:
    """Whatever changes behind the limit, or again after it, is in one of the next polls."""
    first, second = live.occur(1), live.occur(2)
    changes = live_client.poll_findings(start_time=LONG_AGO, limit=1)
    live_client.acknowledge_finding(first)
    live_client.acknowledge_finding(second)

    then = live_client.poll_findings(cursor=changes.cursor, limit=1)
    last = live_client.poll_findings(cursor=then.cursor, limit=10**12)

    assert [*names(changes), *names(then), *names(last)] == [first, first, second]


def test_no_findings_mean_that_none_are_left(live: Live, live_client: Client) -> None:
    """Whoever polls until nothing comes has seen everything, whatever the limit."""
    found = {live.occur(number) for number in range(5)}
    seen: set[str] = set()

    changes = live_client.poll_findings(start_time=LONG_AGO, limit=1)
    while changes.findings:
        seen.update(names(changes))
        changes = live_client.poll_findings(cursor=changes.cursor, limit=1)

    assert seen == found


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (status(grpc.StatusCode.UNAVAILABLE, "restarting"), UnreachableError),
        (status(grpc.StatusCode.OUT_OF_RANGE, "deleted"), CursorExpiredError),
    ],
)
def test_a_broken_poll_gives_nothing(end: object, expected: type[Exception]) -> None:
    """What was read before a stream broke is read again from the same cursor."""
    played = playing(([line("c1", "a")], end))

    with (
        serve(findings=played) as server,
        connect(server.target, insecure=True) as client,
        pytest.raises(expected),
    ):
        client.poll_findings(cursor="c0")


def test_a_poll_starts_in_one_place(live_client: Client) -> None:
    """Two places to start, and a limit that lets nothing through, are noticed at once."""
    with pytest.raises(ValueError, match="got a cursor and a start time"):
        live_client.poll_findings(cursor="c", start_time=LONG_AGO)
    with pytest.raises(ValueError, match="got limit 0, expected 1 or more"):
        live_client.poll_findings(limit=0)

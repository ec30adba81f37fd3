"""Watching findings across everything that breaks a stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import grpc
import pytest

from amiguard.v1 import finding_service_pb2
from amiguard_client import (
    CursorExpiredError,
    FindingChanges,
    InvalidRequestError,
    PermissionDeniedError,
    RetryPolicy,
    ServerFaultError,
    UnreachableError,
    connect,
)
from amiguard_client._watch import Watcher
from tests.clients.scripted_server import overloaded, reason, serve, status
from tests.clients.scripted_watch import line, playing
from tests.clients.submissions import FakeTime

AWAY = status(grpc.StatusCode.UNAVAILABLE, "restarting")


def names(changes: FindingChanges) -> list[str]:
    """Returns which findings changed."""
    return [finding.name for finding in changes.findings]


def test_changes_come_with_their_cursor() -> None:
    """Each response is a value: its findings and the cursor after them; a sign of life has none."""
    played = playing(([line("c1"), line("c2", "a", "b")], None))

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        heartbeat, changes = islice(client.watch_findings("state = OPEN"), 2)

    assert heartbeat == FindingChanges(findings=(), cursor="c1")
    assert (names(changes), changes.cursor) == (["findings/a", "findings/b"], "c2")
    assert played.opened == [finding_service_pb2.WatchFindingsRequest(filter="state = OPEN")]


@pytest.mark.parametrize(
    "failure",
    [
        AWAY,
        status(grpc.StatusCode.INTERNAL, "RST_STREAM"),
        status(grpc.StatusCode.ABORTED, "try again", (reason("STORE_CONFLICT"),)),
    ],
    ids=["away", "reset", "conflict"],
)
def test_broken_stream_goes_on_after_what_was_handled(failure: object) -> None:
    """A new stream starts at the last cursor asked past, so that nothing is missed."""
    script = [([line("c1", "a"), line("c2", "b")], failure), ([line("c3", "c")], None)]
    played, time = playing(*script), FakeTime()

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        seen = list(islice(client.watch_findings(cursor="c0", timing=time.timing()), 3))

    assert [names(changes) for changes in seen] == [["findings/a"], ["findings/b"], ["findings/c"]]
    assert [request.cursor for request in played.opened] == ["c0", "c2"]
    assert time.sleeps == [0.25]


def test_stream_that_breaks_at_once_starts_where_it_was_to() -> None:
    """Before the first cursor a new stream starts at the same time as the one before."""
    start = datetime(2026, 3, 1, 10, tzinfo=UTC)
    played = playing(([], AWAY), ([line("c1")], None))

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        watching = client.watch_findings(start_time=start, timing=FakeTime().timing())
        next(watching)

    expected = finding_service_pb2.WatchFindingsRequest()
    expected.start_time.FromDatetime(start)
    assert played.opened == [expected, expected]


def test_a_sign_of_life_starts_the_count_of_failures_anew() -> None:
    """However often a stream breaks in its life, the bound is on failures in a row."""
    script = [([line(f"c{number}")], AWAY) for number in range(6)]
    played, time = playing(*script), FakeTime()
    retry = RetryPolicy(max_attempts=2)

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        seen = list(islice(client.watch_findings(retry=retry, timing=time.timing()), 6))

    assert [changes.cursor for changes in seen] == [f"c{number}" for number in range(6)]
    assert time.sleeps == [0.25] * 5


def test_overloaded_server_is_given_the_time_it_asks_for() -> None:
    """What the server asks to wait is waited, besides our own delay."""
    busy = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", overloaded(timedelta(seconds=3)))
    played, time = playing(([], busy), ([line("c1")], None)), FakeTime()

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        next(client.watch_findings(timing=time.timing()))

    assert time.sleeps == [3.25]


def test_lasting_absence_is_given_up() -> None:
    """A server that stays away past the policy ends the watch as unreachable."""
    played, time = playing(*[([], AWAY)] * 100), FakeTime()
    retry = RetryPolicy(give_up_after=timedelta(seconds=60))

    with (
        serve(findings=played) as server,
        connect(server.target, insecure=True) as client,
        pytest.raises(UnreachableError),
    ):
        next(client.watch_findings(retry=retry, timing=time.timing()))

    assert sum(time.sleeps) <= 60
    assert len(time.sleeps) > 3


def test_server_that_keeps_failing_is_given_up() -> None:
    """A server that is there and fails five times in a row is not asked a sixth."""
    broken = status(grpc.StatusCode.INTERNAL, "bug")
    played = playing(*[([], broken)] * 100)

    with (
        serve(findings=played) as server,
        connect(server.target, insecure=True) as client,
        pytest.raises(ServerFaultError),
    ):
        next(client.watch_findings(timing=FakeTime().timing()))

    assert len(played.opened) == 5


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.OUT_OF_RANGE, CursorExpiredError),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
    ],
)
def test_refusal_ends_the_watch(code: grpc.StatusCode, kind: type[Exception]) -> None:
    """What asking again cannot help is raised at once."""
    played = playing(([], status(code, "no")))

    with (
        serve(findings=played) as server,
        connect(server.target, insecure=True) as client,
        pytest.raises(kind),
    ):
        next(client.watch_findings(cursor="old", timing=FakeTime().timing()))

    assert len(played.opened) == 1


def test_silent_server_counts_as_lost() -> None:
    """A stream without a sign of life is left for another one."""
    played, time = playing(([line("c1")], None), ([line("c2")], None)), FakeTime()

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        watcher = Watcher(
            client.connection,
            filter="",
            timing=time.timing(),
            patience=timedelta(milliseconds=200),
        )
        seen = [response.cursor for response in islice(watcher, 2)]

    assert seen == ["c1", "c2"]
    assert played.opened[1].cursor == "c1"


def test_watch_that_is_left_ends_its_stream() -> None:
    """Nothing stays open on the server once the caller is done with it."""
    played = playing(([line("c1")], None))

    with serve(findings=played) as server, connect(server.target, insecure=True) as client:
        watching = client.watch_findings()
        next(watching)
        assert played.silent.wait(timeout=30)
        watching.close()

        assert played.left.wait(timeout=30)


def test_cursor_and_start_time_exclude_each_other() -> None:
    """A watch starts at one place."""
    with (
        serve() as server,
        connect(server.target, insecure=True) as client,
        pytest.raises(ValueError, match="one of them"),
    ):
        client.watch_findings(cursor="c", start_time=datetime.now(UTC))

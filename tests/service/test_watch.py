"""WatchFindings on a server at work: every change, from where one left off, without an end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection, delete, insert

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding
from amiguard_core.events import Search, SearchFilter, SearchRequest
from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import MatchAll
from amiguard_service.identity import Principal, Role, Token, Tokens
from amiguard_service.limits import Limits
from amiguard_service.server import Capacity
from amiguard_service.store.changes import RETENTION_MARK
from amiguard_service.store.schema import finding_changes, retention_marks
from amiguard_service.tokens import PageTokens
from amiguard_service.watch import MAX_RESPONSE_BYTES, Pace
from tests.service.running import TIMEOUT, Refused, Running, refusal, serving
from tests.store.values import batch, launch, origin, search

NEVER = timedelta(hours=1)
"""Longer than any test waits."""
BEATING = Capacity(pace=Pace(heartbeat_interval=timedelta(milliseconds=20)))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def running(engine: Engine) -> Iterator[Running]:
    """A server of the engine."""
    with serving(engine) as started:
        yield started


class Watcher:
    """A stream, and what came of it."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self.responses: Iterator[wire.WatchFindingsResponse] = iter(call)
        self.changes = self._changes()

    def next(self) -> wire.WatchFindingsResponse:
        """Returns the next response."""
        return next(self.responses)

    def take(self, count: int) -> list[tuple[str, str]]:
        """Returns the next names and etags, however they are put into responses."""
        return list(islice(self.changes, count))

    def _changes(self) -> Iterator[tuple[str, str]]:
        for response in self.responses:
            yield from ((finding.name, finding.etag) for finding in response.findings)

    def end(self) -> Refused:
        """Returns how the stream is refused or ended, past what it gives before."""
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self.responses:
                pass
        return refusal(caught.value)


def watch(running: Running, *, filter: str = "", **start: object) -> Watcher:  # noqa: A002 - the contract's word
    """Opens a stream."""
    request = wire.WatchFindingsRequest(filter=filter, **start)  # type: ignore[arg-type]
    return Watcher(running.findings.WatchFindings(request, timeout=TIMEOUT))


def occurrence(name: str, *, number: int = 0, agent: str = "aws-cli/2.17.32") -> Batch:
    """Makes a search for a name and its launch, by a principal of the name's own."""
    person, seconds = f"arn:aws:iam::111122223333:user/{name}", 10_000 * number
    return batch(
        search(origin(f"s-{name}-{number}", seconds, principal=person, agent=agent), name),
        launch(origin(f"l-{name}-{number}", seconds + 1, principal=person)),
    )


def find(engine: Engine, name: str, *, number: int = 0) -> tuple[str, str]:
    """Commits an occurrence of the finding of a name, and returns the finding's name and etag."""
    (outcome,) = engine.commit([occurrence(name, number=number)])
    return as_it_stands(engine, outcome.finding_ids[0])


def as_it_stands(engine: Engine, finding_id: str) -> tuple[str, str]:
    """Returns a finding's name and etag."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return f"findings/{finding_id}", found.etag


def stamp(time: datetime) -> Timestamp:
    """Makes a time of the wire."""
    made = Timestamp()
    made.FromDatetime(time)
    return made


class TestStarts:
    """Where a stream begins."""

    def test_first_response_is_a_heartbeat_at_once(self, running: Running) -> None:
        """Whoever opens a stream has a cursor to come back to before anything happens."""
        first = watch(running).next()

        assert not first.findings
        assert first.cursor

    def test_stream_begins_at_the_present(self, engine: Engine, running: Running) -> None:
        """Without a start what is committed before is not sent, what comes after is."""
        find(engine, "acme-before")
        watcher = watch(running)
        watcher.next()

        after = find(engine, "acme-after")

        assert watcher.take(1) == [after]

    def test_stream_goes_on_after_a_cursor(self, engine: Engine, running: Running) -> None:
        """What was committed while nobody watched is sent, nothing before it is."""
        find(engine, "acme-before")
        cursor = watch(running).next().cursor
        missed = [find(engine, f"acme-{number}") for number in range(3)]
        later = watch(running, cursor=cursor)

        assert later.take(3) == missed

    def test_cursor_of_any_response_goes_on_exactly(self, engine: Engine, running: Running) -> None:
        """From each cursor the rest is sent: no change twice where none was missed."""
        found = [find(engine, f"acme-{number}") for number in range(5)]
        first = watch(running, start_time=stamp(datetime(2000, 1, 1)))  # noqa: DTZ001 - the stamp has no zone
        seen: list[tuple[str, str]] = []
        while len(seen) < len(found):
            response = first.next()
            seen += [(finding.name, finding.etag) for finding in response.findings]
            rest = watch(running, cursor=response.cursor)
            assert rest.take(len(found) - len(seen)) == found[len(seen) :]

        assert seen == found

    def test_cursor_is_good_for_any_filter(self, engine: Engine, running: Running) -> None:
        """A cursor is a place in the log and nothing else."""
        cursor = watch(running, filter="client = boto3").next().cursor
        found = find(engine, "acme-1")

        assert watch(running, cursor=cursor, filter="likelihood = MEDIUM").take(1) == [found]

    def test_stream_begins_at_a_time(self, engine: Engine, running: Running) -> None:
        """The first change at or after the time is the first that is sent."""
        find(engine, "acme-before")
        found = find(engine, "acme-at")
        stored = engine.get_finding(found[0].removeprefix("findings/"))
        assert stored is not None

        assert watch(running, start_time=stamp(stored.update_time)).take(1) == [found]

    @pytest.mark.parametrize("cursor", ["x", "AAAA", "findings/1", "ö"])
    def test_foreign_text_is_no_cursor(self, running: Running, cursor: str) -> None:
        """Only what a server of this database gave is a cursor."""
        assert watch(running, cursor=cursor).end() == Refused(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, ("cursor",)
        )

    def test_cursor_of_another_place_is_refused(self, engine: Engine, running: Running) -> None:
        """A cursor of another database, or ahead of this one, would lose changes silently."""
        keys = engine.page_token_keys()
        elsewhere = PageTokens((b"x" * 32,)).seal("WatchFindings", b"", (0,))
        ahead = PageTokens(keys).seal("WatchFindings", b"", (1_000_000,))

        for cursor in (elsewhere, ahead):
            assert watch(running, cursor=cursor).end() == Refused(
                grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, ("cursor",)
            )

    def test_malformed_start_time_is_refused(self, running: Running) -> None:
        """A time that is none is named."""
        assert watch(running, start_time=Timestamp(nanos=-1)).end() == Refused(
            grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", {}, ("start_time",)
        )

    def test_malformed_filter_is_refused(self, running: Running) -> None:
        """A filter is read before anything is sent."""
        refused = watch(running, filter="state =").end()

        assert (refused.code, refused.reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "FILTER_SYNTAX",
        )


class TestChanges:
    """What is sent."""

    def test_every_kind_of_change_is_sent(self, engine: Engine, running: Running) -> None:
        """Occurrences, edits and moves each send the finding as it is then."""
        name, etag = find(engine, "acme-1")
        watcher = watch(running)
        watcher.next()
        calls = running.findings
        seen = [etag]

        for change in (
            lambda: find(engine, "acme-1", number=1),
            lambda: calls.UpdateFinding(
                wire.UpdateFindingRequest(finding=Finding(name=name, labels={"team": "a"}))
            ),
            lambda: calls.AcknowledgeFinding(wire.AcknowledgeFindingRequest(name=name)),
            lambda: calls.CloseFinding(
                wire.CloseFindingRequest(
                    name=name, disposition=Finding.DISPOSITION_FALSE_POSITIVE, comment="fine"
                )
            ),
            lambda: calls.ReopenFinding(wire.ReopenFindingRequest(name=name, comment="no")),
        ):
            change()
            expected = calls.GetFinding(wire.GetFindingRequest(name=name)).finding
            (finding,) = watcher.next().findings
            assert finding == expected
            seen.append(finding.etag)

        assert len(set(seen)) == 6

    def test_suppressed_findings_are_hidden_as_in_lists(
        self, engine: Engine, running: Running
    ) -> None:
        """What the rule set aside is sent to who asks for the state, and to nobody else."""
        plain, asking = watch(running), watch(running, filter="state = SUPPRESSED OR state = OPEN")
        plain.next()
        asking.next()

        engine.commit([occurrence("acme-packer", agent="Packer/1.9")])
        shown = find(engine, "acme-shown")

        assert plain.take(1) == [shown]
        assert len(asking.take(2)) == 2

    def test_filter_selects(self, engine: Engine, running: Running) -> None:
        """Only findings that fulfil the filter are sent."""
        watcher = watch(running, filter="likelihood = HIGH")
        watcher.next()

        find(engine, "acme-1")
        high = find(engine, "ubuntu/images/*")

        assert watcher.take(1) == [high]

    def test_other_servers_changes_are_sent(self, database_url: str, running: Running) -> None:
        """Whichever server of a database commits, the watchers of all are told."""
        watcher = watch(running)
        watcher.next()
        other = Engine.open(database_url)

        found = [find(other, f"acme-{number}") for number in range(3)]

        assert sorted(watcher.take(3)) == sorted(found)
        other.close()

    def test_own_changes_are_sent_without_a_poll(self, engine: Engine) -> None:
        """A commit of the same process is not waited for to be noticed."""
        with serving(engine, capacity=Capacity(pace=Pace(poll_interval=NEVER))) as running:
            watcher = watch(running)
            watcher.next()

            found = [find(engine, f"acme-{number}") for number in range(3)]

            assert watcher.take(3) == found

    def test_watchers_come_and_go(self, engine: Engine, running: Running) -> None:
        """A stream that is left is in nobody's way; whoever comes later is served."""
        staying = watch(running)
        staying.next()
        for number in range(5):
            leaving = watch(running)
            leaving.next()
            found = find(engine, f"acme-{number}")
            assert leaving.take(1) == staying.take(1) == [found]
            leaving.call.cancel()
        staying.call.cancel()
        later = watch(running)
        later.next()

        assert find(engine, "acme-later") == later.take(1)[0]

    def test_slow_watcher_is_sent_the_last_state_of_everything(
        self, engine: Engine, running: Running
    ) -> None:
        """Whoever reads one response for every ten commits loses no finding."""
        watcher = watch(running)
        watcher.next()
        seen: dict[str, str] = {}
        for number in range(200):
            find(engine, f"acme-{number % 50}", number=number)
            if number % 10 == 0:
                seen |= dict(watcher.take(1))
        expected = {
            f"findings/{found.finding_id}": found.etag
            for found in engine.list_findings(MatchAll(), (), after=None, limit=100)
        }

        for change in watcher.changes:
            seen |= dict([change])
            if seen == expected:
                break

        assert len(expected) == 50

    def test_page_too_large_for_one_message_comes_in_parts(
        self, engine: Engine, running: Running
    ) -> None:
        """Findings of 8 MiB reach a client that takes messages of 4, and each part goes on."""
        cursor = watch(running).next().cursor
        engine.commit([large_occurrence(number) for number in range(80)])
        watcher = watch(running, cursor=cursor)

        seen: list[str] = []
        cursors = []
        while len(seen) < 80:
            response = watcher.next()
            seen += [finding.name for finding in response.findings]
            cursors.append((len(seen), response.cursor))
            assert response.ByteSize() < 2 * MAX_RESPONSE_BYTES

        assert len(set(seen)) == 80
        assert len(cursors) > 5
        count, middle = cursors[3]
        assert watch(running, cursor=middle).take(1)[0][0] == seen[count]


class TestHeartbeats:
    """What is sent when there is nothing to send."""

    def test_heartbeats_keep_coming(self, engine: Engine) -> None:
        """A stream without changes says so, again and again, with the same cursor."""
        with serving(engine, capacity=BEATING) as running:
            beats = list(islice(watch(running).responses, 5))

        assert not any(beat.findings for beat in beats)
        assert len({beat.cursor for beat in beats}) == 1

    def test_heartbeat_moves_past_what_the_filter_leaves_out(self, engine: Engine) -> None:
        """A watcher whom nothing concerns comes back behind what was not for them."""
        with serving(engine, capacity=BEATING) as running:
            watcher = watch(running, filter="client = boto3")
            first = watcher.next().cursor
            left_out = find(engine, "acme-1")
            moved = next(beat.cursor for beat in watcher.responses if beat.cursor != first)
            shown = find(engine, "acme-2")

            assert watch(running, cursor=moved).take(1) == [shown]
            assert watch(running, cursor=first).take(1) == [left_out]


class TestEnds:
    """How a stream ends."""

    def test_cursor_before_the_cut_has_expired(self, engine: Engine, running: Running) -> None:
        """The error gives the oldest time to begin at, and from there the rest is sent."""
        cursor = watch(running).next().cursor
        find(engine, "acme-1")
        oldest = engine.last_cursor()
        rest = find(engine, "acme-2")
        cut_log(engine, oldest)

        for start in (
            {"cursor": cursor},
            {"start_time": stamp(datetime(2000, 1, 1))},  # noqa: DTZ001 - the stamp has no zone
        ):
            refused = watch(running, **start).end()
            assert (refused.code, refused.reason) == (
                grpc.StatusCode.OUT_OF_RANGE,
                "CURSOR_EXPIRED",
            )
            again = Timestamp()
            again.FromJsonString(refused.metadata.pop("oldest_cursor_time"))
            assert refused.metadata == {}
            assert watch(running, start_time=again).take(1) == [rest]

    def test_drain_ends_every_stream_at_once(self, engine: Engine) -> None:
        """A server about to stop sends its watchers to another one."""
        with serving(engine) as running:
            watchers = [watch(running) for _ in range(3)]
            for watcher in watchers:
                watcher.next()

            stopping = running.stop(TIMEOUT)

            for watcher in watchers:
                assert watcher.end() == Refused(grpc.StatusCode.UNAVAILABLE, "DRAINING", {})
            stopping.result(TIMEOUT)

    def test_streams_past_the_limit_are_refused(self, engine: Engine) -> None:
        """One more watcher than the server bears is told so; a place that is left is free."""
        with serving(engine, capacity=Capacity(limits=Limits(max_streams=2))) as running:
            first, second = watch(running), watch(running)
            first.next()
            second.next()

            refused = watch(running).end()

            assert (refused.code, refused.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "OVERLOADED",
            )
            assert refused.metadata == {"limit": "2 watches"}

    def test_watching_needs_the_role_read(self, engine: Engine) -> None:
        """Who may not read findings may not watch them."""
        eve = Principal("eve", frozenset({Role.INGEST, Role.RESPOND}))
        tokens = Tokens((Token(eve, sha256(b"eve").digest()),))
        with serving(engine, authenticator=tokens) as running:
            call = running.findings.WatchFindings(
                wire.WatchFindingsRequest(),
                metadata=(("authorization", "Bearer eve"),),
                timeout=TIMEOUT,
            )

            assert Watcher(call).end() == Refused(
                grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING", {"role": "read"}
            )


def cut_log(engine: Engine, cursor: int) -> None:
    """Deletes the changes up to a cursor as retention does."""

    def work(connection: Connection) -> None:
        changes = finding_changes.c
        time = (
            connection.execute(finding_changes.select().where(changes.change_id == cursor))
            .one()
            .change_time
        )
        connection.execute(delete(finding_changes).where(changes.change_id <= cursor))
        mark = {"name": RETENTION_MARK, "change_id": cursor, "change_time": time}
        connection.execute(insert(retention_marks), mark)

    engine._database.write(work)


def large_occurrence(number: int) -> Batch:
    """Makes a search that takes some 100 KB to tell of, and its launch."""
    person = f"arn:aws:iam::111122223333:user/u{number}"
    values = tuple(f"{value:05}-{'x' * 994}" for value in range(100))
    filters = (SearchFilter("name", ("acme-large",)), SearchFilter("tag:k", values))
    request = SearchRequest(filters=filters)
    where = origin(f"s{number}", principal=person)
    return batch(
        Search(where, request, request.fingerprint()),
        launch(origin(f"l{number}", 1, principal=person)),
    )

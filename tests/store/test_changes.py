"""The change log: every change after a cursor, in commit order, none lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, delete, insert, select

from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import FINDING_FIELDS, Filter, MatchAll, parse_filter
from amiguard_service.lifecycle import Closure, Edit
from amiguard_service.store.changes import (
    RETENTION_MARK,
    ChangePage,
    CursorAheadError,
    CursorExpiredError,
)
from amiguard_service.store.findings import log_changes
from amiguard_service.store.schema import (
    finding_changes,
    finding_images,
    findings,
    retention_marks,
)
from amiguard_service.stored import Disposition, StoredFinding
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

EVERYTHING = MatchAll()


def occurrence(name: str, *, number: int = 0) -> Batch:
    """Makes a search for a name and its launch, by a principal of the name's own."""
    person, seconds = f"arn:aws:iam::111122223333:user/{name}", 10_000 * number
    return batch(
        search(origin(f"s-{name}-{number}", seconds, principal=person), name),
        launch(origin(f"l-{name}-{number}", seconds + 1, principal=person)),
    )


def find(engine: Engine, name: str, *, number: int = 0) -> str:
    """Commits an occurrence of the finding of a name, and returns the finding's id."""
    (outcome,) = engine.commit([occurrence(name, number=number)])
    (finding_id,) = outcome.finding_ids
    return finding_id


def read_all(
    engine: Engine, cursor: int, *, size: int = 100, condition: Filter = EVERYTHING
) -> list[StoredFinding]:
    """Reads pages from a cursor to the end."""
    seen: list[StoredFinding] = []
    while cursor < engine.last_cursor():
        page = engine.changes_after(cursor, condition, limit=size)
        assert page.cursor > cursor
        seen += [changed.finding for changed in page.changed]
        cursor = page.cursor
    return seen


def ids(page: ChangePage) -> list[str]:
    """Returns the ids of the findings of a page."""
    return [changed.finding.finding_id for changed in page.changed]


def cut_log(engine: Engine, cursor: int) -> datetime:
    """Deletes the changes up to a cursor as retention does, and returns the time of the last."""

    def work(connection: Connection) -> datetime:
        table, marks = finding_changes.c, retention_marks
        time = connection.execute(
            select(table.change_time).where(table.change_id == cursor)
        ).scalar_one()
        connection.execute(delete(finding_changes).where(table.change_id <= cursor))
        connection.execute(delete(marks).where(marks.c.name == RETENTION_MARK))
        connection.execute(
            insert(marks), {"name": RETENTION_MARK, "change_id": cursor, "change_time": time}
        )
        assert isinstance(time, datetime)
        return time

    return engine._database.write(work)


def log(engine: Engine, finding_id: str, time: datetime) -> None:
    """Appends a change to the log."""
    engine._database.write(lambda c: log_changes(c, [finding_id], now=time))


@pytest.mark.category("changes")
class TestPages:
    """What a reader is given from a cursor on."""

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_every_change_is_read_in_order(self, engine: Engine, size: int) -> None:
        """Pages of any size join to all findings in the order of their changes."""
        names = ["acme-c", "acme-a", "acme-b", "acme-d", "acme-e"]
        expected = [find(engine, name) for name in names]

        seen = [found.finding_id for found in read_all(engine, 0, size=size)]

        assert seen == expected

    def test_finding_comes_once_a_page_as_it_stands(self, engine: Engine) -> None:
        """Several changes in one page are one, at the place of the last."""
        first = find(engine, "acme-1")
        second = find(engine, "acme-2")
        engine.update_finding(first, Edit(assignee="bob"), actor="tests")

        page = engine.changes_after(0, EVERYTHING, limit=100)

        assert ids(page) == [second, first]
        assert page.changed[1].finding == engine.get_finding(first)
        assert page.cursor == engine.last_cursor()

    def test_reader_can_go_on_after_any_finding_of_a_page(self, engine: Engine) -> None:
        """The cursor of a changed finding leaves out what came before it and nothing else."""
        first, second = find(engine, "acme-1"), find(engine, "acme-2")
        engine.update_finding(first, Edit(assignee="bob"), actor="tests")
        find(engine, "acme-3")
        page = engine.changes_after(0, EVERYTHING, limit=100)

        for place, changed in enumerate(page.changed):
            after = engine.changes_after(changed.cursor, EVERYTHING, limit=100)
            assert ids(after) == ids(page)[place + 1 :]
        assert ids(page)[:2] == [second, first]

    def test_end_of_the_log_is_an_empty_page(self, engine: Engine) -> None:
        """Who has read everything stays where they are."""
        find(engine, "acme-1")
        end = engine.last_cursor()

        assert engine.changes_after(end, EVERYTHING, limit=1) == ChangePage([], end)

    def test_edit_close_and_occurrence_are_changes(self, engine: Engine) -> None:
        """Whatever changes a finding, a reader is given it anew."""
        finding_id = find(engine, "acme-1")
        changes: list[Callable[[], object]] = [
            lambda: engine.update_finding(finding_id, Edit(labels={"team": "a"}), actor="tests"),
            lambda: engine.move_finding(
                finding_id, Closure(Disposition.TRUE_POSITIVE, "mended"), actor="ann"
            ),
            lambda: find(engine, "acme-1", number=1),
        ]
        for change in changes:
            cursor = engine.last_cursor()
            change()

            assert read_all(engine, cursor) == [engine.get_finding(finding_id)]

    def test_repeated_batch_is_no_change(self, engine: Engine) -> None:
        """A reader is not told of what was there before."""
        find(engine, "acme-1")
        cursor = engine.last_cursor()

        engine.commit([occurrence("acme-1")])

        assert engine.last_cursor() == cursor

    @pytest.mark.parametrize(
        "text",
        ["", "likelihood = HIGH", "state != SUPPRESSED", "image_ids : ami-120", "labels.team = a"],
    )
    def test_filter_selects_as_it_does_in_lists(self, engine: Engine, text: str) -> None:
        """A finding is given exactly when a list with the same filter has it."""
        find(engine, "acme-1")
        find(engine, "ubuntu/images/*")
        packer = search(origin("s", agent="Packer/1.9"), "acme-base")
        engine.commit([batch(packer, launch(origin("l", 1)))])
        many = launch(origin("m", 2), *(f"ami-{n}" for n in range(200)))
        engine.commit([batch(search(origin("t"), "acme-2"), many)])
        engine.update_finding(find(engine, "acme-3"), Edit(labels={"team": "a"}), actor="tests")
        condition = parse_filter(text, FINDING_FIELDS)
        listed = engine.list_findings(condition, (), after=None, limit=100)

        seen = read_all(engine, 0, size=2, condition=condition)

        assert {found.finding_id for found in seen} == {found.finding_id for found in listed}
        assert listed

    def test_page_of_what_does_not_match_moves_on(self, engine: Engine) -> None:
        """A reader whose filter nothing fulfils still gets ahead."""
        find(engine, "acme-1")

        page = engine.changes_after(0, parse_filter("client = boto3", FINDING_FIELDS), limit=100)

        assert page == ChangePage([], engine.last_cursor())

    def test_deleted_findings_are_left_out(self, engine: Engine) -> None:
        """A finding that is gone is not given, and is in nobody's way."""
        gone, left = find(engine, "acme-1"), find(engine, "acme-2")
        engine._database.write(
            lambda c: [
                c.execute(delete(table).where(table.c.finding_id == gone))
                for table in (finding_images, findings)
            ]
        )

        assert [found.finding_id for found in read_all(engine, 0, size=1)] == [left]


@pytest.mark.category("changes")
class TestStarts:
    """Where reading can begin."""

    def test_empty_log_begins_at_nought(self, engine: Engine, clock: ManualClock) -> None:
        """Whoever begins before the first change misses none."""
        cursors = engine.last_cursor(), engine.cursor_at(clock.now)
        finding_id = find(engine, "acme-1")

        assert cursors == (0, 0)
        assert ids(engine.changes_after(0, EVERYTHING, limit=1)) == [finding_id]

    def test_time_begins_at_the_first_change_at_or_after_it(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A change at the very time is given, those before it are not."""
        start, minute, tick = clock.now, timedelta(minutes=1), timedelta(microseconds=1)
        expected = []
        for number in range(4):
            clock.now = start + number * minute
            expected.append(find(engine, f"acme-{number}"))

        for number in range(4):
            at = start + number * minute
            for time, count in ((at - tick, 4 - number), (at, 4 - number), (at + tick, 3 - number)):
                seen = read_all(engine, engine.cursor_at(time))
                assert [found.finding_id for found in seen] == expected[4 - count :]

    def test_times_never_fall_along_the_log(self, engine: Engine, clock: ManualClock) -> None:
        """A server whose clock is behind hides no change from who begins at a time."""
        time = clock.now
        first = find(engine, "acme-1")
        clock.now = time - timedelta(minutes=5)
        second = find(engine, "acme-2")

        seen = read_all(engine, engine.cursor_at(time))

        assert [found.finding_id for found in seen] == [first, second]

    def test_cursor_ahead_of_the_log_is_refused(self, engine: Engine) -> None:
        """A cursor that nobody here gave out is not waited for."""
        find(engine, "acme-1")
        end = engine.last_cursor()

        engine.check_cursor(end)
        with pytest.raises(CursorAheadError):
            engine.check_cursor(end + 1)


@pytest.mark.category("changes")
class TestRetention:
    """What is left of the log when its beginning is deleted."""

    @pytest.fixture
    def found(self, engine: Engine, clock: ManualClock) -> list[str]:
        """Four findings, a minute apart."""
        made = []
        for number in range(4):
            clock.now += timedelta(minutes=1)
            made.append(find(engine, f"acme-{number}"))
        return made

    def test_cursor_before_the_cut_has_expired(self, engine: Engine, found: list[str]) -> None:
        """Nobody goes on past changes they were not given; the oldest time left is named."""
        cut_time = cut_log(engine, 2)

        for read in (
            lambda: engine.changes_after(1, EVERYTHING, limit=1),
            lambda: engine.check_cursor(1),
            lambda: engine.cursor_at(cut_time),
            lambda: engine.cursor_at(cut_time - timedelta(days=1)),
        ):
            with pytest.raises(CursorExpiredError) as caught:
                read()
            cursor = engine.cursor_at(caught.value.oldest_time)
            assert [f.finding_id for f in read_all(engine, cursor)] == found[2:]

    def test_cursor_at_the_cut_goes_on(self, engine: Engine, found: list[str]) -> None:
        """Whoever was given all that is deleted has missed nothing."""
        cut_log(engine, 2)

        engine.check_cursor(2)

        assert [f.finding_id for f in read_all(engine, 2)] == found[2:]

    def test_log_cut_to_nothing_keeps_its_end(self, engine: Engine, found: list[str]) -> None:
        """A reader at the end of a log that is all deleted stays there, and gets what comes."""
        cut_log(engine, len(found))
        end = engine.last_cursor()
        engine.check_cursor(end)
        later = find(engine, "acme-later")

        assert end == len(found)
        assert [f.finding_id for f in read_all(engine, end)] == [later]


@pytest.mark.category("concurrency")
class TestCommitOrder:
    """Rows become visible in the order of their ids."""

    def test_change_that_commits_late_is_not_passed(
        self, engine: Engine, other: Engine, clock: ManualClock
    ) -> None:
        """While a transaction with an id taken is open, no reader gets past that id."""
        early, late = find(engine, "acme-1"), find(engine, "acme-2")
        start = engine.last_cursor()
        has_taken_id, may_commit, has_passed = Event(), Event(), Event()

        def append_slowly(connection: Connection) -> None:
            log_changes(connection, [late], now=clock.now)
            has_taken_id.set()
            assert may_commit.wait(timeout=30)

        def append_quickly() -> None:
            log(other, early, clock.now)
            has_passed.set()

        slow = Thread(target=lambda: engine._database.write(append_slowly))
        quick = Thread(target=append_quickly)
        slow.start()
        assert has_taken_id.wait(timeout=30)
        quick.start()
        # Without the lock the second transaction would commit now, and its reader lose the first.
        has_passed.wait(timeout=0.5)
        seen = other.changes_after(start, EVERYTHING, limit=10)
        may_commit.set()
        slow.join(timeout=30)
        quick.join(timeout=30)
        rest = other.changes_after(seen.cursor, EVERYTHING, limit=10)

        assert ids(seen) + ids(rest) == [late, early]

    def test_reader_beside_writers_loses_nothing(self, engine: Engine, other: Engine) -> None:
        """A reader that follows two servers at work is given the last state of every finding."""
        rounds, seen = 30, dict[str, str]()
        start = engine.last_cursor()

        def write(server: Engine, side: str) -> None:
            for number in range(rounds):
                finding_id = find(server, f"acme-{side}-{number % 7}", number=number)
                server.update_finding(finding_id, Edit(assignee=f"{side}{number}"), actor="tests")

        writers = [
            Thread(target=write, args=args) for args in ((engine, "a"), (other, "b"), (other, "c"))
        ]
        for writer in writers:
            writer.start()
        cursor, is_over = start, False
        while not is_over or cursor < engine.last_cursor():
            is_over = not any(writer.is_alive() for writer in writers)
            page = engine.changes_after(cursor, EVERYTHING, limit=5)
            seen |= {changed.finding.finding_id: changed.finding.etag for changed in page.changed}
            cursor = page.cursor

        stored = engine.list_findings(EVERYTHING, (), after=None, limit=100)
        assert seen == {found.finding_id: found.etag for found in stored}
        assert len(stored) == 21

"""The service without its wire: batches in, committed outcomes and stored findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy import Engine as SqlEngine

from amiguard_core.policy import Policy
from amiguard_migrations import SchemaError, check, is_empty, upgrade
from amiguard_service.clock_guard import ClockReading, note_time, read_clocks
from amiguard_service.commit import commit
from amiguard_service.coverage_book import CoverageBook
from amiguard_service.filters import Filter
from amiguard_service.intake import Batch, Intake, Outcome
from amiguard_service.known_images import KnownImages
from amiguard_service.lifecycle import Edit, Move, edit_finding, move_finding
from amiguard_service.ordering import OrderKey
from amiguard_service.passes import Passes
from amiguard_service.pins import LaneKey, LanesNeededError
from amiguard_service.policies import Policies
from amiguard_service.retention import EVERYTHING, Kind, SweepLimits, SweepReport, sweep
from amiguard_service.sink_book import SinkBook
from amiguard_service.store import changes as change_store
from amiguard_service.store import findings as finding_store
from amiguard_service.store import occurrences as occurrence_store
from amiguard_service.store.changes import ChangePage
from amiguard_service.store.clocks import Clock, SteadyClock, read_clock
from amiguard_service.store.durability import fetch_gaps
from amiguard_service.store.engines import Database, naming_the_unavailable
from amiguard_service.store.errors import SchemaChangedError, StoreError
from amiguard_service.store.history import fetch_history
from amiguard_service.store.keys import delete_probe, fetch_or_make_key, store_probe
from amiguard_service.store.listing import fetch_findings
from amiguard_service.stored import HistoryEntry, StoredFinding, StoredOccurrence
from amiguard_service.tally import Counted
from amiguard_service.tokens import Position
from amiguard_service.tuning import Tuning

__all__ = ["Batch", "Clock", "Engine", "Outcome", "read_clock"]

T = TypeVar("T")

CHECK_LIMIT: Final = timedelta(seconds=5)
"""How long a start looks for damage at most: it finds what a small database has, and of a large one
what is at its beginning."""


class Engine:
    """Keeps one database the function of the records it was given. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        """Takes a database whose schema is the present one: see `open`."""
        self._database = database
        self._listeners: tuple[Callable[[], None], ...] = ()
        self._policies = Policies()
        self.tuning = Tuning(database)
        self.known_images = KnownImages(database, self._policies)
        self.passes = Passes(database, self._policies)
        self.coverage = CoverageBook(database, self._policies)
        self.sinks = SinkBook(database)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        pool_size: int = 4,
        clock: Clock | None = None,
        server_clock: Clock | None = None,
        steady_clock: SteadyClock | None = None,
    ) -> Engine:
        """Opens a database, making the schema where it is empty. Tests give clocks: see `Clocks`.

        Raises SchemaError where the schema is another one, StoreError for an unusable URL,
        StoreUnavailableError where nobody answers.
        """
        database = Database(
            url,
            pool_size=pool_size,
            check_schema=_check_schema,
            clock=clock,
            server_clock=server_clock,
            steady_clock=steady_clock,
        )
        try:
            with naming_the_unavailable():
                if is_empty(database.engine):
                    upgrade(database.engine)
                check(database.engine)
            database.check_pages(CHECK_LIMIT)
            database.guard_file()
        except BaseException:  # whatever it is, nobody else will close it
            database.close()
            raise
        return cls(database)

    @property
    def policy(self) -> Policy:
        """The policy that this process read last: see `refresh_policy`."""
        return self._policies.latest

    def refresh_policy(self) -> Policy:
        """Returns the policy in force, whichever server put it there, ready to be judged by."""
        now = self._database.now
        policy = self._database.read(lambda c: self._policies.read(c, now=now(c)))
        # Here it holds nobody up; in the commit that is the first to need it, it would.
        policy.prepare()
        return policy

    @property
    def writer_count(self) -> int:
        """How many calls of `commit` can make progress side by side."""
        return self._database.writer_count

    def now(self) -> datetime:
        """Returns the time by the database's clock, as this server knows it, without asking it."""
        return self._database.clocks.estimate()

    def page_token_keys(self) -> tuple[bytes, ...]:
        """Returns the keys that seal and open page tokens, the same for every replica."""
        now = self._database.now
        return (self._database.write(lambda c: fetch_or_make_key(c, "page_tokens", now=now(c))),)

    def ping(self) -> None:
        """Raises StoreUnavailableError where the database cannot take what a commit writes.

        SchemaChangedError, which is one, where another release has migrated it meanwhile, and
        StoreBrokenError where it will be of no use until a person has acted.
        """
        self._database.check_answers()
        self._database.check_schema()
        now = self._database.now
        self._database.write(lambda c: store_probe(c, now=now(c)))
        self._database.write(delete_probe)

    def check_answers(self) -> None:
        """Raises StoreUnavailableError where the database does not answer, or is another one now.

        Cheaper than `ping`, for all the time; waits for as long as nobody answers.
        """
        self._database.check_answers()

    def cut(self) -> None:
        """Ends with an error what waits for a database across a network; the next call connects."""
        self._database.cut()

    def abandon(self) -> None:
        """Ends with an error what waits for a database across a network, and whatever will."""
        self._database.abandon()

    def durability_gaps(self) -> tuple[str, ...]:
        """Returns the settings of the database that let it lose what was acknowledged."""
        return self._database.read(fetch_gaps)

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Makes batches durable, with every finding they cause, in one transaction.

        Returns what became of each, in their order. Committing a batch again changes nothing.
        """
        intake = Intake(batches)
        lanes = intake.lanes
        while True:
            try:
                outcomes, new = self._commit(intake, lanes)
            except LanesNeededError as needed:
                lanes |= needed.lanes
                continue
            self.coverage.add(new)
            for batch in batches:
                self.coverage.note(batch)
            return outcomes

    def _commit(self, intake: Intake, lanes: frozenset[LaneKey]) -> tuple[list[Outcome], Counted]:
        clocks = self._database.clocks
        jump = None

        def work(connection: Connection) -> tuple[list[Outcome], Counted]:
            nonlocal jump
            now = self._database.hold_policy_and_images(connection)
            if (jump := clocks.jump) is not None:
                # With what is dated by it, so that whoever deletes knows of it.
                note_time(connection, clocks)
            return commit(connection, intake, self._policies, held=lanes, now=now)

        done = self._write(work, lanes=lanes)
        clocks.forget_jump(jump)
        return done

    def note(self, batch: Batch) -> None:
        """Counts a batch that brings nothing to store; see `coverage`."""
        self.coverage.note(batch)

    def read_clocks(self) -> ClockReading:
        """Returns what the clocks say, and whether anything should be deleted by them."""
        clocks = self._database.clocks
        reading = self._database.read(lambda c: read_clocks(c, clocks))
        if reading.is_news:
            reading = self._database.write(lambda c: note_time(c, clocks))
            clocks.forget_jump(reading.jump)
        return reading

    def sweep(
        self, now: datetime, limits: SweepLimits, kinds: AbstractSet[Kind] = EVERYTHING
    ) -> SweepReport:
        """Deletes a little of what has been kept long enough: see `retention.sweep`."""
        return sweep(self._database, self._policies, now=now, limits=limits, kinds=kinds)

    def get_finding(self, finding_id: str) -> StoredFinding | None:
        """Returns one finding; None when there is none of this id."""
        return self._database.read(lambda c: finding_store.fetch_finding(c, finding_id))

    def list_findings(
        self,
        condition: Filter,
        order: Sequence[OrderKey],
        *,
        after: Position | None,
        limit: int,
    ) -> list[StoredFinding]:
        """Returns at most `limit` findings in an order, from just after a position."""
        return self._database.read(
            lambda c: fetch_findings(c, condition, order, after=after, limit=limit)
        )

    def list_occurrences(
        self, finding_id: str, *, after: tuple[datetime, str] | None, limit: int
    ) -> list[StoredOccurrence] | None:
        """Returns occurrences, newest launch first, from just after a (time, event id).

        None when there is no finding of this id.
        """

        def work(connection: Connection) -> list[StoredOccurrence] | None:
            if not finding_store.is_stored(connection, finding_id):
                return None
            return occurrence_store.fetch_page(
                connection,
                account_id=finding_store.account_of(finding_id),
                finding_id=finding_id,
                after=after,
                limit=limit,
            )

        return self._database.read(work)

    def update_finding(
        self, finding_id: str, edit: Edit, *, actor: str, etag: str | None = None
    ) -> StoredFinding | None:
        """Returns a finding after an edit; None when there is none of this id.

        Raises EtagMismatchError where `etag` is given and not the current one.
        """
        now = self._database.now
        return self._write(
            lambda c: edit_finding(c, finding_id, edit, actor=actor, etag=etag, now=now(c))
        )

    def move_finding(
        self, finding_id: str, move: Move, *, actor: str, etag: str | None = None
    ) -> StoredFinding | None:
        """Returns a finding after a move of its state; None when there is none of this id.

        Raises EtagMismatchError as above, StateTransitionError where its state does not allow the
        move, FieldInvalidError for a time of acceptance that cannot be.
        """
        now = self._database.now
        return self._write(
            lambda c: move_finding(c, finding_id, move, actor=actor, etag=etag, now=now(c))
        )

    def list_finding_history(
        self, finding_id: str, *, after: int, limit: int
    ) -> list[HistoryEntry] | None:
        """Returns the moves of a finding, oldest first, from just after the one of a number.

        None when there is no finding of this id.
        """

        def work(connection: Connection) -> list[HistoryEntry] | None:
            if not finding_store.is_stored(connection, finding_id):
                return None
            return fetch_history(connection, finding_id, after=after, limit=limit)

        return self._database.read(work)

    def last_cursor(self) -> int:
        """Returns the cursor after every change that is committed."""
        return self._database.read(change_store.fetch_last_cursor)

    def cursor_at(self, time: datetime) -> int:
        """Returns the cursor before the first change at or after a time, or the last one.

        Raises CursorExpiredError where changes of that time or later may be deleted.
        """
        return self._database.read(lambda c: change_store.fetch_cursor_at(c, time))

    def check_cursor(self, cursor: int) -> None:
        """Raises CursorExpiredError or CursorAheadError unless reading can go on from a cursor."""
        self._database.read(lambda c: change_store.check_cursor(c, cursor))

    def changes_after(self, cursor: int, condition: Filter, *, limit: int) -> ChangePage:
        """Returns the findings in the next `limit` changes, those that fulfil a condition.

        Each is there once and as it stands now. Raises CursorExpiredError where changes after the
        cursor are deleted.
        """
        return self._database.read(
            lambda c: change_store.fetch_page(c, condition, after=cursor, limit=limit)
        )

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Calls a listener after every change that this process commits, in whichever thread.

        Those of other processes are told by `last_cursor` alone.
        """
        self._listeners = (*self._listeners, listener)
        try:
            yield
        finally:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

    def _write(
        self, work: Callable[[Connection], T], *, lanes: Iterable[tuple[str, str]] = ()
    ) -> T:
        """Returns what `work` makes of one transaction that may change findings."""
        result = self._database.write(work, lanes=lanes)
        for tell in self._listeners:
            tell()
        return result

    def close(self) -> None:
        """Stores what was noted, if the database can be reached, and closes every connection."""
        with suppress(StoreError):
            self.coverage.flush()
        self._database.close()


def _check_schema(engine: SqlEngine) -> None:
    """Raises SchemaChangedError where another release has migrated a database that was opened."""
    try:
        check(engine)
    except SchemaError as error:
        raise SchemaChangedError(str(error)) from error

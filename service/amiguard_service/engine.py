"""The service without its wire: batches in, committed outcomes and stored findings out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from amiguard_core.policy import Policy
from amiguard_migrations import check, is_empty, upgrade
from amiguard_service.commit import commit
from amiguard_service.filters import Filter
from amiguard_service.intake import Batch, Intake, Outcome
from amiguard_service.ordering import OrderKey
from amiguard_service.store import findings as finding_store
from amiguard_service.store import occurrences as occurrence_store
from amiguard_service.store.engines import Database
from amiguard_service.store.keys import fetch_or_make_key
from amiguard_service.store.listing import fetch_findings
from amiguard_service.stored import StoredFinding, StoredOccurrence
from amiguard_service.tokens import Position

__all__ = ["Batch", "Clock", "Engine", "Outcome", "read_clock"]

Clock = Callable[[], datetime]


def read_clock() -> datetime:
    """Returns the present time, aware, in UTC."""
    return datetime.now(UTC)


class Engine:
    """Keeps one database the function of the records it was given. Safe to use from any thread."""

    def __init__(self, database: Database, *, clock: Clock = read_clock) -> None:
        """Takes a database whose schema is the present one: see `open`."""
        self._database = database
        self._clock = clock
        self.policy = Policy()

    @classmethod
    def open(cls, url: str, *, pool_size: int = 4, clock: Clock = read_clock) -> Engine:
        """Opens a database, making the schema where it is empty.

        Raises SchemaError where the schema is another one, StoreError for an unusable URL,
        StoreUnavailableError where nobody answers.
        """
        database = Database(url, pool_size=pool_size)
        try:
            if is_empty(database.engine):
                upgrade(database.engine)
            check(database.engine)
        except BaseException:
            database.close()
            raise
        return cls(database, clock=clock)

    @property
    def writer_count(self) -> int:
        """How many calls of `commit` can make progress side by side."""
        return self._database.writer_count

    def page_token_keys(self) -> tuple[bytes, ...]:
        """Returns the keys that seal and open page tokens, the same for every replica."""
        now = self._clock()
        return (self._database.write(lambda c: fetch_or_make_key(c, "page_tokens", now=now)),)

    def ping(self) -> None:
        """Raises StoreUnavailableError where the database cannot take a transaction that writes."""
        self._database.write(lambda _connection: None)

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Makes batches durable, with every finding they cause, in one transaction.

        Returns what became of each, in their order. Committing a batch again changes nothing.
        """
        intake, policy = Intake(batches), self.policy
        return self._database.write(
            lambda connection: commit(connection, intake, policy, now=self._clock()),
            lanes={(key.account_id, key.lane) for key in intake.arrivals},
        )

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

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()

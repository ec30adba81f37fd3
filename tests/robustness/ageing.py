"""Time that passes at once: everything stored becomes so much older, as if the clocks had moved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import BigInteger, Connection, func, insert, select, type_coerce, update

from amiguard_service.store.changes import RETENTION_MARK
from amiguard_service.store.engines import Database, change_policy, lock_change_log
from amiguard_service.store.pending import WaitingKind, oldest_arrival
from amiguard_service.store.schema import (
    finding_changes,
    finding_history,
    findings,
    rejected_records,
    retention_marks,
    waiting_records,
)
from amiguard_service.store.tuning_schema import tuning_requests
from tests.robustness.waiting import wait_until

AGED = (
    waiting_records.c.arrival_time,
    rejected_records.c.arrival_time,
    findings.c.create_time,
    findings.c.update_time,
    finding_history.c.change_time,
    finding_changes.c.change_time,
    tuning_requests.c.create_time,
)
"""The times by which retention decides, and those that would otherwise contradict them."""

_MICROSECOND = timedelta(microseconds=1)
_CANARY_ACCOUNT = "canary"
_SWEEP_SECONDS = 20


class Ages:
    """What one database says of the age of what it holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[Ages]:
        """Gives the ages in a database until the end of the block."""
        database = Database(url, pool_size=1)
        try:
            yield cls(database)
        finally:
            database.close()

    def let_pass(self, duration: timedelta) -> None:
        """Makes everything older, while no server is in the midst of a transaction.

        What servers note of the clock stays: they were there all the time.
        """

        def work(connection: Connection) -> None:
            # In the order in which servers lock.
            change_policy(connection)
            connection.execute(
                select(findings.c.finding_id).order_by(findings.c.finding_id).with_for_update()
            )
            lock_change_log(connection)
            for column in AGED:
                older = type_coerce(column, BigInteger) - duration // _MICROSECOND
                connection.execute(update(column.table).values({column: older}))
            mark = retention_marks.c
            older = type_coerce(mark.change_time, BigInteger) - duration // _MICROSECOND
            connection.execute(
                update(retention_marks)
                .where(mark.name == RETENTION_MARK)
                .values({mark.change_time: older})
            )

        self._database.write(work)

    def await_sweep(self) -> None:
        """Returns once retention has looked at everything as it is now.

        What has waited far too long is put there to be deleted. Findings come last in a step of
        retention, so that a second one goes only when the step of the first is done.
        """
        for number in range(2):
            self._database.write(partial(_put_canary, number=number))
            wait_until(
                lambda: not self._database.read(_count_canaries),
                "retention deletes what has waited too long",
                seconds=_SWEEP_SECONDS,
            )

    def count_waiting(self) -> int:
        """Returns how many records wait."""
        table = select(func.count()).select_from(waiting_records)
        return self._database.read(lambda c: int(c.execute(table).scalar_one()))

    def oldest_arrival(self) -> datetime | None:
        """Returns when the record arrived that waits longest; None where none waits."""
        return self._database.read(oldest_arrival)


def _put_canary(connection: Connection, *, number: int) -> None:
    connection.execute(
        insert(waiting_records).values(
            account_id=_CANARY_ACCOUNT,
            lane=_CANARY_ACCOUNT,
            event_id=str(number),
            digest="",
            region="",
            kind=int(WaitingKind.SAFE_SEARCH),
            event_time=0,
            arrival_time=0,
            body=b"{}",
        )
    )


def _count_canaries(connection: Connection) -> int:
    condition = waiting_records.c.account_id == _CANARY_ACCOUNT
    statement = select(func.count()).select_from(waiting_records).where(condition)
    return int(connection.execute(statement).scalar_one())

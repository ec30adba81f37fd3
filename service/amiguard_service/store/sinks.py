"""What sinks are still to be sent: taken up from the change log, claimed, settled.

A sink's row is locked before anything of the sink is changed, so servers do so one at a time and in
the same order. Nothing here is part of a transaction that changes a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from amiguard_service.delivery import Claim
from amiguard_service.filters import Filter
from amiguard_service.sinks import DeadLetter, SinkProgress
from amiguard_service.store.changes import CursorExpiredError, check_cursor, fetch_last_cursor
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.filters_sql import compile_filter
from amiguard_service.store.schema import Instant, Text, finding_changes, findings
from amiguard_service.store.sink_schema import sink_deliveries, sinks

CLOCK_TOLERANCE: Final = timedelta(hours=1)
"""By how much the clocks of servers may differ: what each says is the time of its own changes."""

_DELIVERY: Final = sink_deliveries.c
_IS_DEAD: Final = _DELIVERY.next_attempt_time.is_(None)


class SinkRow(NamedTuple):
    """How far a sink has come, locked until the transaction ends."""

    sink_id: str
    change_id: int
    change_time: datetime
    failure_count: int
    resume_time: datetime | None


class Settlement(NamedTuple):
    """What came of a claim: it is done with, or tried again; at no time makes it a dead letter."""

    claim: Claim
    is_done: bool
    next_attempt_time: datetime | None = None
    answer: str = ""


class TakenUp(NamedTuple):
    """What a step took up; `has_gap` says that the change log was cut before it could be read."""

    finding_count: int
    has_gap: bool


def add_sinks(connection: Connection, sink_ids: Iterable[str], *, now: datetime) -> None:
    """Makes the rows of sinks that are new: they are sent what changes from now on."""
    values = [
        {
            "sink_id": sink_id,
            "change_id": fetch_last_cursor(connection),
            "change_time": now,
            "failure_count": 0,
            "delivered_count": 0,
            "last_error": "",
        }
        for sink_id in sorted(sink_ids)
    ]
    if values:
        make = postgresql.insert if connection.dialect.name == POSTGRESQL else sqlite.insert
        connection.execute(make(sinks).on_conflict_do_nothing(), values)


def has_work(connection: Connection, sink_id: str, *, now: datetime) -> bool:
    """Says whether there are changes to take up or deliveries to attempt."""
    row = connection.execute(
        select(sinks.c.change_id, sinks.c.resume_time).where(sinks.c.sink_id == sink_id)
    ).one()
    if row.change_id < fetch_last_cursor(connection):
        return True
    if row.resume_time is not None and row.resume_time > now:
        return False
    return bool(connection.execute(select(exists().where(*_due(sink_id, now)))).scalar_one())


def lock_sink(connection: Connection, sink_id: str) -> SinkRow:
    """Returns a sink's row, and keeps other servers from the sink until the transaction ends."""
    columns = (sinks.c[name] for name in SinkRow._fields)
    statement = select(*columns).where(sinks.c.sink_id == sink_id).with_for_update()
    return SinkRow(*connection.execute(statement).one())


def take_up(
    connection: Connection, sink: SinkRow, condition: Filter, *, now: datetime, limit: int
) -> TakenUp:
    """Makes deliveries of the findings in the next `limit` changes that fulfil a condition.

    Where retention has deleted changes that the sink had not read, every finding is taken that has
    changed since: what is delivered is a finding as it stands, so that nothing is missed.
    """
    backend = connection.dialect.name
    fulfils = compile_filter(condition, backend)
    try:
        check_cursor(connection, sink.change_id)
    except CursorExpiredError as error:
        since = sink.change_time - CLOCK_TOLERANCE
        found = findings.c.update_time >= since
        last = fetch_last_cursor(connection)
        count = _add_deliveries(
            connection, sink, findings, literal(last, BigInteger), fulfils & found, now=now
        )
        _advance(connection, sink, last, error.oldest_time)
        return TakenUp(count, has_gap=True)
    log = finding_changes.c
    page = (
        select(log.change_id, log.change_time)
        .where(log.change_id > sink.change_id)
        .order_by(log.change_id)
        .limit(limit)
    )
    rows = connection.execute(page).all()
    if not rows:
        return TakenUp(0, has_gap=False)
    last = rows[-1].change_id
    same = (findings.c.account_id == log.account_id) & (findings.c.finding_id == log.finding_id)
    changed = finding_changes.join(findings, same)
    of_page = (log.change_id > sink.change_id) & (log.change_id <= last)
    count = _add_deliveries(
        connection, sink, changed, func.max(log.change_id), fulfils & of_page, now=now
    )
    _advance(connection, sink, last, rows[-1].change_time)
    return TakenUp(count, has_gap=False)


def claim(
    connection: Connection, sink_id: str, *, now: datetime, until: datetime, limit: int
) -> list[Claim]:
    """Returns deliveries that are due, the longest first, as this server's until a time."""
    statement = (
        select(
            _DELIVERY.finding_id,
            _DELIVERY.change_id,
            _DELIVERY.take_up_time,
            _DELIVERY.attempt_count,
        )
        .where(*_due(sink_id, now))
        .order_by(_DELIVERY.next_attempt_time, _DELIVERY.finding_id)
        .limit(limit)
    )
    claims = [Claim(*row, lease_time=until) for row in connection.execute(statement)]
    if claims:
        connection.execute(
            update(sink_deliveries).where(*_is_given()).values(next_attempt_time=until),
            [{"sink": sink_id, "finding": one.finding_id} for one in claims],
        )
    return claims


def settle(
    connection: Connection, sink_id: str, settlements: Sequence[Settlement], *, now: datetime
) -> None:
    """Writes down what came of claims. A finding that has changed since is due again at once."""
    for one in settlements:
        is_this = (_DELIVERY.sink_id == sink_id) & (_DELIVERY.finding_id == one.claim.finding_id)
        is_mine = is_this & (_DELIVERY.next_attempt_time == one.claim.lease_time)
        if not one.is_done:
            connection.execute(
                update(sink_deliveries)
                .where(is_mine)
                .values(
                    attempt_count=one.claim.attempt_count + 1,
                    next_attempt_time=one.next_attempt_time,
                    last_attempt_time=now,
                    last_error=one.answer,
                )
            )
            continue
        # Done is done, also where the lease had run out.
        connection.execute(
            delete(sink_deliveries).where(is_this, _DELIVERY.change_id == one.claim.change_id)
        )
        connection.execute(
            update(sink_deliveries)
            .where(is_mine)
            .values(take_up_time=now, attempt_count=0, next_attempt_time=now, last_error="")
        )


def update_sink(
    connection: Connection,
    sink: SinkRow,
    *,
    now: datetime,
    delivered_count: int,
    failure_count: int,
    resume_time: datetime | None,
    error: str | None,
) -> None:
    """Writes down how a sink fares; `error` is its latest failure, None where there was none."""
    values: dict[str, Any] = {
        "failure_count": failure_count,
        "resume_time": resume_time,
        "delivered_count": sinks.c.delivered_count + delivered_count,
    }
    if delivered_count:
        values["last_delivery_time"] = now
    if error is not None:
        values |= {"last_error_time": now, "last_error": error}
    connection.execute(update(sinks).where(sinks.c.sink_id == sink.sink_id).values(values))


def revive(connection: Connection, sink_id: str, finding_id: str | None, *, now: datetime) -> int:
    """Makes dead letters of a sink due at once, all or that of one finding; returns how many."""
    wanted = [_DELIVERY.sink_id == sink_id, _IS_DEAD]
    if finding_id is not None:
        wanted.append(_DELIVERY.finding_id == finding_id)
    revived = connection.execute(
        update(sink_deliveries)
        .where(*wanted)
        .values(take_up_time=now, attempt_count=0, next_attempt_time=now)
    )
    if revived.rowcount:
        # Whoever asks has mended something, and wants to see it at work.
        connection.execute(update(sinks).where(sinks.c.sink_id == sink_id).values(resume_time=None))
    return revived.rowcount


def fetch_progress(connection: Connection) -> list[SinkProgress]:
    """Returns how far every sink has come that ever was, by id."""
    oldest = func.min(case((~_IS_DEAD, _DELIVERY.take_up_time)))
    counts = {
        row.sink_id: row
        for row in connection.execute(
            select(
                _DELIVERY.sink_id,
                func.count(_DELIVERY.next_attempt_time).label("pending"),
                func.count().label("all"),
                oldest.label("oldest"),
            ).group_by(_DELIVERY.sink_id)
        )
    }
    progress = []
    for row in connection.execute(select(sinks).order_by(sinks.c.sink_id)):
        count = counts.get(row.sink_id)
        progress.append(
            SinkProgress(
                sink_id=row.sink_id,
                failure_count=row.failure_count,
                resume_time=row.resume_time,
                delivered_count=row.delivered_count,
                last_delivery_time=row.last_delivery_time,
                last_error_time=row.last_error_time,
                last_error=row.last_error,
                pending_count=count.pending if count else 0,
                oldest_pending_time=count.oldest if count else None,
                dead_letter_count=count.all - count.pending if count else 0,
            )
        )
    return progress


def fetch_dead_letters(
    connection: Connection, sink_id: str, *, after: str, limit: int
) -> list[DeadLetter]:
    """Returns dead letters of a sink by finding id, from just after one."""
    statement = (
        select(
            _DELIVERY.finding_id,
            _DELIVERY.take_up_time,
            _DELIVERY.last_attempt_time,
            _DELIVERY.attempt_count,
            _DELIVERY.last_error,
        )
        .where(_DELIVERY.sink_id == sink_id, _IS_DEAD, _DELIVERY.finding_id > after)
        .order_by(_DELIVERY.finding_id)
        .limit(limit)
    )
    return [DeadLetter(*row) for row in connection.execute(statement)]


def _due(sink_id: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _DELIVERY.sink_id == sink_id, _DELIVERY.next_attempt_time <= now


def _is_given() -> tuple[ColumnElement[bool], ...]:
    return _DELIVERY.sink_id == bindparam("sink"), _DELIVERY.finding_id == bindparam("finding")


def _advance(connection: Connection, sink: SinkRow, change_id: int, time: datetime) -> None:
    connection.execute(
        update(sinks)
        .where(sinks.c.sink_id == sink.sink_id)
        .values(change_id=change_id, change_time=time)
    )


def _add_deliveries(
    connection: Connection,
    sink: SinkRow,
    source: FromClause,
    change_id: ColumnElement[Any],
    wanted: ColumnElement[bool],
    *,
    now: datetime,
) -> int:
    """Adds a delivery for each finding of a source; those there are stay, with the later change.

    A dead letter comes to life: its finding is another than the one that could not be delivered.
    """
    found = (
        select(
            literal(sink.sink_id, Text),
            findings.c.finding_id,
            change_id,
            literal(now, Instant),
            literal(0, BigInteger),
            literal(now, Instant),
            literal("", Text),
        )
        .select_from(source)
        .where(wanted)
        .group_by(findings.c.finding_id)
    )
    names = (
        "sink_id",
        "finding_id",
        "change_id",
        "take_up_time",
        "attempt_count",
        "next_attempt_time",
        "last_error",
    )
    make: Any = postgresql.insert if connection.dialect.name == POSTGRESQL else sqlite.insert
    statement = make(sink_deliveries).from_select(names, found)
    new = statement.excluded
    result = connection.execute(
        statement.on_conflict_do_update(
            index_elements=[_DELIVERY.sink_id, _DELIVERY.finding_id],
            set_={
                "change_id": new.change_id,
                "take_up_time": case((_IS_DEAD, new.take_up_time), else_=_DELIVERY.take_up_time),
                "attempt_count": case((_IS_DEAD, 0), else_=_DELIVERY.attempt_count),
                "next_attempt_time": func.coalesce(
                    _DELIVERY.next_attempt_time, new.next_attempt_time
                ),
            },
        )
    )
    return result.rowcount

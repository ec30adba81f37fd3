"""The waiting records: searches and launches that may still find a partner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    and_,
    bindparam,
    column,
    func,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import ReturningInsert

from amiguard_core.events import Launch, Search
from amiguard_migrations.documents import pack
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.rows import encode_chunks, encode_rows, insert_of, rows_of
from amiguard_service.store.schema import from_micros, to_micros, waiting_records

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)
"""A record may be of any time that can be written, also of these: no span goes past them."""

_decode_search = msgspec.json.Decoder(Search).decode
_decode_launch = msgspec.json.Decoder(Launch).decode


class WaitingKind(IntEnum):
    """What a waiting record can do. Safe searches are never looked for."""

    SAFE_SEARCH = 0
    """No policy makes it unsafe."""
    CANDIDATE_SEARCH = 1
    """Some policy makes it unsafe, be it the present one or not."""
    LAUNCH = 2
    PIN = 3
    """A launch that pins an image, in the lane of its template; in its own lane it is a LAUNCH."""


class WaitingKey(NamedTuple):
    """Which record: it decides the rest of its row's key."""

    account_id: str
    lane: str
    event_id: str
    digest: str


class WaitingRow(NamedTuple):
    """One record that waits. `body` is the core's value as JSON."""

    key: WaitingKey
    region: str
    kind: WaitingKind
    event_time: datetime
    body: bytes


class Span(NamedTuple):
    """Records of one kind, by one lane in one region, from a time to another, both included."""

    account_id: str
    lane: str
    region: str
    kind: WaitingKind
    start: datetime
    end: datetime


def add_records(
    connection: Connection, rows: Sequence[WaitingRow], *, arrival_time: datetime
) -> set[WaitingKey]:
    """Adds those of the records that do not wait yet, and returns their keys."""
    if not rows:
        return set()
    arrival = to_micros(arrival_time)
    values = {row.key: _stored(row, arrival) for row in rows}
    if connection.dialect.name == POSTGRESQL:
        return _add_chunks(connection, values)
    last = connection.execute(_LAST_ROWID).scalar_one() or 0
    # Past the types of the columns, which would look at each value again.
    inserted = connection.exec_driver_sql(_insert_missing(), list(values.values()))
    if inserted.rowcount == len(values):
        return set(values)
    return {WaitingKey(*row) for row in connection.execute(_AFTER_ROWID, {"last": last})}


def _add_chunks(
    connection: Connection, values: Mapping[WaitingKey, Sequence[str | int | bytes]]
) -> set[WaitingKey]:
    added = [
        connection.execute(_insert_returning(), {"rows": chunk})
        for chunk in encode_chunks(values.values())
    ]
    if sum(result.rowcount for result in added) == len(values):
        return set(values)
    return {WaitingKey(*row) for result in added for row in result}


def _stored(row: WaitingRow, arrival: int) -> tuple[str | int | bytes, ...]:
    """Returns the values of a row's columns, in their order, as they are stored."""
    return (
        *row.key,
        row.region,
        int(row.kind),
        to_micros(row.event_time),
        arrival,
        pack(row.body),
    )


def fetch_spans(connection: Connection, spans: Iterable[Span]) -> list[Search | Launch]:
    """Returns the records in any of the spans; those in two of them twice."""
    values = [
        (
            span.account_id,
            span.lane,
            span.region,
            int(span.kind),
            to_micros(span.start),
            to_micros(span.end),
        )
        for span in spans
    ]
    if not values:
        return []
    rows = connection.execute(_by_span(connection.dialect.name), {"rows": encode_rows(values)})
    return [_decode(row.kind, row.body) for row in rows]


def fetch_lane(connection: Connection, *, account_id: str, lane: str) -> list[Search | Launch]:
    """Returns the candidates and launches of a lane."""
    table = waiting_records.c
    statement = select(table.kind, table.body).where(
        table.account_id == account_id,
        table.lane == lane,
        table.kind != int(WaitingKind.SAFE_SEARCH),
    )
    return [_decode(row.kind, row.body) for row in connection.execute(statement)]


def next_lane(connection: Connection, *, after: tuple[str, str] | None) -> tuple[str, str] | None:
    """Returns the first (account, lane) after another in which a record waits."""
    table = waiting_records.c
    statement = select(table.account_id, table.lane).order_by(table.account_id, table.lane).limit(1)
    if after is not None:
        statement = statement.where(tuple_(table.account_id, table.lane) > tuple_(*after))
    row = connection.execute(statement).one_or_none()
    return None if row is None else (row.account_id, row.lane)


def oldest_arrival(connection: Connection) -> datetime | None:
    """Returns when the record arrived that waits longest; None where none waits."""
    oldest = connection.execute(select(func.min(waiting_records.c.arrival_time))).scalar_one()
    return None if oldest is None else from_micros(oldest)


def newest_arrival(connection: Connection) -> datetime | None:
    """Returns when the record arrived that came last; None where none waits."""
    newest = connection.execute(select(func.max(waiting_records.c.arrival_time))).scalar_one()
    return None if newest is None else from_micros(newest)


def _decode(kind: int, body: bytes) -> Search | Launch:
    if kind in {WaitingKind.LAUNCH, WaitingKind.PIN}:
        return _decode_launch(body)
    return _decode_search(body)


_COLUMNS = tuple(column.name for column in waiting_records.columns)
_OF_KEY = tuple(waiting_records.c[name] for name in WaitingKey._fields)

_ROWID = column("rowid", BigInteger)
"""SQLite's number of a row: one that is added has a greater one than those that are there."""
_LAST_ROWID = select(func.max(_ROWID)).select_from(waiting_records)
_AFTER_ROWID = select(*_OF_KEY).where(bindparam("last", type_=BigInteger) < _ROWID)


@lru_cache
def _insert_missing() -> str:
    """Returns the statement, for SQLite, that adds a row where it is not there."""
    statement = sqlite.insert(waiting_records).on_conflict_do_nothing()
    return str(statement.compile(dialect=sqlite.dialect()))


@lru_cache
def _insert_returning() -> ReturningInsert[Any]:
    statement = insert_of(waiting_records, _COLUMNS, POSTGRESQL)
    return statement.on_conflict_do_nothing().returning(*_OF_KEY)


@lru_cache
def _by_span(backend: str) -> Select[Any]:
    given = rows_of(
        ("account_id", "lane", "region", "kind", "start_time", "end_time"),
        backend,
        numbers={"kind", "start_time", "end_time"},
    )
    table = waiting_records.c
    within = and_(
        table.account_id == given.c.account_id,
        table.lane == given.c.lane,
        table.region == given.c.region,
        table.kind == given.c.kind,
        table.event_time.between(given.c.start_time, given.c.end_time),
    )
    if backend != POSTGRESQL:
        return select(table.kind, table.body).select_from(given.join(waiting_records, within))
    # PostgreSQL takes every row to be looked for in every partition, and so would rather read a
    # small table whole, while one partition is enough. With the offset it has no choice.
    found = select(table.kind, table.body).where(within).offset(0).lateral("found")
    return select(found.c.kind, found.c.body).select_from(given.join(found, true()))

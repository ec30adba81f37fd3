"""Databases that hold a lot already, filled by the quickest way their kind has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Column, Index, Table, make_url
from sqlalchemy import Engine as SqlEngine

from amiguard_core.policy import Policy
from amiguard_migrations.documents import pack
from amiguard_service.engine import Engine
from amiguard_service.store.engines import Database
from amiguard_service.store.schema import (
    PackedDocument,
    finding_changes,
    finding_images,
    finding_labels,
    finding_patterns,
    findings,
    occurrences,
    to_micros,
    waiting_records,
)
from tests.bench.population import Population, find, waiting_rows
from tests.data.draws import Draws

TABLES: Final = (
    waiting_records,
    findings,
    occurrences,
    finding_images,
    finding_patterns,
    finding_labels,
    finding_changes,
)

_CHUNK_ACCOUNTS: Final = 200
_READ_BYTES: Final = 16 << 20

Rows = dict[Table, list[tuple[Any, ...]]]


def fill(url: str, population: Population) -> None:
    """Makes the schema in an empty database and stores a population in it.

    Every second principal comes when the indexes are there, between those that came before, as in
    a database that has grown: pages that were filled in order would have no room for one more row.
    """
    Engine.open(url).close()
    load = _insert if url.startswith("sqlite") else _copy
    _for_each_index(url, Index.drop)
    load(url, _chunks(population, first=0))
    _for_each_index(url, Index.create)
    load(url, _chunks(population, first=1))
    _settle(url)


def _for_each_index(url: str, do: Callable[[Index, SqlEngine], None]) -> None:
    database = Database(url)
    for table in TABLES:
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            do(index, database.engine)
    database.close()


def _chunks(population: Population, *, first: int) -> Iterator[Rows]:
    """Gives the rows of every second principal of each account."""
    draws, policy = Draws(1 + first), Policy()
    accounts = iter(population.accounts)
    while some := list(islice(accounts, _CHUNK_ACCOUNTS)):
        rows: Rows = {table: [] for table in TABLES}
        for account in some:
            numbers = account[first::2]
            for number in numbers:
                rows[waiting_records] += waiting_rows(population, number, draws=draws)
            found = [find(population, n, draws=draws, policy=policy) for n in numbers]
            for one in sorted(found, key=lambda row: row.finding_id):
                key = (one.account_id, one.finding_id)
                rows[findings].append(_ordered(findings, one.finding))
                rows[occurrences] += sorted(_ordered(occurrences, o) for o in one.occurrences)
                rows[finding_images] += [(*key, image) for image in one.image_ids]
                rows[finding_patterns] += [(*key, pattern) for pattern in one.patterns]
                rows[finding_labels] += [(*key, *item) for item in sorted(one.labels.items())]
        yield rows


def _ordered(table: Table, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(_as_stored(column, values[column.name]) for column in table.columns)


def _as_stored(column: Column[Any], value: Any) -> Any:
    if isinstance(value, datetime):
        return to_micros(value)
    if isinstance(column.type, PackedDocument) and value is not None:
        return pack(value)
    # The driver knows plain text alone.
    return str(value) if isinstance(value, str) else value


def _insert(url: str, chunks: Iterable[Rows]) -> None:
    path = make_url(url).database
    assert path is not None
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        connection.execute(f"PRAGMA {pragma}")
    for rows in chunks:
        connection.execute("BEGIN")
        for table, of_it in rows.items():
            marks = ", ".join("?" * len(table.columns))
            connection.executemany(f"INSERT INTO {table.name} VALUES ({marks})", of_it)  # noqa: S608 - names of our own schema
        connection.execute("COMMIT")
    connection.close()


def _copy(url: str, chunks: Iterable[Rows]) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = off")
        for rows in chunks:
            for table, of_it in rows.items():
                _copy_rows(connection, table, of_it)
            connection.commit()


def _copy_rows(
    connection: psycopg.Connection[Any], table: Table, rows: Sequence[tuple[Any, ...]]
) -> None:
    names = ", ".join(column.name for column in table.columns)
    with connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as copy:
        for row in rows:
            copy.write_row(row)


def _settle(url: str) -> None:
    """Leaves the database as it is a while after it was written to, and in memory."""
    if url.startswith("sqlite"):
        path = make_url(url).database
        assert path is not None
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        with Path(path).open("rb") as file:
            while file.read(_READ_BYTES):
                pass
        return
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("VACUUM (ANALYZE)")
        server.execute("CHECKPOINT")
        _read_all(server)


def _read_all(server: psycopg.Connection[Any]) -> None:
    """Brings tables into the machine's memory and indexes into that of PostgreSQL itself.

    There a server has them that took every row in.
    """
    for table in TABLES:
        # Whole rows, so that no index is enough.
        server.execute(f"SELECT count(of_table) FROM {table.name} AS of_table".encode())  # noqa: S608 - names of our own schema
    for way in ("seqscan", "bitmapscan", "sort"):
        server.execute(f"SET enable_{way} = off".encode())
    for table in TABLES:
        orders = [[*table.primary_key], *([*index.expressions] for index in table.indexes)]
        for order in orders:
            terms = ", ".join(map(str, order))
            ordered = f"SELECT FROM {table.name} ORDER BY {terms} OFFSET 0"
            server.execute(f"SELECT count(*) FROM ({ordered}) AS ordered".encode())  # noqa: S608 - names of our own schema

"""How fast searches and launches are committed: `python -m tests.bench.relevant`.

Batches that hold nothing else, 500 records each, go through the engine, once each in a transaction
of its own and once as many together as a server groups when they come that fast. They are held
against a bare insert of the same rows into the same table, a batch a transaction: on SQLite one
`executemany`, on PostgreSQL one statement of many rows, both written through to the disk. The bare
insert stores the records' values as they are: to pack them is our way to write less. The two take
turns, each in a database of its own that holds nothing at first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from statistics import median
from time import perf_counter
from typing import Any, cast

import psycopg
from sqlalchemy import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from amiguard_core.decode import Decoded
from amiguard_core.events import Launch, Search
from amiguard_service.allocator import tune_collector
from amiguard_service.commit import _waiting_row
from amiguard_service.committer import MAX_GROUP_ITEMS
from amiguard_service.engine import Batch, Engine
from amiguard_service.intake import Intake
from amiguard_service.store.connect import configure_sqlite
from amiguard_service.store.pending import _stored
from amiguard_service.store.schema import to_micros, waiting_records
from tests.bench.databases import BACKENDS, MakeUrl, databases
from tests.bench.figures import Figure, at_least, table
from tests.bench.population import Population, traffic
from tests.data.records import NINE_O_CLOCK

BATCH_RECORDS = 500
PAIR_SHARE = 0.08
PRINCIPALS = 20_000
BATCHES_PER_TURN = 4
GROUP_BATCHES = MAX_GROUP_ITEMS // BATCH_RECORDS

Row = tuple[Any, ...]


def as_batch(records: Sequence[Search | Launch]) -> Batch:
    """Returns records as a batch that was decoded."""
    return Batch(
        Decoded(
            searches=[record for record in records if isinstance(record, Search)],
            launches=[record for record in records if isinstance(record, Launch)],
            record_count=len(records),
        ),
        source="bench",
    )


def new_batches(population: Population, count: int, *, seed: int) -> list[Batch]:
    """Returns batches of records that no other seed gives."""
    records = traffic(population, count * BATCH_RECORDS, seed=seed, pair_share=PAIR_SHARE)
    return [as_batch(list(islice(records, BATCH_RECORDS))) for _ in range(count)]


def rows_of(batch: Batch) -> list[Row]:
    """Returns the rows in which the records of a batch wait, the records as they are."""
    arrival = to_micros(NINE_O_CLOCK)
    rows = [_waiting_row(key, arrived) for key, arrived in Intake([batch]).arrivals.items()]
    return [(*_stored(row, arrival)[:-1], row.body) for row in rows]


def measure(*, quick: bool = False) -> Iterator[Figure]:
    """Gives the records a second of both, the median of several turns, on each database."""
    for backend in BACKENDS:
        with databases(backend) as make_database:
            for together in (1, GROUP_BATCHES):
                yield _measure_on(backend, make_database, together, turns=6 if quick else 12)


def _measure_on(backend: str, make_database: MakeUrl, together: int, *, turns: int) -> Figure:
    engine, bare_url = Engine.open(make_database()), make_database()
    Engine.open(bare_url).close()
    insert = _inserter(bare_url)
    per_turn = max(together, BATCHES_PER_TURN)
    batches = new_batches(Population(PRINCIPALS), (turns + 1) * per_turn, seed=1)
    tune_collector()  # as a server does
    ours, bare = [], []
    for turn in range(turns + 1):
        of_turn = batches[turn * per_turn :][:per_turn]
        groups = [of_turn[first:][:together] for first in range(0, per_turn, together)]
        rows = [rows_of(batch) for batch in of_turn]
        ours.append(_seconds(engine.commit, groups))
        bare.append(_seconds(insert, rows))
    engine.close()
    # The first turn warms up.
    count = per_turn * BATCH_RECORDS
    speed, bare_speed = count / median(ours[1:]), count / median(bare[1:])
    # On PostgreSQL 15,000 records a second are enough.
    wanted = 0.5 if backend == "sqlite" else min(0.5, 15_000 / bare_speed)
    batch_count = "one batch" if together == 1 else f"{together} batches"
    return Figure(
        name=f"{backend} commit of {batch_count} of searches and launches, against a bare insert",
        unit="records/s",
        ours=speed,
        baseline=bare_speed,
        ratio=median(b / o for o, b in zip(ours[1:], bare[1:], strict=True)),
        wanted=at_least(wanted),
    )


def _seconds(work: Callable[[Any], object], parts: Sequence[object]) -> float:
    started_at = perf_counter()
    for part in parts:
        work(part)
    return perf_counter() - started_at


def _inserter(url: str) -> Callable[[list[Row]], None]:
    columns = [column.name for column in waiting_records.columns]
    into = f"INSERT INTO waiting_records ({', '.join(columns)}) VALUES "  # noqa: S608 - names of our own schema
    if url.startswith("sqlite"):
        path = make_url(url).database
        assert path is not None
        return _sqlite_inserter(path, f"{into} ({', '.join('?' * len(columns))})")
    return _postgres_inserter(url, into, f"({', '.join(['%s'] * len(columns))})")


def _sqlite_inserter(path: str, statement: str) -> Callable[[list[Row]], None]:
    connection = sqlite3.connect(path)
    configure_sqlite(cast("DBAPIConnection", connection), None)

    def insert(rows: list[Row]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)
        connection.execute("COMMIT")

    return insert


def _postgres_inserter(url: str, into: str, marks: str) -> Callable[[list[Row]], None]:
    connection = psycopg.connect(url)

    def insert(rows: list[Row]) -> None:
        statement = into + ", ".join([marks] * len(rows))
        connection.execute(statement.encode(), [value for row in rows for value in row])
        connection.commit()

    return insert


if __name__ == "__main__":
    print(table(measure()))

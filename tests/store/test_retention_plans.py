"""How retention finds what it deletes: through an index, so that a step costs what it deletes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, event, insert, select

from amiguard_core.decode import Rejection
from amiguard_service.engine import Engine
from amiguard_service.retention import SweepLimits
from amiguard_service.store.schema import (
    finding_changes,
    findings,
    metadata,
    occurrences,
    region_coverage,
    source_coverage,
    waiting_records,
)
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

MANY = 2_000
REJECTION = Rejection(index=0, path="$", message="no", raw=b"{}")


def find(engine: Engine, name: str, *, launches: int) -> None:
    """Commits a search for a name and launches after it."""
    person = f"arn:aws:iam::111122223333:user/{name}"
    after = [launch(origin(f"l-{name}-{n}", n, principal=person)) for n in range(launches)]
    engine.commit([batch(search(origin(f"s-{name}", principal=person), name), *after)])


@pytest.fixture
def full(engine: Engine) -> Engine:
    """An engine with enough rows in each table that reading all of one is no good plan."""
    find(engine, "few", launches=1)
    find(engine, "many", launches=60)
    engine.coverage.flush()

    def copies(connection: Connection, table: Table, name: str) -> None:
        row = connection.execute(select(table).limit(1)).mappings().one()
        values = dict(row)
        rows = []
        for number in range(MANY):
            key = number + 1_000 if isinstance(values[name], int) else f"{values[name]}{number}"
            rows.append(values | {name: key})
        connection.execute(insert(table), rows)

    def fill(connection: Connection) -> None:
        copies(connection, waiting_records, "event_id")
        copies(connection, findings, "finding_id")
        copies(connection, occurrences, "launch_event_id")
        copies(connection, finding_changes, "change_id")
        copies(connection, region_coverage, "region")
        copies(connection, source_coverage, "source")
        for table in metadata.tables.values():
            if "finding_id" in table.c and table not in {findings, occurrences, finding_changes}:
                rows = connection.execute(select(table)).mappings().all()
                if rows:
                    values = dict(rows[0])
                    every = [values | {"finding_id": f"other{n}"} for n in range(MANY)]
                    connection.execute(insert(table), every)

    engine._database.write(fill)
    engine.commit([batch(rejections=(REJECTION,) * MANY)])
    engine._database.write(lambda c: c.exec_driver_sql("ANALYZE"))
    return engine


BIG = (
    "waiting_records",
    "rejected_records",
    "finding_changes",
    "findings",
    "occurrences",
    "finding_history",
    "finding_images",
    "finding_patterns",
    "region_coverage",
    "source_coverage",
)


@pytest.mark.category("retention")
def test_no_statement_reads_a_whole_table(full: Engine, clock: ManualClock) -> None:
    """Every statement of a step goes through an index, so a step's cost is that of its rows."""
    engine = full._database.engine
    said: dict[str, Any] = {}

    def listen(_c: Any, _cursor: Any, statement: str, given: Any, _x: Any, many: bool) -> None:  # noqa: FBT001 - as SQLAlchemy calls it
        if statement.startswith(("SELECT", "DELETE", "UPDATE", "WITH")):
            said[statement] = given[0] if many else given

    event.listen(engine, "before_cursor_execute", listen)
    full.sweep(clock.now + timedelta(days=500), SweepLimits(max_rows=20))
    event.remove(engine, "before_cursor_execute", listen)

    explain = "EXPLAIN QUERY PLAN " if full._database.backend == "sqlite" else "EXPLAIN "
    plans = {
        statement: "\n".join(
            str(row[-1])
            for row in full._database.read(
                lambda c, s=statement, g=given: c.exec_driver_sql(explain + s, g).all()  # type: ignore[misc]  # bound early
            )
        )
        for statement, given in said.items()
    }
    scans = [f"SCAN {table}" for table in BIG] + [f"Seq Scan on {table}" for table in BIG]
    assert len(plans) > 10
    assert {s: p for s, p in plans.items() if any(scan in p for scan in scans)} == {}


@pytest.mark.category("retention")
def test_room_of_deleted_rows_is_used_again(engine: Engine, clock: ManualClock) -> None:
    """A database that deletes as much as it takes in stops growing."""

    def size() -> int:
        if engine._database.backend == "sqlite":
            pages = engine._database.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
            return int(pages or 0)
        # What PostgreSQL's autovacuum does in its own time.
        with engine._database.engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql("VACUUM waiting_records")
            return int(
                alone.exec_driver_sql(
                    "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits "
                    "WHERE inhparent = 'waiting_records'::regclass"
                ).scalar_one()
            )

    sizes = []
    for day in range(4):
        records = [launch(origin(f"l{day}-{number}", number)) for number in range(1_000)]
        engine.commit([batch(*records)])
        clock.now += timedelta(days=2)
        while engine.sweep(clock.now, SweepLimits()).has_more:
            pass
        sizes.append(size())

    assert sizes[-1] <= sizes[0] * 1.1

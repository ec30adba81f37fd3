"""What came in: counts by day, added to as it comes."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import asdict
from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    Table,
    func,
    select,
    tuple_,
)

from amiguard_service.coverage import (
    Days,
    RegionCount,
    RegionCoverage,
    SourceCount,
    SourceCoverage,
)
from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.rows import encode_rows, execute_rows, insert_of, rows_of
from amiguard_service.store.schema import region_coverage, source_coverage
from amiguard_service.tally import Tally

SLOT_COUNT: Final = 8
"""Rows that a day's count is spread over on PostgreSQL, where a row that is counted up is locked
until the commit: twice the transactions that one server has under way by default."""

_LATENESS_COLUMNS: Final = (
    "within_1_minute",
    "within_5_minutes",
    "within_15_minutes",
    "within_1_hour",
    "within_6_hours",
    "within_24_hours",
    "over_24_hours",
)


def add_tally(connection: Connection, tally: Tally) -> None:
    """Adds counts to those stored, in one order whoever does so."""
    slot, backend = _slot_of(connection), connection.dialect.name
    regions = [
        asdict(where) | {"slot": slot} | _region_values(counted)
        for where, counted in sorted(tally.regions.items(), key=lambda item: item[0])
    ]
    sources = [
        asdict(where) | {"slot": slot} | asdict(sent)
        for where, sent in sorted(tally.sources.items(), key=lambda item: item[0])
    ]
    for table, values in ((region_coverage, regions), (source_coverage, sources)):
        if values:
            statement = _add(table, tuple(values[0]), backend)
            execute_rows(connection, statement, table, values)


def _slot_of(connection: Connection) -> int:
    """Returns a slot that other connections of this server most likely do not use."""
    if connection.dialect.name != POSTGRESQL:
        return 0
    driver_connection: Any = connection.connection.driver_connection
    return int(driver_connection.info.backend_pid) % SLOT_COUNT


def _region_values(counted: RegionCount) -> dict[str, Any]:
    values = asdict(counted)
    return values | dict(zip(_LATENESS_COLUMNS, values.pop("lateness"), strict=True))


def fetch_regions(
    connection: Connection,
    *,
    account_id: str | None,
    region: str | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[RegionCoverage]:
    """Returns what came from accounts and regions, by account and region, from just after one."""
    table = region_coverage.c
    key = (table.account_id, table.region)
    statement = select(*key).distinct().order_by(*key).limit(limit)
    if account_id is not None:
        statement = statement.where(table.account_id == account_id)
    if region is not None:
        statement = statement.where(table.region == region)
    if after is not None:
        statement = statement.where(tuple_(*key) > tuple_(*after))
    keys = [tuple(row) for row in connection.execute(statement)]
    if not keys:
        return []
    rows = connection.execute(_of_regions(connection.dialect.name), {"rows": encode_rows(keys)})
    days: defaultdict[tuple[str, str], dict[int, RegionCount]] = defaultdict(dict)
    for row in rows:
        _fold(days[row.account_id, row.region], row.day, _region_count(row))
    return [
        RegionCoverage(account, name, Days(tuple(sorted(of_region.items()))))
        for (account, name), of_region in sorted(days.items())
    ]


def fetch_sources(connection: Connection, *, limit: int) -> list[SourceCoverage]:
    """Returns what forwarders sent, by their names."""
    table = source_coverage.c
    names = select(table.source).distinct().order_by(table.source).limit(limit)
    rows = connection.execute(select(source_coverage).where(table.source.in_(names)))
    days: defaultdict[str, dict[int, SourceCount]] = defaultdict(dict)
    for row in rows:
        sent = SourceCount(
            last_arrival_time=row.last_arrival_time,
            arrival_hours=row.arrival_hours,
            record_count=row.record_count,
            rejected_count=row.rejected_count,
        )
        _fold(days[row.source], row.day, sent)
    return [
        SourceCoverage(source, Days(tuple(sorted(of_source.items()))))
        for source, of_source in sorted(days.items())
    ]


def _fold(days: dict[int, Any], day: int, counted: RegionCount | SourceCount) -> None:
    """Adds the count of one slot to those of the day's other ones."""
    if day in days:
        days[day].add(counted)
    else:
        days[day] = counted


def _region_count(row: Row[Any]) -> RegionCount:
    return RegionCount(
        last_arrival_time=row.last_arrival_time,
        arrival_hours=row.arrival_hours,
        record_count=row.record_count,
        search_count=row.search_count,
        launch_count=row.launch_count,
        unidentified_count=row.unidentified_count,
        beyond_horizon_count=row.beyond_horizon_count,
        future_count=row.future_count,
        lateness=[getattr(row, name) for name in _LATENESS_COLUMNS],
        last_record_time=row.last_record_time,
        last_search_time=row.last_search_time,
        last_launch_time=row.last_launch_time,
    )


@lru_cache
def _add(table: Table, names: tuple[str, ...], backend: str) -> Insert:
    statement = insert_of(table, names, backend)
    added = {
        column.name: _sum(column, statement.excluded[column.name], backend)
        for column in table.c
        if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=added)


def _sum(column: ColumnElement[Any], new: ColumnElement[Any], backend: str) -> ColumnElement[Any]:
    """Returns what becomes of a column: counts add up, the latest time stays, hours are joined."""
    name = str(column.key)
    if name == "arrival_hours":
        return column.bitwise_or(new)
    if not name.startswith("last_"):
        return column + new
    if backend == POSTGRESQL:
        return func.greatest(column, new)
    # SQLite's max of NULL and anything is NULL.
    return func.max(func.coalesce(column, new), func.coalesce(new, column))


@lru_cache
def _of_regions(backend: str) -> Select[Any]:
    given = rows_of(("account_id", "region"), backend)
    table = region_coverage.c
    same = (table.account_id == given.c.account_id) & (table.region == given.c.region)
    return select(region_coverage).select_from(given.join(region_coverage, same))

"""Many rows in one parameter, so that a statement is compiled and planned once for any number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Insert,
    LargeBinary,
    String,
    Subquery,
    Table,
    TypeDecorator,
    Update,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from amiguard_service.store.connect import POSTGRESQL
from amiguard_service.store.schema import PackedDocument

CHUNK_BYTES: Final = 16 * 1024 * 1024
"""Rows of one parameter, roughly: PostgreSQL takes 256 MB apart at most, and a search of 100 KB is
written with each of the thousands of launches that follow it."""


def encode_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Returns rows, each its values in the order of the columns, as the parameter of `rows_of`."""
    return msgspec.json.encode(list(rows)).decode()


def encode_chunks(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yields rows as `encode_rows` does, several times where once would be too large."""
    chunk: list[bytes] = []
    size = 0
    for row in rows:
        encoded = msgspec.json.encode(row)
        if chunk and size + len(encoded) > CHUNK_BYTES:
            yield _joined(chunk)
            chunk, size = [], 0
        chunk.append(encoded)
        size += len(encoded)
    if chunk:
        yield _joined(chunk)


def _joined(encoded: Iterable[bytes]) -> str:
    return f"[{b','.join(encoded).decode()}]"


def rows_of(columns: Sequence[str], backend: str, *, numbers: Collection[str] = ()) -> Subquery:
    """Returns a table, made of the statement's parameter `rows`, which `encode_rows` makes.

    Its columns are text, but for those that are whole numbers.
    """
    given = bindparam("rows", type_=String)
    each = func.json_each(given)
    if backend == POSTGRESQL:
        each = func.jsonb_array_elements(cast(given, JSONB))
    row = each.table_valued("value", name="each").c.value
    values = {name: _value(row, position, backend) for position, name in enumerate(columns)}
    if backend == POSTGRESQL:
        values |= {name: cast(values[name], BigInteger) for name in numbers}
    return select(*(value.label(name) for name, value in values.items())).subquery("given")


def _value(row: ColumnElement[Any], position: int, backend: str) -> ColumnElement[Any]:
    # Literals, because what is bound is sent and read with every statement.
    if backend == POSTGRESQL:
        return row.op("->>", return_type=String())(literal_column(str(position)))
    return func.json_extract(row, literal_column(f"'$[{position}]'"))


def insert_values(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    skips_present: bool = False,
) -> None:
    """Adds rows, all with the same columns in one order; those that are there can be skipped."""
    if rows:
        statement = _insert(
            table, tuple(rows[0]), connection.dialect.name, skips_present=skips_present
        )
        execute_rows(connection, statement, table, rows)


def insert_of(
    table: Table, names: Sequence[str], backend: str
) -> postgresql.Insert | sqlite.Insert:
    """Returns an insert of rows with the named columns, for `execute_rows`."""
    if backend != POSTGRESQL:
        return sqlite.insert(table)
    return postgresql.insert(table).from_select(list(names), select(_table_rows(table, names)))


def update_of(table: Table, names: Sequence[str]) -> Update:
    """Returns an update, for PostgreSQL, of the rows with given keys, for `execute_rows`.

    `names` are those of the key's columns and of the columns that are set.
    """
    given = _table_rows(table, names)
    keys = [column.name for column in table.primary_key]
    return (
        update(table)
        .where(*(table.c[name] == given.c[name] for name in keys))
        .values({name: given.c[name] for name in names if name not in keys})
    )


def _table_rows(table: Table, names: Sequence[str]) -> Subquery:
    """Returns the statement's parameter `rows` as rows of a table of PostgreSQL."""
    columns = [table.columns[name] for name in names]
    documents = {c.name for c in columns if isinstance(c.type, (LargeBinary, PackedDocument))}
    numbers = {c.name for c in columns if not isinstance(c.type, String)} - documents
    given = rows_of(names, POSTGRESQL, numbers=numbers).c
    values = [
        # As msgspec writes bytes.
        func.decode(given[name], "base64").label(name) if name in documents else given[name]
        for name in names
    ]
    return select(*values).subquery("stored")


def execute_rows(
    connection: Connection,
    statement: Insert | Update,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Executes what `insert_of` or `update_of` gave, and may have been added to.

    There is at least one row, and all have the same columns in one order. On PostgreSQL rows are
    one parameter: that takes half as long as a statement for each.
    """
    dialect = connection.dialect
    if dialect.name != POSTGRESQL:
        connection.execute(statement, rows)
        return
    types = [table.columns[name].type for name in rows[0]]
    converters = [
        kind.process_bind_param if isinstance(kind, TypeDecorator) else None for kind in types
    ]
    stored = (
        [
            convert(value, dialect) if convert else value
            for convert, value in zip(converters, row.values(), strict=True)
        ]
        for row in rows
    )
    for chunk in encode_chunks(stored):
        connection.execute(statement, {"rows": chunk})


@lru_cache
def _insert(
    table: Table, names: tuple[str, ...], backend: str, *, skips_present: bool
) -> postgresql.Insert | sqlite.Insert:
    statement = insert_of(table, names, backend)
    return statement.on_conflict_do_nothing() if skips_present else statement

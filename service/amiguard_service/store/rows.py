"""Many rows in one parameter, so that a statement is compiled and planned once for any number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    LargeBinary,
    String,
    Subquery,
    Table,
    TypeDecorator,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from amiguard_service.store.engines import POSTGRESQL
from amiguard_service.store.schema import PackedDocument


def encode_rows(rows: Iterable[Sequence[Any]]) -> str:
    """Returns rows, each its values in the order of the columns, as the parameter of `rows_of`."""
    return msgspec.json.encode(list(rows)).decode()


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
        connection.execute(statement, insert_parameters(connection, table, rows))


def insert_of(
    table: Table, names: Sequence[str], backend: str
) -> postgresql.Insert | sqlite.Insert:
    """Returns an insert of rows with the named columns: see `insert_parameters`."""
    if backend != POSTGRESQL:
        return sqlite.insert(table)
    columns = [table.columns[name] for name in names]
    documents = {c.name for c in columns if isinstance(c.type, (LargeBinary, PackedDocument))}
    numbers = {c.name for c in columns if not isinstance(c.type, String)} - documents
    given = rows_of(names, backend, numbers=numbers).c
    values = [
        # As msgspec writes bytes.
        func.decode(given[name], "base64") if name in documents else given[name]
        for name in names
    ]
    return postgresql.insert(table).from_select(list(names), select(*values))


def insert_parameters(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | Sequence[Mapping[str, Any]]:
    """Returns rows as `insert_of` takes them.

    On PostgreSQL they are one parameter: that takes half as long as a statement for each.
    """
    dialect = connection.dialect
    if dialect.name != POSTGRESQL:
        return rows
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
    return {"rows": encode_rows(stored)}


@lru_cache
def _insert(
    table: Table, names: tuple[str, ...], backend: str, *, skips_present: bool
) -> postgresql.Insert | sqlite.Insert:
    statement = insert_of(table, names, backend)
    return statement.on_conflict_do_nothing() if skips_present else statement

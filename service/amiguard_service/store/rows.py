"""Many rows in one parameter, so that a statement is compiled and planned once for any number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Connection,
    FromClause,
    LargeBinary,
    String,
    Table,
    TypeDecorator,
    bindparam,
    cast,
    column,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB

from amiguard_service.store.engines import POSTGRESQL
from amiguard_service.store.schema import PackedDocument


def encode_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns rows as the parameter `rows` of a statement over `rows_of`."""
    return msgspec.json.encode(rows).decode()


def rows_of(texts: Iterable[str], backend: str, *, numbers: Iterable[str] = ()) -> FromClause:
    """Returns a table of text and whole-number columns, made of the statement's parameter `rows`.

    The parameter is what `encode_rows` makes of rows with just these columns.
    """
    types = dict.fromkeys(texts, String) | dict.fromkeys(numbers, BigInteger)
    given = bindparam("rows", type_=String)
    if backend == POSTGRESQL:
        return (
            func.jsonb_to_recordset(cast(given, JSONB))
            .table_valued(*(column(name, kind) for name, kind in types.items()))
            .render_derived(name="given", with_types=True)
        )
    value = func.json_each(given).table_valued("value", name="each").c.value
    return select(
        *(
            func.json_extract(value, f"$.{name}", type_=kind()).label(name)
            for name, kind in types.items()
        )
    ).subquery("given")


def insert_values(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    skips_present: bool = False,
) -> None:
    """Adds rows, which all have the same columns; those that are there already can be skipped."""
    if not rows:
        return
    if connection.dialect.name == POSTGRESQL:
        statement = _insert_given(table, tuple(rows[0]), skips_present=skips_present)
        connection.execute(statement, {"rows": encode_rows(_as_stored(table, rows, connection))})
    elif skips_present:
        connection.execute(_insert_missing(table), rows)
    else:
        connection.execute(insert(table), rows)


def insert_given(table: Table, names: Collection[str] | None = None) -> postgresql.Insert:
    """Returns an insert, for PostgreSQL, of the rows in the statement's parameter `rows`.

    The parameter is what `encode_rows` makes of rows with the named columns of the table, or all,
    each as it is stored. One such statement takes half as long as one a row.
    """
    columns = [column for column in table.columns if names is None or column.name in names]
    documents = [c.name for c in columns if isinstance(c.type, (LargeBinary, PackedDocument))]
    texts = [c.name for c in columns if isinstance(c.type, String)] + documents
    numbers = [c.name for c in columns if c.name not in texts]
    given = rows_of(texts, POSTGRESQL, numbers=numbers).c
    values = [
        # As msgspec writes bytes.
        func.decode(given[c.name], "base64") if c.name in documents else given[c.name]
        for c in columns
    ]
    return postgresql.insert(table).from_select([c.name for c in columns], select(*values))


def _as_stored(
    table: Table, rows: Sequence[Mapping[str, Any]], connection: Connection
) -> list[dict[str, Any]]:
    dialect = connection.dialect
    converted = {
        column.name: column.type.process_bind_param
        for column in table.columns
        if isinstance(column.type, TypeDecorator)
    }
    return [
        {
            name: converted[name](value, dialect) if name in converted else value
            for name, value in row.items()
        }
        for row in rows
    ]


@lru_cache
def _insert_given(
    table: Table, names: tuple[str, ...], *, skips_present: bool
) -> postgresql.Insert:
    statement = insert_given(table, names)
    return statement.on_conflict_do_nothing() if skips_present else statement


@lru_cache
def _insert_missing(table: Table) -> sqlite.Insert:
    return sqlite.insert(table).on_conflict_do_nothing()

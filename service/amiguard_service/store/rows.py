"""Many rows in one parameter, so that a statement is compiled and planned once for any number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    FromClause,
    String,
    Table,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects import postgresql
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


def insert_given(table: Table) -> postgresql.Insert:
    """Returns an insert, for PostgreSQL, of the rows in the statement's parameter `rows`.

    The parameter is what `encode_rows` makes of rows with every column of the table, each as it is
    stored. One such statement takes half as long as one a row.
    """
    columns = list(table.columns)
    documents = [c.name for c in columns if isinstance(c.type, PackedDocument)]
    texts = [c.name for c in columns if isinstance(c.type, String)] + documents
    numbers = [c.name for c in columns if c.name not in texts]
    given = rows_of(texts, POSTGRESQL, numbers=numbers).c
    values = [
        # As msgspec writes bytes.
        func.decode(given[c.name], "base64") if c.name in documents else given[c.name]
        for c in columns
    ]
    return postgresql.insert(table).from_select([c.name for c in columns], select(*values))

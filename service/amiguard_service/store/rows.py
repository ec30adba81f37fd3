"""Many rows in one parameter, so that a statement is compiled and planned once for any number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    FromClause,
    String,
    bindparam,
    cast,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB

from amiguard_service.store.engines import POSTGRESQL


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

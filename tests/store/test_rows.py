"""Many rows in one parameter: what goes in as a row comes out as one, on every kind of store."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store import rows as store
from amiguard_service.store.rows import encode_rows, rows_of
from tests.store.values import batch, launch, origin, search

TEXTS = st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
"""What a column of text can hold: no zero character on PostgreSQL."""
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)
ROWS = st.lists(st.tuples(TEXTS, NUMBERS, TEXTS), max_size=20)


@pytest.mark.category("laws")
class TestRows:
    """Laws of `rows_of`."""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(rows=ROWS)
    def test_rows_come_out_as_they_went_in(
        self, engine: Engine, rows: list[tuple[Any, ...]]
    ) -> None:
        """Whatever characters a text has, however large a number is, and where there is nothing."""

        def work(connection: Connection) -> list[tuple[Any, ...]]:
            backend = connection.dialect.name
            given = rows_of(("name", "size", "note"), backend, numbers={"size"})
            found = connection.execute(select(given), {"rows": encode_rows(rows)})
            return [tuple(row) for row in found]

        assert engine._database.read(work) == rows

    @pytest.mark.parametrize("chunk_bytes", [1, 2_000])
    def test_rows_that_are_too_large_for_one_statement_take_several(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
    ) -> None:
        """However large they are together, all are stored, and known when they come again."""
        monkeypatch.setattr(store, "CHUNK_BYTES", chunk_bytes)
        launches = [launch(origin(f"l{number}", 1 + number)) for number in range(30)]
        first, second = batch(search(origin("s")), *launches[:20]), batch(*launches)

        engine.commit([first])
        (again,) = engine.commit([second])

        assert again.duplicate_count == 20
        (finding,) = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
        assert finding.occurrence_count == 30

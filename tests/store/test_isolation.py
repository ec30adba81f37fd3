"""Transactions that meet, whatever isolation the database has by default."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from amiguard_migrations import locked
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.store.engines import Database
from tests.databases import BACKENDS, ISOLATED, Backend
from tests.store.values import ACCOUNT, batch, launch, origin, search

POSTGRESQL = [backend for backend in (*BACKENDS, *ISOLATED) if backend.name == "postgresql"]
PAIRS = 60

pytestmark = pytest.mark.parametrize("backend", POSTGRESQL, ids=str, indirect=True)


def test_halves_of_a_pair_at_two_servers_meet(engine: Engine, other: Engine) -> None:
    """A search to one server and its launch to another, side by side, make a finding each time."""
    engine.commit([])
    calls = []
    for number in range(PAIRS):
        principal = f"arn:aws:iam::{ACCOUNT}:user/user{number}"
        found = batch(search(origin(f"s{number}", principal=principal)))
        used = batch(launch(origin(f"l{number}", 120, principal=principal)))
        calls += [(engine, found), (other, used)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda call: call[0].commit([call[1]]), calls))

    stored = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=PAIRS + 1)
    assert len(stored) == PAIRS


def test_every_transaction_says_how_isolated_it_is(database_url: str, backend: Backend) -> None:
    """Writes and migrations see what others commit meanwhile, reads one state, and never write."""
    del backend
    database = Database(database_url)
    shown = text(
        "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    )

    wrote = database.write(lambda c: c.execute(shown).one())
    read = database.read(lambda c: c.execute(shown).one())
    wrote_after = database.write(lambda c: c.execute(shown).one())
    with locked(database.engine) as connection:
        migrated = connection.execute(shown).one()
    database.close()

    assert {wrote, wrote_after, migrated} == {("read committed", "off")}
    assert read == ("repeatable read", "on")

"""A commit holds the policy that it judges by: a change waits for it, and goes over what it wrote.

SQLite has one writer at a time, so that there nothing can come between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event, Thread

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from amiguard_core.policy import EntryKind, Policy
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.stored import StoredFinding
from amiguard_service.tuning import EntryDraft
from tests.databases import Postgres
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

TIMEOUT = 60

_WAITERS = text(
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
    " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
)


@pytest.fixture
def engines(postgres: Postgres) -> Iterator[tuple[Engine, Engine]]:
    """Two servers on one PostgreSQL database."""
    url, clock = postgres.clear(), ManualClock()
    pair = Engine.open(url, clock=clock), Engine.open(url, clock=clock)
    yield pair
    for engine in pair:
        engine.close()


def names_an_entry(finding: StoredFinding) -> bool:
    """Says whether an entry lowered the score."""
    return any(step.allowlist_entry for step in finding.steps)


def is_withdrawn(finding: StoredFinding) -> bool:
    """Says whether no occurrence counts any more."""
    return finding.occurrence_count == 0


def add_pattern(engine: Engine) -> None:
    """Lets names of ours be known as ours, which lowers scores alone."""
    draft = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-*", "ours")
    engine.tuning.create_entry("ours", draft, actor="tests")


def narrow_window(engine: Engine) -> None:
    """Makes the gap of the launch too long, which takes occurrences away."""
    current = engine.tuning.get_rule()
    assert current is not None
    engine.tuning.update_rule(
        lambda rule: replace(rule, window=timedelta(seconds=60)), etag=current.etag, actor="tests"
    )


@pytest.mark.parametrize(
    ("change", "follows"), [(add_pattern, names_an_entry), (narrow_window, is_withdrawn)]
)
def test_commit_under_the_old_policy_is_gone_over(
    engines: tuple[Engine, Engine],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Engine], None],
    follows: Callable[[StoredFinding], bool],
) -> None:
    """A change that comes after a commit has read the policy finds what the commit wrote."""
    committer, operator = engines
    has_read, may_go_on, is_changed = Event(), Event(), Event()
    read = committer._policies.read

    def read_and_wait(connection: Connection, *, now: datetime) -> Policy:
        policy = read(connection, now=now)
        has_read.set()
        assert may_go_on.wait(TIMEOUT)
        return policy

    def commit() -> None:
        records = search(origin("s"), "acme-base-*"), launch(origin("l", 120))
        committer.commit([batch(*records)])

    def change_and_go_over() -> None:
        change(operator)
        operator.passes.run(max_steps=1_000)
        is_changed.set()

    def is_kept_waiting() -> bool:
        return bool(operator._database.read(lambda c: c.execute(_WAITERS).scalar_one()))

    with monkeypatch.context() as slow:
        slow.setattr(committer._policies, "read", read_and_wait)
        threads = [Thread(target=commit), Thread(target=change_and_go_over)]
        threads[0].start()
        assert has_read.wait(TIMEOUT)
        threads[1].start()
        # Either the change waits for the commit, or it has gone past it.
        while not is_changed.wait(0.01) and not is_kept_waiting():
            pass
        may_go_on.set()
        for thread in threads:
            thread.join(TIMEOUT)

    (found,) = operator.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
    assert follows(found)

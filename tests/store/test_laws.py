"""Law 2 for the store: what is kept equals what the core makes of the same set of records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection

from amiguard_core.decode import decode_records
from amiguard_core.events import LaunchPath
from amiguard_core.findings import Finding
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import CorrelateBy, Mode, Policy, RuleConfig
from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.policies import ensure_policy
from amiguard_service.store import tuning as tuning_store
from amiguard_service.store.schema import metadata
from amiguard_service.stored import StoredFinding
from amiguard_service.tuned import RuleRevision
from tests.data.shapes import Record, encode
from tests.data.strategies import deliveries, record_sets, template_sets
from tests.store.values import batch, launch, origin, search

POLICIES = (
    Policy(),
    Policy(rule=RuleConfig(mode=Mode.STRICT, correlate_by=CorrelateBy.ROLE)),
    Policy(rule=RuleConfig(window=timedelta(minutes=1))),
    Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath))),
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(database_url)
    yield opened
    opened.close()


def clear(engine: Engine) -> None:
    """Empties every table, and makes the engine forget what it read of them."""
    engine._database.write(
        lambda connection: [
            connection.execute(table.delete()) for table in metadata.tables.values()
        ]
    )
    engine._policies._version = -1


def summary_of_stored(engine: Engine, found: StoredFinding) -> tuple[object, ...]:
    """Returns everything about a stored finding that the records decide."""
    occurrences = engine.list_occurrences(found.finding_id, after=None, limit=10_000)
    assert occurrences is not None
    assert len(occurrences) == found.occurrence_count
    return (
        found.finding_id,
        found.key,
        found.reasons,
        found.steps,
        found.confidence,
        found.suppression,
        found.image_ids,
        found.first_launch_time,
        found.last_launch_time,
        [
            (
                o.search_event_id,
                o.launch_event_id,
                o.gap,
                o.confidence,
                o.suppression,
                o.image_ids,
                o.pin,
            )
            for o in occurrences
        ],
    )


def summary_of_core(found: Finding) -> tuple[object, ...]:
    """Returns the same of a finding of the core."""
    return (
        found.key.finding_id(),
        found.key,
        found.reasons,
        found.steps,
        found.confidence,
        found.suppression,
        found.image_ids,
        found.occurrences[-1].launch.origin.event_time,
        found.latest.launch.origin.event_time,
        [
            (
                o.search.origin.event_id,
                o.launch.origin.event_id,
                o.gap,
                o.confidence,
                o.suppression,
                o.launch.image_ids,
                o.pin,
            )
            for o in found.occurrences
        ],
    )


def put_policy(engine: Engine, policy: Policy) -> None:
    """Puts a policy in force in a database that has none."""

    def work(connection: Connection) -> None:
        now = engine._database.now(connection)
        state = ensure_policy(connection, now=now)
        rule = replace(policy.rule, revision=state.rule_revision + 1)
        tuning_store.insert_revision(connection, RuleRevision(rule, now, "tests"))
        changed = replace(state, version=state.version + 1, rule_revision=rule.revision)
        tuning_store.update_state(connection, changed)

    engine._database.write(work)


def assert_law_2(engine: Engine, policy: Policy, records: list[bytes]) -> None:
    """Fails unless the store holds what `evaluate` gives."""
    stored = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10_000)
    expected = evaluate(records, policy)
    assert sorted(map(summary_of_core, expected), key=str) == sorted(
        map(partial(summary_of_stored, engine), stored), key=str
    )


@pytest.mark.category("laws")
@pytest.mark.parametrize(
    "policy", POLICIES, ids=["default", "strict by role", "1 min", "every path"]
)
def test_store_equals_the_core_however_records_arrive(engine: Engine, policy: Policy) -> None:
    """Any order, form, split and repetition of a set of records leaves the same findings."""

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(data=st.data(), records=record_sets() | template_sets())
    def law(data: st.DataObject, records: list[Record]) -> None:
        clear(engine)
        put_policy(engine, policy)
        for arrived in data.draw(deliveries(records)):
            decoded = decode_records(arrived, launch_paths=LaunchPath)
            engine.commit([Batch(decoded, source="tests")])
        assert_law_2(engine, policy, [encode(record) for record in records])

    law()


@pytest.mark.category("concurrency")
def test_search_and_launch_in_transactions_side_by_side_meet(
    engine: Engine, database_url: str
) -> None:
    """Neither transaction may miss the other's record, whichever server it runs on."""
    other = Engine.open(database_url)
    rounds = 40
    for number in range(rounds):
        person = f"arn:aws:iam::111122223333:user/u{number}"
        halves = (
            (engine, search(origin(f"s{number}", principal=person))),
            (other, launch(origin(f"l{number}", 1, principal=person))),
        )
        together = Barrier(len(halves))

        def commit(server: Engine, record: object, together: Barrier = together) -> None:
            sent = batch(record)  # type: ignore[arg-type]  # a search or a launch
            together.wait(timeout=30)
            server.commit([sent])

        threads = [Thread(target=commit, args=half) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)

    found = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=1_000)
    other.close()
    assert len(found) == rounds

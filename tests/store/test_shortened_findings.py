"""A finding with more occurrences than one transaction deletes: what is left of it is sound."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from amiguard_core.events import LaunchPath, TemplateVersion
from amiguard_core.policy import Policy, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.retention import Retention, SweepLimits
from amiguard_service.store.schema import findings, occurrences, pinned_templates
from tests.store.clock import ManualClock
from tests.store.lives import PACKER
from tests.store.test_laws import put_policy
from tests.store.test_pins import pin, started
from tests.store.values import batch, launch, origin, search

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Left:
    """What is left of a finding: its row's counts, and the rows that hang on it."""

    occurrence_count: int
    unsuppressed_count: int
    launches: list[str]
    unsuppressed: list[str]
    pins: list[str]


def left(engine: Engine) -> Left:
    """Reads what is left of the only finding."""

    def read(connection: Connection) -> Left:
        row = connection.execute(
            select(findings.c.occurrence_count, findings.c.unsuppressed_count)
        ).one()
        table = occurrences.c
        rows = connection.execute(
            select(table.launch_event_id, table.suppression).order_by(table.launch_time)
        ).all()
        pins = connection.execute(
            select(pinned_templates.c.pin_event_id).order_by(pinned_templates.c.pin_event_id)
        )
        return Left(
            *row,
            launches=[one.launch_event_id for one in rows],
            unsuppressed=[one.launch_event_id for one in rows if one.suppression is None],
            pins=list(pins.scalars()),
        )

    return engine._database.read(read)


def shorten(engine: Engine, clock: ManualClock, *, by: int) -> Left:
    """Deletes so many occurrences of the only finding, the oldest; says what is left."""
    clock.now += Retention().findings + INSTANT
    engine.sweep(clock.now, SweepLimits(max_rows=by))
    return left(engine)


@pytest.mark.category("retention")
def test_pin_goes_with_its_own_occurrence_and_others_stay(
    engine: Engine, clock: ManualClock
) -> None:
    """Launches from a template that is still pinned are found as long as its occurrence is."""
    put_policy(engine, Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath))))
    pins = [
        pin(f"t{number}", 30 + number, made=TemplateVersion(f"lt-{number}", "1"))
        for number in range(4)
    ]
    engine.commit([batch(search(origin("s")), *pins)])

    rest = shorten(engine, clock, by=2)

    assert rest.launches == rest.pins == ["t2", "t3"]
    engine.commit(
        [
            batch(
                started("gone", template=TemplateVersion("lt-1", "1")),
                started("kept", template=TemplateVersion("lt-2", "1")),
            )
        ]
    )
    assert left(engine).launches == ["t2", "t3", "kept"]


@pytest.mark.category("retention")
@pytest.mark.parametrize("by", [1, 2, 3])
def test_unsuppressed_occurrences_are_counted_as_they_are_left(
    engine: Engine, clock: ManualClock, by: int
) -> None:
    """Of those that go only the unsuppressed ones are taken from their count."""
    agents = ("aws-cli/2", PACKER, "aws-cli/2", "aws-cli/2", PACKER)
    for number, agent in enumerate(agents):
        seconds = 10_000 * number
        records = (
            search(origin(f"s{number}", seconds, agent=agent), "acme-base-2026"),
            launch(origin(f"l{number}", seconds + 1)),
        )
        engine.commit([batch(*records)])
    assert left(engine).unsuppressed == ["l0", "l2", "l3"]

    rest = shorten(engine, clock, by=by)

    assert rest.launches == ["l0", "l1", "l2", "l3", "l4"][by:]
    assert rest.occurrence_count == len(rest.launches)
    assert rest.unsuppressed_count == len(rest.unsuppressed)

"""What a page of a list costs on SQLite, by the steps that its program takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, parse_filter
from amiguard_service.ordering import parse_order_by
from amiguard_service.stored import StoredFinding
from amiguard_service.tokens import Position
from tests.bench.population import Population
from tests.bench.stock import fill

PAGE = 10
CONDITION = parse_filter("likelihood != HIGH", FINDING_FIELDS)
ORDER = parse_order_by("likelihood_score desc, last_launch_time desc")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine on a database with hundreds of findings of each score."""
    url = f"sqlite:///{tmp_path_factory.mktemp('pages') / 'amiguard.db'}"
    fill(url, Population(3_000))
    opened = Engine.open(url)
    yield opened
    opened.close()


def page(engine: Engine, *, after: Position | None) -> tuple[list[StoredFinding], int]:
    """Returns a page of the list, and how many hundreds of steps it took."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    def listen(connection: object, *_: object) -> None:
        connection.set_progress_handler(count, 100)  # type: ignore[attr-defined]  # the driver's

    event.listen(engine._database.engine, "checkout", listen)
    found = engine.list_findings(CONDITION, ORDER, after=after, limit=PAGE)
    event.remove(engine._database.engine, "checkout", listen)
    return found, steps


def test_a_page_begins_where_the_one_before_ended(engine: Engine) -> None:
    """Findings of a greater score, all of which came before, are not gone over again."""
    below = parse_filter("likelihood_score < 55", FINDING_FIELDS)

    first, steps_of_first = page(engine, after=None)
    later, steps_of_later = page(engine, after=(55, 0, ""))

    assert later == engine.list_findings(below, ORDER, after=None, limit=PAGE)
    assert len(first) == len(later) == PAGE
    assert steps_of_later <= 2 * steps_of_first

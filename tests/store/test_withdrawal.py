"""A finding that a policy leaves without an occurrence, and that the next record brings back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from amiguard_service.engine import Engine
from amiguard_service.store.tuning_schema import retired_occurrences
from tests.store.lives import get
from tests.store.values import batch, launch, origin, search

NAME = "acme-base-*"


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(database_url)
    yield opened
    opened.close()


def narrow_window(engine: Engine) -> None:
    """Puts a policy in force under which a launch may come one minute after its search."""
    current = engine.tuning.get_rule()
    etag = "" if current is None else current.etag
    engine.tuning.update_rule(
        lambda rule: replace(rule, window=timedelta(minutes=1)), etag=etag, actor="ann"
    )
    assert engine.passes.run(max_steps=100).scope is None


@pytest.mark.category("tuning")
def test_finding_that_comes_back_has_only_the_images_of_its_occurrences(engine: Engine) -> None:
    """Of what a withdrawn finding showed last, nothing is left once it has an occurrence again."""
    far = (search(origin("s1"), NAME), launch(origin("l1", 600), "ami-1"))
    near = (search(origin("s2", 5_000), NAME), launch(origin("l2", 5_010), "ami-2"))
    (first,) = engine.commit([batch(*far)])
    narrow_window(engine)
    (finding_id,) = first.finding_ids
    assert get(engine, finding_id).image_ids == ("ami-1",)

    engine.commit([batch(*near)])

    assert get(engine, finding_id).image_ids == ("ami-2",)


@pytest.mark.category("tuning")
def test_an_occurrence_that_comes_back_is_retired_no_more(engine: Engine) -> None:
    """What a policy set apart is forgotten as soon as a commit makes it an occurrence again."""
    far = (search(origin("s1"), NAME), launch(origin("l1", 600), "ami-1"))
    engine.commit([batch(*far)])
    narrow_window(engine)
    assert count_retired(engine) == 1

    (outcome,) = engine.commit([batch(search(origin("s2", 590), NAME))])

    (finding_id,) = outcome.finding_ids
    assert get(engine, finding_id).occurrence_count == 1
    assert count_retired(engine) == 0


def count_retired(engine: Engine) -> int:
    """Returns how many occurrences are set apart."""
    count: int = engine._database.read(
        lambda c: c.execute(select(func.count()).select_from(retired_occurrences)).scalar_one()
    )
    return count

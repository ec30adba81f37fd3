"""A finding that a policy leaves without an occurrence, and that the next record brings back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from amiguard_service.engine import Engine
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

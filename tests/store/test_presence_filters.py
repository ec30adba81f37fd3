"""Filters that ask whether a field has any value at all: `field:*`, in SQL as anywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from amiguard_service.engine import Engine
from amiguard_service.filters import FINDING_FIELDS, parse_filter
from amiguard_service.lifecycle import Edit
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.stored import StoredFinding
from tests.store.lives import DONE, edit, move
from tests.store.test_pins import set_rule
from tests.store.values import UBUNTU, batch, launch, origin, search

HAS: Final[dict[str, Callable[[StoredFinding], object]]] = {
    "state": lambda _: True,
    "disposition": lambda finding: finding.disposition,
    "likelihood": lambda _: True,
    "likelihood_score": lambda finding: finding.score,
    "confidence": lambda finding: finding.confidence,
    "occurrence_count": lambda finding: finding.occurrence_count,
    "account_id": lambda finding: finding.key.account_id,
    "region": lambda finding: finding.key.region,
    "actor_arn": lambda finding: finding.key.actor_arn,
    "client": lambda finding: finding.client,
    "assignee": lambda finding: finding.assignee,
    "image_ids": lambda finding: finding.image_ids,
    "name_patterns": lambda finding: finding.search_names,
    "first_launch_time": lambda _: True,
    "last_launch_time": lambda _: True,
    "create_time": lambda _: True,
    "update_time": lambda _: True,
    "labels": lambda finding: finding.labels,
}
"""What a finding has in each field; a state, a likelihood and times it always has."""


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """The engine with findings that have, and have not, what can be lacking; one is withdrawn."""
    ids: list[str] = []
    for number, gap in enumerate((1, 899, 1)):
        person = f"arn:aws:iam::111122223333:user/u{number}"
        where = origin(f"s{number}", principal=person)
        after = origin(f"l{number}", gap, principal=person)
        (outcome,) = engine.commit([batch(search(where, UBUNTU), launch(after))])
        ids += outcome.finding_ids
    edit(engine, ids[0], Edit(assignee="ann", labels={"team": "red"}))
    move(engine, ids[2], DONE)
    set_rule(engine, window=timedelta(seconds=60))
    return engine


def ids_of(engine: Engine, text: str) -> set[str]:
    """Returns the ids of the findings that a filter lists."""
    condition = parse_filter(text, FINDING_FIELDS)
    listed = engine.list_findings(condition, DEFAULT_ORDER, after=None, limit=100)
    return {finding.finding_id for finding in listed}


@pytest.mark.category("filters")
@pytest.mark.parametrize("field", FINDING_FIELDS)
def test_field_is_present_where_it_has_another_value_than_its_default(
    filled: Engine, field: str
) -> None:
    """An empty text, zero and an unset disposition are no values; NOT gives all others."""
    everything = filled.list_findings(
        parse_filter("", FINDING_FIELDS), DEFAULT_ORDER, after=None, limit=100
    )

    present, absent = ids_of(filled, f"{field}:*"), ids_of(filled, f"NOT {field}:*")

    assert present == {each.finding_id for each in everything if HAS[field](each)}
    assert absent == {each.finding_id for each in everything} - present


@pytest.mark.category("filters")
def test_what_can_be_lacking_is_lacking_somewhere(filled: Engine) -> None:
    """The law above is tried on findings of both kinds."""
    everything = ids_of(filled, "")
    for field in ("disposition", "occurrence_count", "assignee", "labels"):
        assert set() < ids_of(filled, f"{field}:*") < everything, field

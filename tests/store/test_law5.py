"""Law 5 on a store: one more record never takes anything away, and law 2 beside it."""

from __future__ import annotations

import random

import pytest

from amiguard_core.decode import decode_records
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import KnownImage, Policy
from amiguard_service.engine import Batch, Engine
from amiguard_service.stored import State, StoredFinding
from tests.core import forgeries
from tests.store.test_retention import listed

FORGERIES = 40


def stored(engine: Engine) -> dict[str, StoredFinding]:
    """Returns all findings by id, the suppressed as well."""
    return {finding.finding_id: finding for finding in listed(engine)}


def instances(engine: Engine, finding_id: str) -> set[str]:
    """Returns every instance that a finding's launches started."""
    found = engine.list_occurrences(finding_id, after=None, limit=1_000)
    return {instance for occurrence in found or () for instance in occurrence.instance_ids}


@pytest.mark.parametrize("seed", range(4))
def test_forged_record_takes_nothing_away(engine: Engine, seed: int) -> None:
    """Findings only grow, whatever one record more says; and all is as the core has it."""
    draws = random.Random(seed)  # noqa: S311 - no secret
    images = forgeries.known_images(draws)
    engine.known_images.register(list(images.values()), actor="tests")
    records = [forgeries.search(draws), forgeries.launch(draws)]
    before: dict[str, StoredFinding] = {}
    of_instances: dict[str, set[str]] = {}
    for _ in range(FORGERIES):
        record = forgeries.forged(draws, draws.choice(records))
        records.append(record)
        engine.commit([Batch(decode_records([forgeries.encoded(record)]), "tests")])
        after = stored(engine)
        for finding_id, was in before.items():
            now = after[finding_id]
            assert set(was.image_ids) <= set(now.image_ids), record
            assert was.score <= now.score, record
            assert was.occurrence_count <= now.occurrence_count, record
            assert was.state is not State.OPEN or now.state is State.OPEN, record
            assert of_instances[finding_id] <= instances(engine, finding_id), record
        before = after
        of_instances = {finding_id: instances(engine, finding_id) for finding_id in after}

    expected = evaluate(map(forgeries.encoded, records[2:]), Policy(), images=images)
    assert {f.key.finding_id(): (f.score, f.image_ids, f.suppression) for f in expected} == {
        i: (f.score, f.image_ids, f.suppression) for i, f in stored(engine).items()
    }


def test_search_of_another_kind_opens_what_was_suppressed(engine: Engine) -> None:
    """Packer's check suppresses, until one search turns out not to be it; never back."""
    draws = random.Random(7)  # noqa: S311 - no secret
    search, launch = forgeries.search(draws), forgeries.launch(draws)
    launch["userIdentity"] = search["userIdentity"]
    launch["awsRegion"] = search["awsRegion"]
    items = [{"name": "name", "valueSet": {"items": [{"value": "acme-1"}]}}]
    search |= {"requestParameters": {"filterSet": {"items": items}}, "eventTime": forgeries.at(10)}
    launch |= {"eventTime": forgeries.at(60)}
    packer = search | {
        "userAgent": "packer/1.9",
        "eventID": "packer",
        "eventTime": forgeries.at(50),
    }
    states = []
    for record in (packer, launch, search, packer | {"userAgent": "packer/1.9 " + "x" * 99}):
        engine.commit([Batch(decode_records([forgeries.encoded(record)]), "tests")])
        states.append([finding.state for finding in stored(engine).values()])

    assert states == [[], [State.SUPPRESSED], [State.OPEN], [State.OPEN]]


def test_fact_of_the_name_opens_what_was_suppressed(engine: Engine) -> None:
    """An image that bears the searched name is not the one that Packer was to make."""
    draws = random.Random(7)  # noqa: S311 - no secret
    search, launch = forgeries.search(draws), forgeries.launch(draws)
    items = [{"name": "name", "valueSet": {"items": [{"value": "acme-1"}]}}]
    search |= {
        "requestParameters": {"filterSet": {"items": items}},
        "eventTime": forgeries.at(10),
        "userAgent": "packer/1.9",
        "awsRegion": "us-east-1",
    }
    launch |= {
        "eventTime": forgeries.at(60),
        "awsRegion": "us-east-1",
        "userIdentity": search["userIdentity"],
        "requestParameters": {"instancesSet": {"items": [{"imageId": "ami-1"}]}},
        "responseElements": None,
    }
    records = [forgeries.encoded(search), forgeries.encoded(launch)]
    engine.commit([Batch(decode_records(records), "tests")])
    before = [finding.state for finding in stored(engine).values()]
    fact = KnownImage("ami-1", "us-east-1", image_name="acme-1")
    engine.known_images.register([fact], actor="tests")
    after = [finding.state for finding in stored(engine).values()]

    expected = evaluate(records, Policy(), images={("ami-1", "us-east-1"): fact})
    assert (before, after) == ([State.SUPPRESSED], [State.OPEN])
    assert [finding.suppression for finding in expected] == [None]

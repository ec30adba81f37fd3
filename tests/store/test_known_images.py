"""Laws of the known images, on each kind of store."""

from __future__ import annotations

import pytest

from amiguard_core.policy import EntryKind, KnownImage
from amiguard_service.engine import Engine
from amiguard_service.tuning import EntryDraft
from tests.store.values import batch, launch, origin, search

pytestmark = pytest.mark.category("tuning")

REGION = "eu-west-1"
STRANGER = KnownImage("ami-1", REGION, owner_account_id="999999999999", image_name="acme-base-1")
ANN = "ann"


def occur(engine: Engine, number: int = 1, *, images: tuple[str, ...] = ("ami-1",)) -> str:
    """Commits a search and its launch, and returns the id of their finding."""
    seconds = 10_000 * number
    records = (
        search(origin(f"s{number}", seconds), f"acme-*-{number}", "acme-base-*"),
        launch(origin(f"l{number}", seconds + 1), *images),
    )
    (outcome,) = engine.commit([batch(*records)])
    (finding_id,) = outcome.finding_ids
    return finding_id


def seen(engine: Engine, finding_id: str) -> tuple[int, int]:
    """Returns the likelihood and the confidence of a finding."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found.score, found.confidence


def test_what_is_registered_is_listed(engine: Engine) -> None:
    """Images come back by region and id, a page at a time; what is unknown of them is None."""
    given = [
        KnownImage("ami-2", "eu-west-1"),
        KnownImage("ami-1", "us-east-1", owner_alias="amazon"),
        STRANGER,
    ]

    changed = engine.known_images.register(given, actor=ANN)
    first = engine.known_images.list_page(region=None, after=None, limit=2)
    last = engine.known_images.list_page(region=None, after=("eu-west-1", "ami-2"), limit=2)
    of_region = engine.known_images.list_page(region="us-east-1", after=None, limit=9)

    assert changed == 3
    assert (first, last, of_region) == ([STRANGER, given[0]], [given[1]], [given[1]])


def test_news_alone_are_changes(engine: Engine) -> None:
    """What is known already, and what was never known, is passed over and not in the audit."""
    images = engine.known_images
    named = KnownImage("ami-1", REGION, image_name="other")

    counts = [
        images.register([STRANGER], actor=ANN),
        images.register([STRANGER, STRANGER], actor=ANN),
        images.register([named], actor=ANN),
        images.forget([(REGION, "ami-1"), (REGION, "ami-9")], actor=ANN),
        images.forget([(REGION, "ami-1")], actor=ANN),
    ]
    rows, _ = engine.tuning.list_changes(after=0, since=None, limit=10)

    assert counts == [1, 0, 1, 1, 0]
    assert [(row.method, row.change.images) for row in rows] == [
        ("RegisterImages", ("eu-west-1/ami-1",)),
        ("RegisterImages", ("eu-west-1/ami-1",)),
        ("ForgetImages", ("eu-west-1/ami-1",)),
    ]


def test_findings_follow_what_is_known_whatever_came_first(engine: Engine, other: Engine) -> None:
    """An image known before its launch and one known after it leave the same finding."""
    before = occur(engine)
    unknown = seen(engine, before)

    other.known_images.register([STRANGER], actor=ANN)
    after = occur(engine, 2)
    known = [seen(engine, before), seen(engine, after)]
    other.known_images.forget([(REGION, "ami-1")], actor=ANN)
    forgotten = [seen(engine, before), seen(engine, after)]

    assert unknown == (50, 90)
    assert known == [(100, 100)] * 2
    assert forgotten == [unknown] * 2


def test_image_of_another_region_is_another_image(engine: Engine) -> None:
    """Image ids are regional."""
    finding_id = occur(engine)

    engine.known_images.register(
        [KnownImage("ami-1", "us-east-1", owner_account_id="999999999999")], actor=ANN
    )

    assert seen(engine, finding_id) == (50, 90)


def test_every_image_launched_must_be_trusted(engine: Engine) -> None:
    """One that is not known is not vouched for; an account can be, and its images then are."""
    finding_id = occur(engine, images=("ami-1", "ami-2"))
    ours = KnownImage("ami-2", REGION, owner_account_id="111122223333")
    scores = []
    for step in (
        lambda: engine.known_images.register([ours], actor=ANN),
        lambda: engine.known_images.register([STRANGER], actor=ANN),
        lambda: engine.tuning.create_entry(
            "their",
            EntryDraft(EntryKind.TRUSTED_ACCOUNT, "999999999999", justification="A partner."),
            actor=ANN,
        ),
    ):
        step()
        engine.passes.run(max_steps=100)
        scores.append(seen(engine, finding_id)[0])

    assert scores == [50, 100, 10]

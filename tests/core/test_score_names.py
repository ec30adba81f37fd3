"""Whom a step of a score names, where several could be named: always the same one."""

from __future__ import annotations

import pytest

from amiguard_core.findings import ScoreStep
from amiguard_core.policy import KnownImage
from amiguard_core.score import score
from tests.core.test_score import DOCUMENTED, PLAIN, STRANGER, asked, image, launched
from tests.data.records import ACCOUNT


def last_step(*known: KnownImage) -> ScoreStep:
    """Returns the last step of a search after which these were launched."""
    images = launched(*known)
    return score(asked({"name": [PLAIN]}), DOCUMENTED, account_id=ACCOUNT, images=images)[-1]


@pytest.mark.parametrize("own_first", [True, False])
def test_entry_is_named_that_trusts_any_of_the_images(*, own_first: bool) -> None:
    """An image of the account itself, which needs no entry, hides none that another needs."""
    known = [image(1, owner=ACCOUNT), image(2, alias="amazon")]

    step = last_step(*(known if own_first else reversed(known)))

    assert (step.code, step.allowlist_entry) == ("TRUSTED_IMAGE", "allowlistEntries/alias-amazon")


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_of_several_strangers_images_the_first_by_id_is_named(numbers: tuple[int, int]) -> None:
    """In whatever order they were launched, the message is the same."""
    step = last_step(*(image(n, owner=STRANGER, name="acme-base-7") for n in numbers))

    assert step.code == "STRANGER_IMAGE"
    assert step.message.startswith("ami-1 was launched, which belongs to ")

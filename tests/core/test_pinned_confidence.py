"""How sure it is that a launch from a template used the answer of the search before its pin."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from amiguard_core.score import confidence
from tests.core.test_score import SEARCHED, image, started
from tests.data import agents


def test_a_launch_from_a_template_is_as_sure_as_its_pin() -> None:
    """The answer was used when the image was pinned, whoever launches it when."""
    ran = started(86_400, user_agent=agents.CLOUDFORMATION)

    for seconds in (5, 61, 901):
        pinned = started(seconds)
        assert confidence(SEARCHED, ran, pin=pinned) == confidence(SEARCHED, pinned)


@pytest.mark.parametrize(
    ("pinned", "launched", "sure"),
    [
        (("ami-1",), ("ami-2",), 0),
        (("ami-1",), ("ami-1", "ami-2"), 90),
        (("ami-1",), (), 90),
        ((), ("ami-2",), 90),
        (("resolve:ssm:/golden",), ("ami-2",), 90),
    ],
)
def test_a_launch_that_starts_another_image_than_was_pinned_is_0(
    pinned: tuple[str, ...], launched: tuple[str, ...], sure: int
) -> None:
    """A launch may override the image of its template; it did not use the answer then."""
    pin = replace(started(5), image_ids=pinned)
    ran = replace(started(901), image_ids=launched)

    assert confidence(SEARCHED, ran, pin=pin) == sure
    if not sure:
        known = [image(2, name="acme-base-7")]
        assert confidence(SEARCHED, ran, pin=pin, known=known) == 0


def test_a_pin_of_a_parameter_is_5_and_a_known_name_still_decides() -> None:
    """What the launch started is known by its own image."""
    pin = replace(started(5, through_parameter=True), image_ids=("resolve:ssm:/golden",))

    assert confidence(SEARCHED, started(901), pin=pin) == 5
    for name, sure in (("acme-base-7", 100), ("acme-other", 0)):
        known = [image(1, name=name)]
        assert confidence(SEARCHED, started(901), pin=pin, known=known) == sure

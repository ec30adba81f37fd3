"""Laws of what is said of images, on a server at work."""

from __future__ import annotations

from typing import Any

import pytest

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.engine import Engine
from tests.service.operating import call, changes, field_refused, occur, refused, score
from tests.service.running import Running

IMAGE = "ami-0123456789abcdef0"
REGION = "eu-west-1"


def image(**values: Any) -> wire.KnownImage:
    """Makes what is known of an image: that a stranger owns it."""
    given = {
        "image_id": IMAGE,
        "region": REGION,
        "owner_account_id": "999999999999",
        "image_name": "acme-base-1",
    }
    return wire.KnownImage(**given | values)


def register(running: Running, *images: wire.KnownImage) -> int:
    """Registers images; returns of how many that was news."""
    response: wire.RegisterImagesResponse = call(running, wire.RegisterImagesRequest(images=images))
    return response.changed_count


def known(running: Running, **request: Any) -> list[wire.KnownImage]:
    """Returns the first page of what is known."""
    return list(call(running, wire.ListImagesRequest(**request)).images)


def test_known_image_decides_over_its_findings(engine: Engine, running: Running) -> None:
    """Scores follow what is registered, and what is forgotten, before the call returns."""
    finding_id = occur(engine, image=IMAGE)
    scores = [score(engine, finding_id)]

    news = [register(running, image()), register(running, image())]
    scores.append(score(engine, finding_id))
    news.append(register(running, image(owner_alias="amazon")))
    scores.append(score(engine, finding_id))
    forgotten = call(
        running, wire.ForgetImagesRequest(images=[image(), image(image_id="ami-0unknown")])
    ).forgotten_count
    scores.append(score(engine, finding_id))

    assert scores == [50, 100, 10, 50]
    assert (news, forgotten) == ([1, 0, 1], 1)


def test_known_images_are_listed_by_region_and_id(running: Running) -> None:
    """Pages of any size give every image once, with what is known of it and nothing else."""
    given = [
        wire.KnownImage(image_id=f"ami-{number}", region=region)
        for region in ("eu-west-1", "us-gov-west-1")
        for number in range(2)
    ]
    register(running, *reversed(given), image())
    request = wire.ListImagesRequest(page_size=2)
    listed: list[wire.KnownImage] = []
    while not listed or request.page_token:
        page = call(running, request)
        listed += page.images
        request.page_token = page.next_page_token

    assert listed == [given[0], image(), *given[1:]]
    assert known(running, region="us-gov-west-1") == given[2:]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"image_id": ""}, "image_id"),
        ({"image_id": "i-0123456789abcdef0"}, "image_id"),
        ({"image_id": "ami-1\0"}, "image_id"),
        ({"region": ""}, "region"),
        ({"region": "Ireland"}, "region"),
        ({"region": "eu-west-1a"}, "region"),
        ({"owner_account_id": "9" * 13}, "owner_account_id"),
        ({"owner_account_id": "\u0661" * 12}, "owner_account_id"),
        ({"owner_alias": "a b"}, "owner_alias"),
        ({"image_name": "a\0b"}, "image_name"),
        ({"image_name": "a" * 256}, "image_name"),
    ],
)
def test_wrong_image_is_refused_by_its_place(
    running: Running, values: dict[str, Any], field: str
) -> None:
    """What is wrong is named by the image's index, and none of the images is registered."""
    request = wire.RegisterImagesRequest(images=[image(image_id="ami-1"), image(**values)])

    assert refused(running, request) == field_refused(f"images[1].{field}")
    assert known(running) == []
    assert changes(running).total_count == 0


@pytest.mark.parametrize("request_of", [wire.RegisterImagesRequest, wire.ForgetImagesRequest])
def test_number_of_images_is_bounded(running: Running, request_of: Any) -> None:
    """A call takes as many images as one page of DescribeImages, and at least one."""
    full = [image(image_id=f"ami-{number}") for number in range(1_000)]

    call(running, request_of(images=full))

    assert refused(running, request_of(images=[*full, image()])) == field_refused("images")
    assert refused(running, request_of()) == field_refused("images")


def test_wrong_image_to_forget_is_refused_by_its_place(running: Running) -> None:
    """What is to be forgotten is checked as far as it counts."""
    wrong = wire.ForgetImagesRequest(images=[image(owner_account_id="x"), image(region="nowhere")])

    assert refused(running, wrong) == field_refused("images[1].region")
    assert refused(running, wire.ListImagesRequest(region="nowhere")) == field_refused("region")


def test_images_are_in_the_audit(running: Running) -> None:
    """Who registered and forgot which images stands among the changes."""
    register(running, image(), image(image_id="ami-1"))
    call(running, wire.ForgetImagesRequest(images=[image()]))

    found = changes(running).changes

    assert [(c.method, list(c.images)) for c in found] == [
        ("RegisterImages", [f"{REGION}/{IMAGE}", f"{REGION}/ami-1"]),
        ("ForgetImages", [f"{REGION}/{IMAGE}"]),
    ]

"""Records that somebody who may submit could forge of those that are there."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from amiguard_core.events import LaunchPath
from amiguard_core.policy import (
    AllowlistEntry,
    CorrelateBy,
    EntryKind,
    KnownImage,
    Mode,
    Policy,
    RuleConfig,
)

ACCOUNT: Final = "111122223333"
REGIONS: Final = ("us-east-1", "eu-west-1")
NAMES: Final = ("acme-1", "ubuntu/images/jammy-1", "acme-*", "ubuntu/images/*", "*")
IMAGES: Final = tuple(f"ami-{number}" for number in range(6))
AGENTS: Final = ("aws-cli/2.15", "packer/1.9 " + "x" * 80, "packer", "", "Terraform/1.9")
PRINCIPALS: Final = (
    f"arn:aws:iam::{ACCOUNT}:user/alice",
    f"arn:aws:iam::{ACCOUNT}:user/bob",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/one",
    f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/two",
)
Draws = random.Random
Json = dict[str, Any]


def _identity(principal: str) -> Json:
    identity: Json = {"type": "IAMUser", "arn": principal, "accountId": ACCOUNT}
    if ":assumed-role/" in principal:
        role = principal.split("/")[1]
        identity["type"] = "AssumedRole"
        arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        identity["sessionContext"] = {"sessionIssuer": {"type": "Role", "arn": arn}}
    return identity


def _principal(draws: Draws) -> str:
    """Mostly one of two who share a role, so that most launches follow some search."""
    return draws.choice(PRINCIPALS[-2:] if draws.random() < 0.8 else PRINCIPALS)


def at(second: int) -> str:
    """A time, by seconds after noon."""
    return f"2025-03-01T12:{second // 60 % 60:02d}:{second % 60:02d}Z"


def _record(draws: Draws, name: str) -> Json:
    return {
        "eventVersion": "1.09",
        "userIdentity": _identity(_principal(draws)),
        "eventTime": at(draws.randrange(600)),
        "eventSource": "ec2.amazonaws.com",
        "eventName": name,
        "awsRegion": REGIONS[draws.random() < 0.1],
        "sourceIPAddress": "198.51.100.7",
        "userAgent": draws.choice(AGENTS),
        "eventID": f"{name}-{draws.randrange(3)}",
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
    }


def _filters(draws: Draws) -> Json:
    names = draws.sample(NAMES, draws.choice((1, 1, 1, 2)))
    values = {"items": [{"value": name} for name in names]}
    return {"filterSet": {"items": [{"name": "name", "valueSet": values}]}}


def search(draws: Draws) -> Json:
    """A search by name."""
    return _record(draws, "DescribeImages") | {"requestParameters": _filters(draws)}


def launch(draws: Draws) -> Json:
    """A launch of an image, or of one that it does not name."""
    images = draws.sample(IMAGES, draws.choice((0, 1, 1, 1, 2)))
    items = [{"imageId": image} for image in images]
    started = [{"instanceId": f"i-{draws.randrange(9)}", "imageId": image} for image in images]
    return _record(draws, "RunInstances") | {
        "requestParameters": {"instancesSet": {"items": items}},
        "responseElements": {"instancesSet": {"items": started}},
    }


def forged(draws: Draws, record: Json) -> Json:
    """A record like one that is there, of which some things are another."""
    made = copy.deepcopy(record)
    for _ in range(draws.choice((1, 1, 2, 3))):
        draws.choice(_CHANGES)(draws, made)
    return made


def _other_request(draws: Draws, record: Json) -> None:
    other = search(draws) if record["eventName"] == "DescribeImages" else launch(draws)
    record["requestParameters"] = other["requestParameters"]
    if "responseElements" in other:
        record["responseElements"] = other["responseElements"]


def _owner(_draws: Draws, record: Json) -> None:
    if record["eventName"] == "DescribeImages" and record["requestParameters"]:
        record["requestParameters"]["ownersSet"] = {"items": [{"owner": "amazon"}]}


_CHANGES: Final[tuple[Callable[[Draws, Json], object], ...]] = (
    lambda draws, record: record.update(userAgent=draws.choice(AGENTS)),
    lambda draws, record: record.update(userAgent=draws.choice(AGENTS)),
    lambda draws, record: record.update(eventTime=at(draws.randrange(600))),
    lambda draws, record: record.update(userIdentity=_identity(_principal(draws))),
    lambda draws, record: record.update(awsRegion=draws.choice(REGIONS)),
    lambda draws, record: record.update(eventID=f"{record['eventName']}-{draws.randrange(5)}"),
    lambda _, record: record.update(responseElements=None),
    lambda _, record: record.update(requestParameters=None),
    lambda _, record: record.update(errorCode="Client.UnauthorizedOperation"),
    _other_request,
    _other_request,
    _owner,
)


def policy(draws: Draws) -> Policy:
    """A policy, with entries or without."""
    paths = (LaunchPath.RUN_INSTANCES,)
    entries = (
        AllowlistEntry("theirs", EntryKind.TRUSTED_ACCOUNT, "999999999999"),
        AllowlistEntry("ours", EntryKind.ORGANIZATION_PATTERN, "acme-*"),
    )
    return Policy(
        rule=RuleConfig(
            window=timedelta(seconds=draws.choice((60, 300, 900))),
            mode=draws.choice(list(Mode)),
            correlate_by=draws.choice(list(CorrelateBy)),
            launch_paths=paths,
        ),
        entries=entries if draws.random() < 0.5 else (),
    )


def known_images(draws: Draws) -> dict[tuple[str, str], KnownImage]:
    """Facts of some images: whose they are, and what they are called."""
    owners = (ACCOUNT, "999999999999", "888888888888", None)
    names = ("acme-1", "ubuntu/images/jammy-1", "other", None)
    return {
        (image, region): KnownImage(
            image, region, owner_account_id=draws.choice(owners), image_name=draws.choice(names)
        )
        for image in IMAGES
        for region in REGIONS
        if draws.random() < 0.5
    }


def encoded(record: Json) -> bytes:
    """A record as it is submitted."""
    return json.dumps(record).encode()

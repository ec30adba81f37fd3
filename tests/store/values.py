"""The core's values, made briefly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from amiguard_core.decode import Decoded, Rejection
from amiguard_core.events import Launch, Origin, Search, SearchFilter, SearchRequest
from amiguard_service.engine import Batch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = "111122223333"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
UBUNTU = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*"


def origin(
    event_id: str,
    seconds: float = 0,
    *,
    account: str | None = ACCOUNT,
    region: str = "eu-west-1",
    principal: str | None = ALICE,
    agent: str = "aws-cli/2.17.32",
) -> Origin:
    """Makes the origin of a record `seconds` after noon."""
    return Origin(
        event_id=event_id,
        event_time=NOON + timedelta(seconds=seconds),
        region=region,
        account_id=account,
        principal_arn=principal,
        actor_arn=principal,
        user_agent=agent,
        source_ip_address="198.51.100.7",
    )


def search(where: Origin, *names: str, owners: tuple[str, ...] = ()) -> Search:
    """Makes a search by names, Ubuntu's where none is given."""
    request = SearchRequest(
        filters=(SearchFilter("name", tuple(sorted(names or (UBUNTU,)))),), owners=owners
    )
    return Search(where, request, request.fingerprint())


def launch(where: Origin, *images: str) -> Launch:
    """Makes a launch of images."""
    return Launch(where, image_ids=images or ("ami-1",), instance_ids=("i-1",))


def batch(*records: Search | Launch, rejections: tuple[Rejection, ...] = ()) -> Batch:
    """Makes a batch of decoded records."""
    return Batch(
        Decoded(
            searches=[record for record in records if isinstance(record, Search)],
            launches=[record for record in records if isinstance(record, Launch)],
            rejections=list(rejections),
            record_count=len(records),
        ),
        source="tests",
    )

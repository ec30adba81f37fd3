"""Where and when records were made that the rule has no interest in: told of some, for all.

Whoever wants to know whether records still arrive cannot look into each of them: it would cost a
tenth of the time that passing them by takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

ONE_IN = 16
"""Of records that come one by one, one in so many is looked into."""

MIN_BOTH_ENDS = 128
"""Records from which on both ends of a log file are looked into. An end costs what passing a record
by costs, twice: too much of a short file for what a second one tells."""

_OPENING = b'{"Records":[{"'
"""How AWS begins a log file."""


class Sighting(Struct, frozen=True, gc=False):
    """Where and when one record was made, in the record's own words: nothing is checked."""

    account_id: str
    region: str
    event_time: datetime

    def is_beside(self, other: Sighting) -> bool:
        """Says whether another record is of the same account and region."""
        return (self.account_id, self.region) == (other.account_id, other.region)


class WideHead(Struct, gc=False):
    """What a record is, and where and when it was made. Some records say so elsewhere."""

    eventTime: Annotated[datetime, Meta(tz=True)]  # noqa: N815 - CloudTrail's name
    awsRegion: str  # noqa: N815 - CloudTrail's name
    recipientAccountId: Annotated[str, Meta(min_length=1)]  # noqa: N815 - CloudTrail's name
    eventSource: str = ""  # noqa: N815 - CloudTrail's name
    eventName: str = ""  # noqa: N815 - CloudTrail's name


decode_wide_head = msgspec.json.Decoder(WideHead).decode
_decode_any = msgspec.json.Decoder().decode


def sight(raw: bytes) -> Sighting | None:
    """Returns where and when a record was made; None when it does not say."""
    try:
        head = decode_wide_head(raw)
    except (msgspec.MsgspecError, RecursionError):
        pass
    else:
        return Sighting(head.recipientAccountId, head.awsRegion, head.eventTime)
    try:
        record = _decode_any(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return sight_record(record) if isinstance(record, dict) else None


def sight_record(record: Mapping[str, Any]) -> Sighting | None:
    """Returns the same of a record that is decoded."""
    account_id = record.get("recipientAccountId")
    if not account_id:
        identity = record.get("userIdentity")
        account_id = identity.get("accountId") if isinstance(identity, dict) else None
    region, time = record.get("awsRegion"), record.get("eventTime")
    if not (isinstance(account_id, str) and isinstance(region, str) and isinstance(time, str)):
        return None
    try:
        event_time = datetime.fromisoformat(time)
        if event_time.tzinfo is None:
            event_time = event_time.replace(tzinfo=UTC)
        return Sighting(account_id, region, event_time.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def find_last(text: bytes) -> bytes:
    """Returns what should be the last record of a log file, if its records all begin alike.

    AWS's do. Where a record holds such a beginning itself, what is returned is no JSON.
    """
    return text[text.rfind(_beginning(text)) : text.rfind(b"]")]


def find_first(text: bytes) -> bytes:
    """Returns the same of the first record."""
    beginning = _beginning(text)
    start = text.find(beginning)
    second = text.find(beginning, start + 1)
    return text[start : second if second > 0 else text.rfind(b"]")].rstrip(b", \t\r\n")


def _beginning(text: bytes) -> bytes:
    """Returns how the first record begins, down to its first colon."""
    is_usual = text.startswith(_OPENING)
    start = len(_OPENING) - 2 if is_usual else text.find(b"{", text.find(b"[") + 1)
    return text[start : text.find(b":", start) + 1]

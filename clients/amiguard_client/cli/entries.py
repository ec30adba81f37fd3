"""Allowlist entries as an operator writes them, and the messages of the wire they stand for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import click
from msgspec import Struct

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_core.policy import AllowlistEntry, EntryKind

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_PREFIX = "allowlistEntries/"
ENTRY_ID = re.compile(r"[a-z0-9-]{4,63}", re.ASCII)
MAX_JUSTIFICATION = 2_000
_NAMESPACE = UUID("5d9b6c0e-6f0b-5d55-9e0c-5f2f0f8a3a7e")
FIELDS = ("justification", "account_ids", "expire_time")
"""What of an entry can be another later; what it vouches for never is."""


class Entry(Struct, frozen=True):
    """What an entry is to be, or is."""

    entry_id: str
    kind: EntryKind
    subject: str
    justification: str
    account_ids: tuple[str, ...] = ()
    expire_time: datetime | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return ENTRY_PREFIX + self.entry_id

    def to_core(self) -> AllowlistEntry:
        """Returns what the rule needs of it."""
        return AllowlistEntry(
            self.name, self.kind, self.subject, self.account_ids, self.expire_time
        )

    def to_message(self, *, etag: str = "") -> wire.AllowlistEntry:
        """Returns the message of the wire."""
        message = wire.AllowlistEntry(
            name=self.name,
            account_ids=self.account_ids,
            justification=self.justification,
            etag=etag,
        )
        setattr(message, self.kind.value, self.subject)
        if self.expire_time is not None:
            message.expire_time.FromDatetime(self.expire_time)
        return message

    def to_plain(self) -> dict[str, Any]:
        """Returns the entry as it stands in a file, without what is empty."""
        plain: dict[str, Any] = {
            "id": self.entry_id,
            self.kind.value: self.subject,
            "justification": self.justification,
        }
        if self.account_ids:
            plain["account_ids"] = list(self.account_ids)
        if self.expire_time is not None:
            plain["expire_time"] = time_text(self.expire_time)
        return plain

    def texts(self) -> Mapping[str, str]:
        """Returns what it says, field by field, for people."""
        return {
            self.kind.value: self.subject,
            "justification": self.justification,
            "account_ids": ", ".join(self.account_ids) or "all",
            "expire_time": time_text(self.expire_time) if self.expire_time else "never",
        }


def request_id_of(request: wire.CreateAllowlistEntryRequest, *, last_hash: str) -> str:
    """Returns the id of a request, the same for as long as nothing else in the tuning changes.

    So a repetition is known for one, and the same request at a later time is not taken for it.
    """
    asked = wire.CreateAllowlistEntryRequest()
    asked.CopyFrom(request)
    asked.ClearField("request_id")
    asked.ClearField("validate_only")
    content = asked.SerializeToString(deterministic=True)
    return str(uuid5(_NAMESPACE, f"{last_hash} {content.hex()}"))


def entry_id_of(text: str) -> str:
    """Returns the id for an id or for the name of an entry."""
    return text.removeprefix(ENTRY_PREFIX)


def entry_of(message: wire.AllowlistEntry) -> Entry:
    """Returns the entry in a message; ends the command where it is of a later kind."""
    subject = message.WhichOneof("subject")
    if subject is None:
        raise click.ClickException(
            f"{message.name} vouches for something that this amiguardctl is too old to know"
        )
    kind = EntryKind(subject)
    expires = message.WhichOneof("expiration") == "expire_time"
    return Entry(
        entry_id=entry_id_of(message.name),
        kind=kind,
        subject=getattr(message, kind.value),
        justification=message.justification,
        account_ids=tuple(sorted(set(message.account_ids))),
        expire_time=message.expire_time.ToDatetime(tzinfo=UTC) if expires else None,
    )


def time_text(time: datetime) -> str:
    """Returns a time as files have it: RFC 3339, UTC, to the microsecond where it has any."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def changed_fields(before: Entry, after: Entry) -> tuple[str, ...]:
    """Returns the fields in which two entries of one subject differ, in their order."""
    return tuple(field for field in FIELDS if getattr(before, field) != getattr(after, field))

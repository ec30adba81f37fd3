"""What people ask to be done to the allowlist: requests read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask
from msgspec.structs import replace

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_core.policy import AllowlistEntry, EntryKind
from amiguard_service.convert import read_time
from amiguard_service.filters import Field, FieldValue, Kind
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.request_fields import read_duration, read_paths, shown
from amiguard_service.tuned import ENTRY_PREFIX, StoredEntry
from amiguard_service.tuning import EntryDraft, EntryPatch

ENTRY: Final = "allowlist_entry"
"""The field of requests in which an entry stands."""

ENTRY_FIELDS: Final = MappingProxyType(
    {
        field.name: field
        for field in (
            *(Field(kind.value, Kind.STRING) for kind in EntryKind),
            Field("account_ids", Kind.STRING_LIST),
            Field("expire_time", Kind.TIME),
            Field("creator", Kind.STRING),
        )
    }
)
"""What ListAllowlistEntries can filter by; of the three kinds of subject an entry has one."""

_ENTRY_ID: Final = re.compile(r"[a-z0-9-]{4,63}", re.ASCII)
_EXPIRATION: Final = frozenset({"expire_time", "ttl"})
_PATHS: Final = frozenset({"justification", "account_ids"}) | _EXPIRATION
_KINDS: Final = frozenset(kind.value for kind in EntryKind)


def read_entry_id(text: str) -> str:
    """Returns the id that an entry is to have."""
    if not _ENTRY_ID.fullmatch(text):
        raise FieldInvalidError(
            "allowlist_entry_id", got=shown(text), expected="4 to 63 characters from [a-z0-9-]"
        )
    return text


def entry_id_of(name: str, *, field: str) -> str:
    """Returns the id in the name of an entry; `field` is where the name stood in the request."""
    entry_id = name.removeprefix(ENTRY_PREFIX)
    if not name.startswith(ENTRY_PREFIX) or not _ENTRY_ID.fullmatch(entry_id):
        raise FieldInvalidError(
            field, got=shown(name), expected="allowlistEntries/{allowlist_entry_id}"
        )
    return entry_id


def read_draft(message: wire.AllowlistEntry) -> EntryDraft:
    """Returns what an entry is to be."""
    kind, subject = _read_subject(message)
    draft = EntryDraft(kind, subject, message.justification, tuple(message.account_ids))
    match message.WhichOneof("expiration"):
        case "ttl":
            return replace(draft, ttl=read_duration(message.ttl, field=f"{ENTRY}.ttl"))
        case "expire_time":
            time = read_time(message.expire_time, field=f"{ENTRY}.expire_time")
            return replace(draft, expire_time=time)
        case _:
            return draft


def read_entry_patch(message: wire.AllowlistEntry, mask: FieldMask) -> EntryPatch:
    """Returns what of an entry is to be another.

    Both ways to say when it ends are one thing: with either path the one that is set counts, and
    the entry never ends where neither is.
    """
    given = _PATHS.intersection(field.name for field, _ in message.ListFields())
    expiration = message.WhichOneof("expiration")
    paths = read_paths(mask, known=_PATHS, given=given)
    patch = EntryPatch()
    if message.WhichOneof("subject") is not None:
        patch = replace(patch, subject=_read_subject(message))
    if "justification" in paths:
        patch = replace(patch, justification=message.justification)
    if "account_ids" in paths:
        patch = replace(patch, account_ids=tuple(message.account_ids))
    if not paths & _EXPIRATION:
        return patch
    if expiration == "ttl":
        return replace(patch, ttl=read_duration(message.ttl, field=f"{ENTRY}.ttl"))
    if expiration is None:
        return replace(patch, expire_time=None)
    return replace(patch, expire_time=read_time(message.expire_time, field=f"{ENTRY}.expire_time"))


def read_tried_entry(message: wire.AllowlistEntry) -> AllowlistEntry:
    """Returns an entry that need not have a name or a reason yet. When it ends is of no account."""
    if message.name:
        entry_id_of(message.name, field=f"{ENTRY}.name")
    kind, subject = _read_subject(message)
    return AllowlistEntry(message.name, kind, subject, tuple(message.account_ids))


def entry_field(entry: StoredEntry) -> Callable[[str], FieldValue]:
    """Returns what gives the value that an entry has in a field of ENTRY_FIELDS."""

    def read(name: str) -> FieldValue:
        if name in _KINDS:
            return entry.subject if entry.kind == name else None
        value: FieldValue = getattr(entry, name)
        return value

    return read


def _read_subject(message: wire.AllowlistEntry) -> tuple[EntryKind, str]:
    kind = message.WhichOneof("subject")
    if kind is None:
        expected = f"one of {', '.join(kind.value for kind in EntryKind)}"
        raise FieldInvalidError(f"{ENTRY}.subject", got="nothing", expected=expected)
    return EntryKind(kind), getattr(message, kind)

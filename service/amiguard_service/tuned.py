"""What is in force and who put it there, as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from amiguard_core.policy import AllowlistEntry, EntryKind, RuleConfig

ENTRY_PREFIX = "allowlistEntries/"
SYSTEM_ACTOR = "amiguard"
"""Who is named where no person made a change."""


class StoredEntry(Struct, frozen=True):
    """One allowlist entry. `match_count` counts the scores it affected."""

    entry_id: str
    kind: EntryKind
    subject: str
    justification: str
    creator: str
    create_time: datetime
    update_time: datetime
    account_ids: tuple[str, ...] = ()
    expire_time: datetime | None = None
    last_match_time: datetime | None = None
    match_count: int = 0
    change_count: int = 1

    @property
    def name(self) -> str:
        """The resource name."""
        return ENTRY_PREFIX + self.entry_id

    @property
    def etag(self) -> str:
        """A text that is another after every change; that a score was affected is none.

        It says what the entry is, so that one deleted and made anew under the same id differs.
        """
        told = replace(self, last_match_time=None, match_count=0)
        return sha256(msgspec.json.encode(told)).hexdigest()[:16]

    def to_core(self) -> AllowlistEntry:
        """Returns what the rule needs of it."""
        return AllowlistEntry(
            name=self.name,
            kind=self.kind,
            subject=self.subject,
            account_ids=self.account_ids,
            expire_time=self.expire_time,
        )


class RuleRevision(Struct, frozen=True):
    """One rule configuration, and who put it in force."""

    config: RuleConfig
    create_time: datetime
    creator: str

    @property
    def etag(self) -> str:
        """Revisions never change, so the number tells them apart."""
        return f"{self.config.revision:x}"


class PassScope(StrEnum):
    """What has to be gone over after a change of the policy."""

    FINDINGS = "FINDINGS"
    """Scores alone may differ."""
    LANES = "LANES"
    """Searches may be unsafe that were not, launches may follow that did not."""


class PassProgress(Struct, frozen=True):
    """How far the pass has come that applies the latest policy to what is stored.

    `done` counts findings or lanes, by `scope`. `scope` is None when nothing is left to do.
    """

    policy_version: int
    scope: PassScope | None = None
    done: int = 0
    start_time: datetime | None = None


class PolicyState(Struct, frozen=True):
    """The row that says which policy is in force."""

    version: int
    rule_revision: int
    expired_through: datetime
    audit_count: int = 0
    audit_hash: str = ""
    pass_scope: PassScope | None = None
    pass_cursor: tuple[str, ...] = ()
    pass_done: int = 0
    pass_start_time: datetime | None = None

    @property
    def progress(self) -> PassProgress:
        """How far the pass has come."""
        return PassProgress(self.version, self.pass_scope, self.pass_done, self.pass_start_time)


class AuditDocument(Struct, frozen=True, omit_defaults=True):
    """What one change was: an entry or a configuration, before and after."""

    entry_before: StoredEntry | None = None
    entry_after: StoredEntry | None = None
    rule_before: RuleRevision | None = None
    rule_after: RuleRevision | None = None
    images: tuple[str, ...] = ()


class AuditRow(Struct, frozen=True):
    """One change, sealed with the hash of the one before it."""

    change_id: int
    change_time: datetime
    actor: str
    method: str
    document: bytes
    previous_hash: str
    hash: str

    @property
    def change(self) -> AuditDocument:
        """What the change was."""
        return msgspec.json.decode(self.document, type=AuditDocument)


def seal(
    previous_hash: str,
    *,
    change_id: int,
    change_time: datetime,
    actor: str,
    method: str,
    document: bytes,
) -> str:
    """Returns the hash of an audit row: SHA-256 over the one before and all the row holds.

    The form is fixed: anybody can work it out again from what ListTuningChanges gives.
    """
    parts: Mapping[str, object] = {
        "actor": actor,
        "change_id": change_id,
        "change_time": change_time.isoformat(),
        "document": document.decode(),
        "method": method,
        "previous_hash": previous_hash,
    }
    return sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()

"""One change of the policy under way: what is asked for, its checks, and how it takes effect."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import Connection

from amiguard_core.allowlist import check_account_ids, check_entry
from amiguard_core.policy import EntryKind, Policy
from amiguard_service.policies import ensure_policy, load_of
from amiguard_service.preview import lost_true_positives
from amiguard_service.reevaluation import scope_of
from amiguard_service.refusals import (
    EtagMismatchError,
    FieldInvalidError,
    LosesTruePositivesError,
    ResourceNotFoundError,
)
from amiguard_service.store import tuning as store
from amiguard_service.store.engines import change_policy
from amiguard_service.stored import finding_name
from amiguard_service.tuned import ENTRY_PREFIX, AuditDocument, PassScope, StoredEntry

MAX_JUSTIFICATION: Final = 2_000
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What no terminal should be sent, and some of it no database takes; lines may be broken."""


class EntryDraft(Struct, frozen=True):
    """What an entry is to be. It expires at a time, or `ttl` after it was made, or never."""

    kind: EntryKind
    subject: str
    justification: str
    account_ids: tuple[str, ...] = ()
    expire_time: datetime | None = None
    ttl: timedelta | None = None


class EntryPatch(Struct, frozen=True):
    """What of an entry is to be another; what is unset stays. `ttl` counts from the change.

    The subject never changes: a `subject` that is set must be what it is.
    """

    justification: str | UnsetType = UNSET
    account_ids: tuple[str, ...] | UnsetType = UNSET
    expire_time: datetime | UnsetType | None = UNSET
    ttl: timedelta | UnsetType = UNSET
    subject: tuple[EntryKind, str] | UnsetType = UNSET


class Guard(Struct, frozen=True):
    """How a change is to be made.

    `validate_only` makes every check and no change. `force` lets an organization pattern through
    that intersects a public family. `keep_true_positives` refuses a change under which a finding
    closed as TRUE_POSITIVE would vanish or fall to LOW.
    """

    validate_only: bool = False
    force: bool = False
    keep_true_positives: bool = False


NO_GUARD: Final = Guard()


class PolicyChange:
    """One change under way: the transaction, the policy before, and where it is recorded."""

    def __init__(
        self,
        connection: Connection,
        *,
        actor: str,
        guard: Guard,
        now: datetime,
        is_trial: bool = False,
    ) -> None:
        self.connection = connection
        self.state = ensure_policy(connection, now=now)
        self.now = now
        self.is_tried = is_trial or guard.validate_only
        self._keeps_true_positives = is_trial
        self._actor = actor
        if not self.is_tried:
            # Before anything is written: whoever holds the policy may wait for what we write.
            change_policy(connection)
        # What has expired counts until a change, or `Tuning.expire`, makes what is stored follow.
        self._in_force = self._load_in_part().at(self.state.expired_through)

    @cached_property
    def before(self) -> Policy:
        """The policy before the change, with the entries that have expired."""
        return load_of(self.connection, self.state)

    def _load_in_part(self) -> Policy:
        """Returns what `scope_of` looks at, which the many entries of one kind are no part of."""
        return load_of(self.connection, self.state, without=EntryKind.ORGANIZATION_PATTERN)

    def check(self, entry: StoredEntry, *, force: bool) -> None:
        """Raises PolicyError or FieldInvalidError for an entry that may not be."""
        if not entry.justification.strip():
            raise FieldInvalidError("justification", got="nothing", expected="a reason")
        if len(entry.justification) > MAX_JUSTIFICATION:
            raise FieldInvalidError(
                "justification",
                got=f"{len(entry.justification)} characters",
                expected=f"at most {MAX_JUSTIFICATION}",
            )
        if _CONTROL.search(entry.justification):
            raise FieldInvalidError(
                "justification", got="control characters", expected="plain text"
            )
        check_entry(entry.to_core(), public_patterns=self._in_force.public_patterns, force=force)

    def expiry(self, time: datetime | None, ttl: timedelta | None) -> datetime | None:
        """Returns when an entry stops to count; raises FieldInvalidError where it would not begin.

        What another server has seen expire is past, be its clock ahead or not.
        """
        if ttl is not None:
            if ttl <= timedelta(0):
                raise FieldInvalidError("ttl", got=f"{ttl}", expected="more than 0 seconds")
            try:
                return self.now + ttl
            except OverflowError:
                raise FieldInvalidError("ttl", got=f"{ttl}", expected="up to year 9999") from None
        if time is not None and time <= max(self.now, self.state.expired_through):
            raise FieldInvalidError(
                "expire_time", got=time.isoformat(), expected="a time in the future"
            )
        return time

    def patched(self, entry: StoredEntry, patch: EntryPatch) -> StoredEntry:
        """Returns an entry with what a patch sets; raises FieldInvalidError for what cannot be."""
        if patch.subject is not UNSET and patch.subject != (entry.kind, entry.subject):
            kind, subject = patch.subject
            raise FieldInvalidError(
                kind, got=repr(subject[:64]), expected=f"{entry.kind} {entry.subject!r}, for good"
            )
        if patch.justification is not UNSET:
            entry = replace(entry, justification=patch.justification)
        if patch.account_ids is not UNSET:
            check_account_ids(patch.account_ids)
            entry = replace(entry, account_ids=tuple(sorted(set(patch.account_ids))))
        if patch.ttl is not UNSET:
            return replace(entry, expire_time=self.expiry(None, patch.ttl))
        if patch.expire_time is not UNSET:
            return replace(entry, expire_time=self.expiry(patch.expire_time, None))
        return entry

    def fetch_entry(self, entry_id: str, etag: str | None) -> StoredEntry:
        """Returns an entry that is to change, at this etag where one is given."""
        entry = store.fetch_entry(self.connection, entry_id)
        if entry is None:
            raise ResourceNotFoundError(ENTRY_PREFIX + entry_id)
        if etag is not None and entry.etag != etag:
            raise EtagMismatchError(entry.name, got=etag, current=entry.etag)
        return entry

    def try_entry(self, before: StoredEntry | None, after: StoredEntry | None) -> None:
        """Does what `try_policy` does, with one entry in place of another."""
        entries = [e for e in self.before.entries if before is None or e.name != before.name]
        if after is not None:
            entries.append(after.to_core())
        self.try_policy(Policy(rule=self.before.rule, entries=tuple(entries)))

    def try_policy(self, after: Policy) -> None:
        """Raises LosesTruePositivesError where the change must not lose any and would."""
        if not self._keeps_true_positives:
            return
        lost = lost_true_positives(
            self.connection, self.before.at(self.now), after.at(self.now), now=self.now
        )
        if lost:
            raise LosesTruePositivesError(tuple(map(finding_name, lost)))

    def commit(self, method: str, *documents: AuditDocument) -> None:
        """Puts the changed policy in force, and records the change, or several, in the audit."""
        scope = scope_of(self._in_force, self._load_in_part().at(self.now))
        state = self.state
        for document in documents:
            state = store.append_audit(
                self.connection, state, document, actor=self._actor, method=method, now=self.now
            )
        wider = PassScope.LANES if PassScope.LANES in {scope, state.pass_scope} else scope
        self.state = replace(
            state,
            version=state.version + 1,
            pass_scope=wider,
            pass_cursor=(),
            pass_done=0,
            pass_start_time=self.now,
        )
        store.update_state(self.connection, self.state)

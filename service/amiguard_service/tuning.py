"""Changes of what is in force: the allowlist and the rule configuration, and their audit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from amiguard_core.allowlist import check_account_ids
from amiguard_core.policy import Policy, RuleConfig
from amiguard_service.policies import ensure_policy, load
from amiguard_service.policy_change import NO_GUARD, EntryDraft, EntryPatch, Guard, PolicyChange
from amiguard_service.preview import Preview, preview
from amiguard_service.proposals import Proposal
from amiguard_service.refusals import (
    EtagMismatchError,
    FieldInvalidError,
    RequestIdReusedError,
    ResourceExistsError,
)
from amiguard_service.store import tuning as store
from amiguard_service.store.engines import Database
from amiguard_service.tuned import (
    SYSTEM_ACTOR,
    AuditDocument,
    AuditRow,
    PolicyState,
    RuleRevision,
    StoredEntry,
)

__all__ = ["NO_GUARD", "EntryDraft", "EntryPatch", "Guard", "Tuning"]

MAX_ENTRIES: Final = 20_000
"""Twice what the largest organizations are expected to need."""
PREVIEW_SPAN: Final = timedelta(days=7)
RULE_NAME: Final = "ruleConfig"

T = TypeVar("T")


class Tuning:
    """The allowlist and the rule configuration of one database. Safe to use from any thread.

    Every change is one transaction with its row of the audit; what it does to findings follows in
    a pass over what is stored: see `passes`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_entry(self, entry_id: str) -> StoredEntry | None:
        """Returns an entry; None when there is none of this id."""
        return self._read(lambda c, _state: store.fetch_entry(c, entry_id))

    def list_entries(self) -> list[StoredEntry]:
        """Returns every entry by id, the expired too."""
        return self._read(lambda c, _state: store.fetch_entries(c))

    def create_entry(
        self,
        entry_id: str,
        draft: EntryDraft,
        *,
        actor: str,
        request_id: str | None = None,
        guard: Guard = NO_GUARD,
    ) -> StoredEntry:
        """Returns the entry as created; for a request id that came before, the first outcome."""

        def work(change: PolicyChange) -> StoredEntry:
            digest = _digest(entry_id, draft, guard)
            known = store.fetch_request(change.connection, request_id) if request_id else None
            if request_id and known:
                if known[0] != digest:
                    raise RequestIdReusedError(request_id)
                return known[1]
            check_account_ids(draft.account_ids)
            made = StoredEntry(
                entry_id=entry_id,
                kind=draft.kind,
                subject=draft.subject,
                justification=draft.justification,
                creator=actor,
                create_time=change.now,
                update_time=change.now,
                account_ids=tuple(sorted(set(draft.account_ids))),
                expire_time=change.expiry(draft.expire_time, draft.ttl),
            )
            change.check(made, force=guard.force)
            if store.fetch_entry(change.connection, entry_id) is not None:
                raise ResourceExistsError(made.name)
            if store.count_entries(change.connection) >= MAX_ENTRIES:
                raise FieldInvalidError(
                    "allowlist_entry", got="one more", expected=f"at most {MAX_ENTRIES} entries"
                )
            if change.is_tried:
                change.try_entry(None, made)
                return made
            if request_id:
                store.insert_request(
                    change.connection, request_id, digest=digest, entry=made, now=change.now
                )
            store.insert_entry(change.connection, made)
            change.commit("CreateAllowlistEntry", AuditDocument(entry_after=made))
            return made

        return self._change(work, actor=actor, guard=guard)

    def update_entry(
        self, entry_id: str, patch: EntryPatch, *, etag: str, actor: str, guard: Guard = NO_GUARD
    ) -> StoredEntry:
        """Returns the entry after a change, which happens only at this etag."""

        def work(change: PolicyChange) -> StoredEntry:
            before = change.fetch_entry(entry_id, etag)
            after = replace(
                change.patched(before, patch),
                update_time=change.now,
                change_count=before.change_count + 1,
            )
            # What was let through at the creation is not asked about again.
            change.check(after, force=True)
            if change.is_tried:
                change.try_entry(before, after)
                return after
            store.update_entry(change.connection, after)
            change.commit(
                "UpdateAllowlistEntry", AuditDocument(entry_before=before, entry_after=after)
            )
            return after

        return self._change(work, actor=actor, guard=guard)

    def delete_entry(
        self,
        entry_id: str,
        *,
        etag: str | None,
        actor: str,
        allow_missing: bool = False,
        guard: Guard = NO_GUARD,
    ) -> None:
        """Deletes an entry, at this etag where one is given."""

        def work(change: PolicyChange) -> None:
            if allow_missing and store.fetch_entry(change.connection, entry_id) is None:
                return
            before = change.fetch_entry(entry_id, etag)
            if change.is_tried:
                change.try_entry(before, None)
                return
            store.delete_entry(change.connection, entry_id)
            change.commit("DeleteAllowlistEntry", AuditDocument(entry_before=before))

        self._change(work, actor=actor, guard=guard)

    def get_rule(self, revision: int = 0) -> RuleRevision | None:
        """Returns a rule configuration, the one in force for 0; None for one that never was."""
        return self._read(lambda c, state: store.fetch_revision(c, revision or state.rule_revision))

    def list_rules(self, *, before: int | None, limit: int) -> list[RuleRevision]:
        """Returns rule configurations, newest first, from just before a revision."""
        return self._read(lambda c, _state: store.fetch_revisions(c, before=before, limit=limit))

    def update_rule(
        self,
        patch: Callable[[RuleConfig], RuleConfig],
        *,
        etag: str,
        actor: str,
        guard: Guard = NO_GUARD,
    ) -> RuleRevision:
        """Returns the configuration put in force: what `patch` makes of the one at this etag."""

        def work(change: PolicyChange) -> RuleRevision:
            before = store.fetch_revision(change.connection, change.state.rule_revision)
            if before is None or before.etag != etag:
                current = "" if before is None else before.etag
                raise EtagMismatchError(RULE_NAME, got=etag, current=current)
            config = replace(patch(before.config), revision=before.config.revision + 1)
            config.check()
            after = RuleRevision(config, change.now, actor)
            if change.is_tried:
                change.try_policy(Policy(rule=config, entries=change.before.entries))
                return after
            store.insert_revision(change.connection, after)
            change.state = replace(change.state, rule_revision=config.revision)
            change.commit("UpdateRuleConfig", AuditDocument(rule_before=before, rule_after=after))
            return after

        return self._change(work, actor=actor, guard=guard)

    def preview(
        self,
        proposal: Proposal,
        *,
        since: datetime | None,
        max_examples: int,
    ) -> Preview:
        """Returns what a change that is proposed would do, and does nothing.

        Findings made since a time are judged again, those of the last 7 days where it is None.
        """

        def work(connection: Connection) -> Preview:
            now = self._database.now(connection)
            before = load(connection)
            return preview(
                connection,
                before.at(now),
                proposal(before).at(now),
                since=now - PREVIEW_SPAN if since is None else since,
                now=now,
                max_examples=max_examples,
            )

        return self._database.read(work)

    def list_changes(
        self, *, after: int, since: datetime | None, limit: int
    ) -> tuple[list[AuditRow], PolicyState]:
        """Returns changes, oldest first, and the state that holds the audit's head."""
        return self._read(
            lambda c, state: (store.fetch_audit(c, after=after, since=since, limit=limit), state)
        )

    def expire(self) -> bool:
        """Puts a policy in force without the entries that expired since; says whether there were.

        Entries stop to count at their time by themselves; this makes what is stored follow. Cheap
        where nothing expired.
        """

        def find(connection: Connection, state: PolicyState) -> list[StoredEntry]:
            return store.fetch_expired(
                connection, after=state.expired_through, through=self._database.now(connection)
            )

        def work(change: PolicyChange) -> bool:
            expired = find(change.connection, change.state)
            if not expired:
                return False
            change.state = replace(change.state, expired_through=change.now)
            change.commit("ExpireAllowlistEntry", *(AuditDocument(entry_before=e) for e in expired))
            return True

        if not self._read(find):
            return False
        return self._change(work, actor=SYSTEM_ACTOR, guard=NO_GUARD)

    def _read(self, work: Callable[[Connection, PolicyState], T]) -> T:
        """Returns what `work` makes of a database, which has a first policy from then on."""

        def look(connection: Connection) -> tuple[T] | None:
            state = store.fetch_state(connection)
            return None if state is None else (work(connection, state),)

        def begin(connection: Connection) -> tuple[T]:
            return (
                work(connection, ensure_policy(connection, now=self._database.now(connection))),
            )

        (found,) = self._database.read(look) or self._database.write(begin)
        return found

    def _change(self, work: Callable[[PolicyChange], T], *, actor: str, guard: Guard) -> T:
        def checked(connection: Connection) -> T:
            now = self._database.now(connection)
            if guard.keep_true_positives:
                # Tried first as a whole: a refusal must leave nothing behind.
                trial = PolicyChange(connection, actor=actor, guard=guard, now=now, is_trial=True)
                work(trial)
            change = PolicyChange(connection, actor=actor, guard=guard, now=now)
            return work(change)

        return self._database.write(checked)


def _digest(entry_id: str, draft: EntryDraft, guard: Guard) -> str:
    return sha256(msgspec.json.encode((entry_id, draft, guard.force))).hexdigest()

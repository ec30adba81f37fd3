"""Which policy is in force: read in the transaction that uses it, parsed once a version."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from amiguard_core.policy import BUILT_IN_ENTRIES, EntryKind, Policy, RuleConfig
from amiguard_service.store import tuning as store
from amiguard_service.tuned import (
    ENTRY_PREFIX,
    SYSTEM_ACTOR,
    PolicyState,
    RuleRevision,
    StoredEntry,
)

_FOR_EVER: Final = datetime.max.replace(tzinfo=UTC)


class Policies:
    """The policy of one database, as of each transaction. Safe to use from any thread.

    A transaction that has the locks of its lanes reads the version first: a change that commits
    later waits for those locks before it goes over the lanes, and so misses nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = -1
        self._live = Policy()
        self._live_until = _FOR_EVER

    @property
    def latest(self) -> Policy:
        """The policy read last, for what need not be exact."""
        return self._live

    def read(self, connection: Connection, *, now: datetime) -> Policy:
        """Returns the policy in force in this transaction, without the entries expired by `now`."""
        version, expired_through = store.fetch_version(connection)
        # Another server's clock may be ahead: what it has seen expire stays expired.
        now = max(now, expired_through)
        with self._lock:
            if version == self._version and now < self._live_until:
                return self._live
        policy = load(connection)
        live = policy.at(now)
        expiries = [e.expire_time for e in live.entries if e.expire_time is not None]
        with self._lock:
            if version >= self._version:
                self._version, self._live = version, live
                self._live_until = min(expiries, default=_FOR_EVER)
        return live


def load(connection: Connection) -> Policy:
    """Returns the policy of the database, with the entries that have expired."""
    state = store.fetch_state(connection)
    return Policy() if state is None else load_of(connection, state)


def load_of(
    connection: Connection, state: PolicyState, *, without: EntryKind | None = None
) -> Policy:
    """Returns the policy that a state speaks of, be it stored yet or not.

    Entries of one kind can be left out: ten thousand take some hundredths of a second to read.
    """
    revision = store.fetch_revision(connection, state.rule_revision)
    rule = RuleConfig() if revision is None else revision.config
    return Policy(rule=rule, entries=store.fetch_rule_entries(connection, without=without))


def ensure_policy(connection: Connection, *, now: datetime) -> PolicyState:
    """Returns the state of the policy; makes the first one in a database that has none.

    The row is locked until the transaction ends, so that changes of the policy come one by one.
    """
    found = store.fetch_state(connection, for_update=True)
    if found is not None:
        return found
    made = PolicyState(version=1, rule_revision=1, expired_through=now)
    store.insert_state(connection, made)
    store.insert_revision(connection, RuleRevision(RuleConfig(), now, SYSTEM_ACTOR))
    for entry in BUILT_IN_ENTRIES:
        store.insert_entry(
            connection,
            StoredEntry(
                entry_id=entry.name.removeprefix(ENTRY_PREFIX),
                kind=entry.kind,
                subject=entry.subject,
                justification="An alias that AWS assigns; a stranger cannot claim it.",
                creator=SYSTEM_ACTOR,
                create_time=now,
                update_time=now,
            ),
        )
    return made

"""The pass that applies a changed policy to what is stored, a little at a time.

Any server may take the next step: how far the pass has come stands in the database, and each step
moves it on in the transaction that does the work. A server that dies leaves nothing half done.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec.structs import replace
from sqlalchemy import Connection

from amiguard_service.policies import Policies
from amiguard_service.reevaluation import Lane, apply_to_findings, apply_to_lane, next_lane
from amiguard_service.store import findings as finding_store
from amiguard_service.store import tuning as store
from amiguard_service.store.engines import Database
from amiguard_service.tuned import PassProgress, PassScope, PolicyState

CHUNK: Final = 200
"""Findings gone over in one transaction: a few tens of milliseconds."""


class Passes:
    """Takes the steps of the pass that is under way. Safe to use from any thread."""

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies

    def progress(self) -> PassProgress:
        """Returns how far the pass has come."""
        state = self._database.read(store.fetch_state)
        return PassProgress(policy_version=0) if state is None else state.progress

    def step(self) -> PassProgress:
        """Takes the next step, if there is one; returns how far the pass has come then."""
        state, lane = self._database.read(_next)
        if state is None or state.pass_scope is None:
            return self.progress()
        if state.pass_scope is PassScope.LANES and lane is not None:
            return self._database.write(
                lambda c: self._take(c, state, lane), lanes=[(lane.account_id, lane.lane)]
            )
        return self._database.write(lambda c: self._take(c, state, None))

    def run(self, *, max_steps: int) -> PassProgress:
        """Takes steps until the pass is through, or so many are taken."""
        progress = self.progress()
        for _ in range(max_steps):
            if progress.scope is None:
                break
            progress = self.step()
        return progress

    def _take(
        self, connection: Connection, planned: PolicyState, lane: Lane | None
    ) -> PassProgress:
        state = store.fetch_state(connection, for_update=True)
        if state is None or (state.version, state.pass_scope, state.pass_cursor) != (
            planned.version,
            planned.pass_scope,
            planned.pass_cursor,
        ):
            # Another server took this step, or the policy has changed again.
            return PassProgress(0) if state is None else state.progress
        now = self._database.now(connection)
        if lane is not None:
            policy = self._policies.read(connection, now=now)
            apply_to_lane(connection, lane, policy, now=now)
            moved = replace(
                state, pass_cursor=(lane.account_id, lane.lane), pass_done=state.pass_done + 1
            )
        else:
            moved = self._take_findings(connection, state, now)
        store.update_state(connection, moved)
        return moved.progress

    def _take_findings(
        self, connection: Connection, state: PolicyState, now: datetime
    ) -> PolicyState:
        """Goes over the next findings; ends the pass where there are none, or no lanes."""
        ids: list[str] = []
        if state.pass_scope is PassScope.FINDINGS:
            ids = finding_store.next_ids(connection, after=_cursor(state), limit=CHUNK)
        if not ids:
            return replace(
                state, pass_scope=None, pass_cursor=(), pass_done=0, pass_start_time=None
            )
        policy = self._policies.read(connection, now=now)
        apply_to_findings(connection, ids, policy, now=now)
        return replace(
            state,
            pass_cursor=(finding_store.account_of(ids[-1]), ids[-1]),
            pass_done=state.pass_done + len(ids),
        )


def _next(connection: Connection) -> tuple[PolicyState | None, Lane | None]:
    state = store.fetch_state(connection)
    if state is None or state.pass_scope is not PassScope.LANES:
        return state, None
    cursor = _cursor(state)
    return state, next_lane(connection, after=None if cursor is None else Lane(*cursor))


def _cursor(state: PolicyState) -> tuple[str, str] | None:
    if not state.pass_cursor:
        return None
    first, second = state.pass_cursor
    return first, second

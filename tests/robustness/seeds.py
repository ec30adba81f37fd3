"""Rounds that found something once; they are run again for ever.

A seed decides the records and who delivers them. Its steps are written out, so that a change to how
steps are drawn does not make another round of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from amiguard_core.policy import Mode, RuleConfig
from tests.robustness.faults import POSTGRESQL, SQLITE, Do, Step, faults_of
from tests.robustness.operators import Change, RuleChange
from tests.robustness.plan import Plan, draw_plan


@dataclass(frozen=True, slots=True)
class KeptRound:
    """A round that failed, and what it found; its name is the law that was broken."""

    name: str
    found: str
    backend: str
    seed: int
    steps: tuple[Step, ...]
    changes: tuple[Change, ...] = ()

    def plan(self) -> Plan:
        """Returns the plan to play."""
        return replace(
            draw_plan(self.seed, self.backend),
            faults=faults_of(self.steps),
            steps=self.steps,
            changes=self.changes,
            has_handler=False,
        )


KEPT = (
    KeptRound(
        "server waits for its database",
        "A server that was started while PostgreSQL was away ended with a traceback.",
        POSTGRESQL,
        6,
        (
            Step(20, Do.KILL, 0),
            Step(21, Do.KILL_DATABASE),
            Step(25, Do.START, 0, patience_seconds=0.2),
            Step(30, Do.START_DATABASE, patience_seconds=0.5),
        ),
    ),
    KeptRound(
        "log that cannot be written fails no call",
        "With no room for the log, calls that were committed were answered UNKNOWN.",
        SQLITE,
        9,
        (
            Step(5, Do.DRAIN, 0),
            Step(9, Do.START, 0, patience_seconds=0.2),
            Step(10, Do.REFUSE_WRITES, 0),
            Step(13, Do.ALLOW_WRITES, 0, patience_seconds=0.5),
        ),
    ),
    KeptRound(
        "server with a full disk does not serve",
        "The probe of a lost database wrote nothing, so that a full disk looked like a free one.",
        SQLITE,
        14,
        (Step(10, Do.FILL_DISK, 0), Step(20, Do.FREE_DISK, 0, patience_seconds=0.5)),
    ),
    KeptRound(
        "workers end with their server",
        "A worker whose server was killed while it answered wrote a traceback into the log.",
        SQLITE,
        60,
        (
            Step(12, Do.KILL, 0),
            Step(13, Do.START, 0, patience_seconds=0.1),
            Step(25, Do.KILL, 0),
            Step(26, Do.START, 0, patience_seconds=0.1),
            Step(38, Do.KILL, 0),
            Step(39, Do.START, 0, patience_seconds=0.1),
        ),
    ),
    KeptRound(
        "finding that comes back begins anew",
        "The images of occurrences that a policy had ruled out came back with a new occurrence.",
        SQLITE,
        107,
        (Step(6, Do.CHANGE_POLICY, 0), Step(16, Do.CHANGE_POLICY, 1)),
        (
            RuleChange(RuleConfig(mode=Mode.STRICT)),
            RuleChange(RuleConfig(window=timedelta(seconds=60))),
        ),
    ),
    KeptRound(
        "server that cannot commit does not say that it serves",
        "With room for the probe and none for a commit, a server called itself serving at times.",
        SQLITE,
        2019,
        (
            Step(3, Do.REFUSE_WRITES, 0),
            Step(4, Do.ALLOW_WRITES, 0),
            Step(18, Do.DRAIN, 0),
            Step(28, Do.START, 0),
            Step(29, Do.REFUSE_WRITES, 0),
            Step(30, Do.ALLOW_WRITES, 0),
        ),
    ),
)

"""What may go once retention is reached, and what may not: the end of a round in which time passed.

Records wait for the window and the lateness from their arrival, and until then for every pair they
make. Findings outlast them, however shortly they are kept. What comes once more after both have
gone makes the same findings again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from amiguard_client.packing import Records
from tests.robustness.ageing import Ages
from tests.robustness.operators import Tuned
from tests.robustness.oracle import ServerView, fetch_findings, find_differences
from tests.robustness.stage import Stage
from tests.robustness.waiting import holds_within

_MARGIN = timedelta(minutes=4)
"""What is left of the wait when nothing may have gone: more than a round takes."""
_BATCH_RECORDS = 200
_PATIENCE_SECONDS = 30


def check_expiry(stage: Stage, tuned: Tuned) -> list[str]:
    """Returns what went too early, too late or wrongly once time passes until all has expired."""
    rule = tuned.policy.rule
    horizon = rule.window + rule.lateness
    before = _etags(stage)
    with Ages.open(stage.url) as ages:
        problems = [] if rule.window < 2 * _MARGIN else _approach(stage, ages, horizon, before)
        ages.let_pass(horizon)
        if not holds_within(lambda: not ages.count_waiting(), _PATIENCE_SECONDS):
            problems.append(f"{ages.count_waiting()} records wait for ever")
        ages.await_sweep()
        expected = {} if stage.plan.surroundings.keeps_findings_shortly else before
        if not holds_within(lambda: _etags(stage) == expected, _PATIENCE_SECONDS):
            problems.append("findings went or stayed that should not have when records expired")
    return problems + _deliver_again(stage, tuned)


def _approach(stage: Stage, ages: Ages, horizon: timedelta, before: Mapping[str, str]) -> list[str]:
    """Lets time pass until shortly before the first record may go."""
    oldest, count = ages.oldest_arrival(), ages.count_waiting()
    if oldest is None:
        return []
    ages.let_pass(oldest + horizon - _MARGIN - datetime.now(UTC))
    ages.await_sweep()
    problems = []
    if ages.count_waiting() != count:
        problems.append(f"{count - ages.count_waiting()} records went before their time")
    if _etags(stage) != before:
        problems.append("findings went before what they were made of")
    return problems


def _deliver_again(stage: Stage, tuned: Tuned) -> list[str]:
    records = stage.plan.records
    with stage.client(stage.replicas[-1]) as client:
        for start in range(0, len(records), _BATCH_RECORDS):
            batch = Records(records[start : start + _BATCH_RECORDS])
            client.submit_batch(batch, source="once-more")
        differences = find_differences(ServerView(client), records, tuned)
    return [f"once more: {difference}" for difference in differences]


def _etags(stage: Stage) -> dict[str, str]:
    with stage.client(stage.replicas[0]) as client:
        return {name: finding.etag for name, finding in fetch_findings(client).items()}

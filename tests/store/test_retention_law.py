"""The law of retention: what is deleted in time changes no finding."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from amiguard_core.events import Launch, Search
from amiguard_core.pipeline import find
from amiguard_core.policy import CorrelateBy, Policy, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.retention import Retention, SweepLimits
from tests.store.clock import ManualClock
from tests.store.test_laws import clear, put_policy, summary_of_core, summary_of_stored
from tests.store.values import NOON, batch, launch, origin, search

WINDOW, LATENESS = 60, 120
POLICY = Policy(
    rule=RuleConfig(
        window=timedelta(seconds=WINDOW),
        lateness=timedelta(seconds=LATENESS),
        correlate_by=CorrelateBy.ROLE,
    )
)
SESSIONS = [f"arn:aws:sts::111122223333:assumed-role/ci/{name}" for name in ("one", "two")]

AT_ONCE = Retention(waiting=timedelta(0))

Delivery = tuple[int, Search | Launch]
"""A second of arrival, and what arrives in it."""


@st.composite
def deliveries(draw: DrawFn) -> list[Delivery]:
    """Draws records, each delivered once or more within the lateness, in order of arrival."""
    arrivals: list[Delivery] = []
    for number in range(draw(st.integers(1, 4))):
        # In couples, of which one comes at once and the other at the last moment: drawn one by one,
        # hardly any would be in danger.
        second, gap = draw(st.sampled_from((0, WINDOW))), draw(st.sampled_from((0, WINDOW)))
        session = draw(st.sampled_from(SESSIONS))
        searched = origin(f"s{number}", second, principal=session)
        launched = origin(f"l{number}", second + gap, principal=session)
        delays = draw(st.sampled_from(((0, LATENESS), (LATENESS, 0))))
        couple: list[Delivery] = [
            (second, search(searched, draw(st.sampled_from(("acme-*", "acme-base"))))),
            (second + gap, launch(launched)),
        ]
        for (made, record), delay in zip(couple, delays, strict=True):
            again = max(delay, draw(st.sampled_from((0, 1, WINDOW, LATENESS - 1, LATENESS))))
            arrivals += [(made + after, record) for after in {delay, again}]
    return sorted(arrivals, key=lambda delivery: delivery[0])


@pytest.mark.category("retention")
def test_sweeps_change_no_finding(engine: Engine, clock: ManualClock) -> None:
    """Swept at any time while records come within the lateness, the store equals the core."""
    deleted = 0

    @settings(max_examples=60)
    @given(arrivals=deliveries(), max_rows=st.integers(1, 3), data=st.data())
    def law(arrivals: list[Delivery], max_rows: int, data: st.DataObject) -> None:
        nonlocal deleted
        clear(engine)
        # The rule that was there first is long over: what came under it waits by it.
        clock.now = NOON - timedelta(days=2)
        put_policy(engine, POLICY)
        for second, record in arrivals:
            clock.now = NOON + timedelta(seconds=second)
            # Stopped after any step or none: what may go may also stay.
            for _ in range(data.draw(st.sampled_from((0, 1, 30, 30)))):
                report = engine.sweep(clock.now, SweepLimits(AT_ONCE, max_rows=max_rows))
                deleted += report.waiting_count
                if not report.has_more:
                    break
            engine.commit([batch(record)])

        searches = [record for _, record in arrivals if isinstance(record, Search)]
        launches = [record for _, record in arrivals if isinstance(record, Launch)]
        expected = [summary_of_core(finding) for finding in find(searches, launches, POLICY)]
        stored = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=100)
        found = [summary_of_stored(engine, finding) for finding in stored]
        assert sorted(found, key=str) == sorted(expected, key=str)

    law()

    assert deleted > 0

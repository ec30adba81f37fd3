"""Laws of what is said to be wrong with where findings are delivered to."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from amiguard_service.coverage_book import CoverageQuery
from amiguard_service.diagnosis import SINK_LAG, Code, Severity, diagnose_sinks
from amiguard_service.engine import Engine, read_clock
from amiguard_service.sinks import SinkProgress
from tests.service.operating import occur
from tests.store.test_sinks import DOWN, deliver
from tests.store.values import NOON

WELL = SinkProgress(
    sink_id="siem",
    failure_count=0,
    resume_time=None,
    delivered_count=5,
    last_delivery_time=NOON,
    last_error_time=NOON,
    last_error="HTTP 503",
    pending_count=0,
    oldest_pending_time=None,
    dead_letter_count=0,
)


def test_sink_that_keeps_up_is_no_news() -> None:
    """Neither a failure of the past nor what has just come in."""
    busy = replace(WELL, pending_count=9, oldest_pending_time=NOON)

    assert diagnose_sinks([WELL, busy], now=NOON + SINK_LAG - timedelta(seconds=1)) == ()


@pytest.mark.parametrize(
    ("failure_count", "why"),
    [(3, "its last failure was: HTTP 503."), (0, "no server sends it.")],
)
def test_sink_that_something_waits_for_is_told_with_the_reason(
    failure_count: int, why: str
) -> None:
    """How much, how long, why, and how to see whether it is mended."""
    late = replace(WELL, pending_count=2, oldest_pending_time=NOON, failure_count=failure_count)

    (found,) = diagnose_sinks([late], now=NOON + timedelta(hours=3))

    assert (found.code, found.severity) == (Code.SINK_FAILING, Severity.WARNING)
    assert "2 findings wait for the sink siem, the oldest for 3 h" in found.message
    assert why in found.message
    assert "amiguardctl sinks test siem" in found.message


def test_dead_letters_are_findings_missed() -> None:
    """Nobody sends them any more unless a person asks."""
    (found,) = diagnose_sinks([replace(WELL, dead_letter_count=1)], now=NOON)

    assert (found.code, found.severity) == (Code.DEAD_LETTERS, Severity.ERROR)
    assert "1 finding was not delivered to the sink siem" in found.message
    assert "sinks retry siem" in found.message


def test_report_of_everything_tells_of_sinks(engine: Engine) -> None:
    """Whoever asks what is wrong hears of it, but not on every page or of one region."""
    engine.sinks.add(["siem"])
    occur(engine)
    deliver(engine, DOWN)
    engine._database.clocks._clock = lambda: read_clock() + timedelta(hours=1)

    def codes(query: CoverageQuery) -> set[Code]:
        return {diagnosis.code for diagnosis in engine.coverage.report(query).diagnoses}

    assert Code.SINK_FAILING in codes(CoverageQuery(limit=10))
    assert Code.SINK_FAILING not in codes(CoverageQuery(limit=10, region="eu-west-1"))

"""Rounds of everything breaking at once; `make robustness` runs more of them."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.robustness.faults import BACKENDS, FAULTS
from tests.robustness.plan import Plan, draw_plan
from tests.robustness.rounds import open_backends, run_round
from tests.robustness.seeds import KEPT, KeptRound
from tests.robustness.stage import Backends

FIXED = {"sqlite": (20, 48, 117), "postgresql": (12, 20, 34, 45)}
"""Seeds whose rounds, taken together, hold every fault."""
SEED_BITS = 32

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    """A PostgreSQL of their own for all rounds, and a migrated SQLite file."""
    with open_backends(*BACKENDS) as opened:
        yield opened


def play(plan: Plan, backends: Backends, keep: Path) -> None:
    """Plays a plan; fails, with all there is to know, where a promise was broken."""
    report = run_round(plan, backends, keep=keep)
    for what in report.left_out:
        sys.stderr.write(f"left out: {what}\n")

    assert not report.problems, "\n".join([plan.describe(), *report.problems])


@pytest.mark.parametrize("backend", BACKENDS)
def test_fixed_rounds_hold_every_fault(backend: str) -> None:
    """Whatever can go wrong goes wrong in every run of the tests."""
    faults = {fault for seed in FIXED[backend] for fault in draw_plan(seed, backend).faults}

    assert faults == set(FAULTS[backend])


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name.replace(" ", "-"))
def test_what_was_found_once_stays_mended(
    kept: KeptRound, backends: Backends, tmp_path: Path
) -> None:
    """A round that failed once is played for ever."""
    play(kept.plan(), backends, tmp_path)


@pytest.mark.parametrize(
    ("backend", "seed"), [(backend, seed) for backend in BACKENDS for seed in FIXED[backend]]
)
def test_nothing_is_lost_or_doubled(
    backend: str, seed: int, backends: Backends, tmp_path: Path
) -> None:
    """What is acknowledged is stored once, what is stored is what the rule says, all are told."""
    play(draw_plan(seed, backend), backends, tmp_path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_lost_or_doubled_by_chance(
    backend: str, backends: Backends, tmp_path: Path
) -> None:
    """The same in a round that nobody has seen; its seed stands in the failure."""
    play(draw_plan(secrets.randbits(SEED_BITS), backend), backends, tmp_path)

"""Plants known faults in the servers, and says in which round each is noticed.

`python tests/robustness/planted.py` plays rounds in which a fault can show until one fails. It ends
with 1 where one of them stays unnoticed: the harness then cannot see what it is there for.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from tests.robustness.faults import BACKENDS
from tests.robustness.plan import Plan, draw_plan
from tests.robustness.planted_faults import PLANTED, Planted
from tests.robustness.rounds import open_backends, run_round
from tests.robustness.stage import Backends

_FIRST_SEED = 5_000
_LONG_MS = 1_000
"""Pauses that are long enough for a narrow interleaving."""
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True)
class Notice:
    """Which round noticed a fault, how many were played until then, and what it said."""

    seed: int
    round_count: int
    problem: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each fault and backend; returns 1 if one was not noticed."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each at most")
    parser.add_argument("--seed", type=int, default=_FIRST_SEED, help="where to begin")
    parser.add_argument("--only", nargs="+", choices=sorted(PLANTED), default=sorted(PLANTED))
    parser.add_argument("--backend", choices=BACKENDS, default=None)
    chosen = parser.parse_args(arguments)
    unnoticed = 0
    wanted = BACKENDS if chosen.backend is None else (chosen.backend,)
    with open_backends(*wanted) as backends:
        for name in chosen.only:
            for backend in set(PLANTED[name].backends) & set(wanted):
                plans = islice(
                    plans_for(PLANTED[name], backend, first_seed=chosen.seed), chosen.rounds
                )
                notice = find_notice(plans, name, backends)
                unnoticed += notice is None
                sys.stdout.write(f"{name}, {backend}: {_tell(notice, chosen.rounds)}\n")
                sys.stdout.flush()
    return 1 if unnoticed else 0


def plans_for(planted: Planted, backend: str, *, first_seed: int) -> Iterator[Plan]:
    """Yields plans of seeds in a row, of those alone in which the fault can show."""
    for seed in count(first_seed):
        plan = draw_plan(seed, backend)
        if _can_show(planted, plan):
            yield plan


def _can_show(planted: Planted, plan: Plan) -> bool:
    has_pauses = plan.surroundings.pauses.long_ms >= _LONG_MS
    has_fault = planted.needs is None or planted.needs in plan.faults
    return has_fault and (has_pauses or not planted.needs_pauses)


def find_notice(plans: Iterator[Plan], name: str, backends: Backends) -> Notice | None:
    """Returns the first round that fails with a fault planted, and passes without; None if none."""
    for number, plan in enumerate(plans, start=1):
        report = run_round(plan, backends, planted=name)
        if report.problems and not run_round(plan, backends).problems:
            return Notice(plan.seed, number, report.problems[0])
    return None


def _tell(notice: Notice | None, round_count: int) -> str:
    if notice is None:
        return f"NOT NOTICED in {round_count} rounds"
    said = " ".join(notice.problem.split())[:_SHOWN_CHARACTERS]
    return f"noticed in round {notice.round_count} (seed {notice.seed}): {said}"


if __name__ == "__main__":
    sys.exit(main())

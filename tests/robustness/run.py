"""Runs rounds from the command line: `python tests/robustness/run.py --rounds 20`."""

from __future__ import annotations

import secrets
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.robustness.faults import BACKENDS, Fault
from tests.robustness.kept import check
from tests.robustness.plan import draw_plan
from tests.robustness.rounds import Report, open_backends, run_round
from tests.robustness.stage import Backends

RANDOM = "random"
_SEED_BITS = 32
_EXIT_TERMINATED = 128 + signal.SIGTERM
_KEPT = Path("build", "robustness")
"""Where failed rounds are kept, each in a folder of its backend and its seed."""
_SHOWN_PROBLEMS = 20
_SHOWN_CHARACTERS = 4_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs rounds, one line each; returns 1 if one failed."""
    chosen = _parse(arguments)
    if chosen.check is not None:
        problems = check(chosen.check)
        _say("\n".join(problems) or "what is stored is what the history asks for")
        return 1 if problems else 0
    # Whoever ends it leaves no server and no mount behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_EXIT_TERMINATED))
    backends = BACKENDS if chosen.backend == "both" else (chosen.backend,)
    first = secrets.randbits(_SEED_BITS) if chosen.seed is None else chosen.seed
    happened: Counter[Fault] = Counter()
    failed = 0
    with open_backends(*backends) as shared:
        for seed in range(first, first + chosen.rounds):
            for backend in backends:
                faults, report = _run(seed, backend, shared)
                happened.update(faults)
                failed += bool(report.problems)
                if failed and not chosen.keep_going:
                    return 1
    counts = ", ".join(f"{fault} {count}" for fault, count in sorted(happened.items()))
    _say(f"{chosen.rounds * len(backends)} rounds, {failed} failed; faults: {counts}")
    return 1 if failed else 0


def _run(seed: int, backend: str, shared: Backends) -> tuple[Sequence[Fault], Report]:
    plan = draw_plan(seed, backend)
    try:
        kept = _KEPT / f"{backend}-{seed}"
        report = run_round(plan, shared, keep=kept)
    except BaseException:
        _say(plan.describe())
        raise
    outcome = f"{len(report.problems)} PROBLEMS" if report.problems else "OK"
    _say(
        f"{backend} seed {seed}: {', '.join(plan.faults)}; {len(plan.records)} records in "
        f"{report.ack_count} acks, {report.seconds:.1f} s: {outcome}"
    )
    for what in report.left_out:
        _say(f"  left out: {what}")
    if report.problems:
        _say(plan.describe())
        for problem in report.problems[:_SHOWN_PROBLEMS]:
            _say(f"  {problem[:_SHOWN_CHARACTERS]}")
        _say(f"  again: make robustness ROUNDS=1 SEED={seed} BACKEND={backend}")
        _say(f"  kept: {kept}; check it with python tests/robustness/run.py --check {kept}")
    return plan.faults, report


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description="Breaks everything around the servers, round after round.")
    parser.add_argument("--backend", choices=[*BACKENDS, "both"], default="both")
    parser.add_argument("--rounds", type=int, default=20, help="rounds on each backend")
    parser.add_argument("--seed", type=_seed, default=None, help="of the first round, or `random`")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a failed round")
    parser.add_argument(
        "--check", type=Path, metavar="FOLDER", help="check a failed round that was kept, once more"
    )
    return parser.parse_args(arguments)


def _seed(text: str) -> int | None:
    if text == RANDOM:
        return None
    if not text.isdecimal():
        raise ArgumentTypeError(f"got {text!r}, expected a number or {RANDOM}")
    return int(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Measures throughput and latency, as ratios of what the same run measured beside them.

`--only` names benchmarks; `--quick` takes less of everything, for a look rather than a figure.
`scale` comes last and takes as long as all others together, several times: it fills databases with
millions of rows, 10 GB each.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from typing import Final

from tests.bench import entries, hunt, ingest, relevant, scale
from tests.bench.figures import Figure, at_least, table


def _ingest(*, quick: bool) -> Iterator[Figure]:
    count = 20_000 if quick else 100_000
    rounds = [ingest.measure(count, seed=10 * n) for n in range(1, 4 if quick else 6)]
    for name, ours, baseline in (
        ("records in, against a server that does nothing", "records", "nothing"),
        ("log files in, against a loop in one process", "log_files", "bare_loop"),
    ):
        yield Figure(
            name=name,
            unit="records/s",
            ours=median(count / getattr(done, ours) for done in rounds),
            baseline=median(count / getattr(done, baseline) for done in rounds),
            ratio=median(getattr(done, baseline) / getattr(done, ours) for done in rounds),
            wanted=at_least(0.5),
        )


def _scale(*, quick: bool, size: str) -> Iterator[Figure]:
    return scale.measure(scale="quick" if quick else size)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs benchmarks and prints one table; returns 1 where a figure falls short."""
    names = ("ingest", "hunt", "relevant", "entries", "scale")
    parser = ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--scale", choices=scale.SCALES, default="full")
    chosen = parser.parse_args(arguments)
    benchmarks: Final[dict[str, Callable[..., Iterator[Figure]]]] = {
        "ingest": _ingest,
        "hunt": hunt.measure,
        "relevant": relevant.measure,
        "entries": entries.measure,
        "scale": partial(_scale, size=chosen.scale),
    }
    figures: list[Figure] = []
    for name in chosen.only:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        measured = []
        for figure in benchmarks[name](quick=chosen.quick):
            print(f"  {figure.name}", file=sys.stderr, flush=True)
            measured.append(figure)
        print(table(measured), flush=True)
        figures += measured
    return 0 if all(figure.wanted.is_met_by(figure.ratio) for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

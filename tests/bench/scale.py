"""What a record and a page cost in a full store, against a nearly empty one.

`python -m tests.bench.scale` measures commits of 500 records each, of principals drawn from all in
the store, and pages of findings, on each database, the full and the empty one in turn. The full
store has 10 million waiting records and a million findings; SMALL has a tenth, QUICK a hundredth.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from statistics import mean
from time import perf_counter
from typing import Final

from amiguard_service.allocator import tune_collector
from amiguard_service.engine import Engine
from tests.bench import listing
from tests.bench.databases import BACKENDS, databases
from tests.bench.figures import Figure, at_most, table
from tests.bench.population import RECORDS_PER_PRINCIPAL, Population
from tests.bench.relevant import BATCH_RECORDS, new_batches
from tests.bench.stock import fill

SCALES: Final = {"full": 1_000_000, "small": 100_000, "quick": 10_000}
"""Findings by scale."""

FEW: Final = 1_000
COMMITS: Final = 40
LIST_ROUNDS: Final = 5


def measure(*, scale: str = "full", backends: Sequence[str] = BACKENDS) -> Iterator[Figure]:
    """Gives the cost of a record and of pages on each database."""
    populations = Population(FEW), Population(SCALES[scale])
    for backend in backends:
        with databases(backend) as make_database:
            few_url, many_url = make_database(), make_database()
            fill(few_url, populations[0])
            fill(many_url, populations[1])
            few, many = Engine.open(few_url), Engine.open(many_url)
            name = f"{backend}, {_described(populations[1])}:"
            yield from listing.measure(few, many, populations, rounds=LIST_ROUNDS, name=name)
            yield _measure_commits(few, many, populations, name=name)
            few.close()
            many.close()


def _measure_commits(
    few: Engine, many: Engine, populations: tuple[Population, Population], *, name: str
) -> Figure:
    few_batches, many_batches = (new_batches(p, COMMITS + 2, seed=2) for p in populations)
    tune_collector()  # as a server does
    timed = []
    for few_batch, many_batch in zip(few_batches, many_batches, strict=True):
        times = []
        for engine, batch in ((few, few_batch), (many, many_batch)):
            started_at = perf_counter()
            engine.commit([batch])
            times.append((perf_counter() - started_at) / BATCH_RECORDS * 1e6)
        timed.append(times)
    # The first two warm up. Now and then a commit folds the log into the database, for all.
    few_cost, many_cost = (mean(column) for column in zip(*timed[2:], strict=True))
    return Figure(
        f"{name} commit", "us/record", many_cost, few_cost, many_cost / few_cost, at_most(1.3)
    )


def _described(population: Population) -> str:
    return f"{population.size * RECORDS_PER_PRINCIPAL:,} records {population.size:,} findings"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures at a scale given on the command line."""
    parser = ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--backend", choices=BACKENDS, action="append")
    chosen = parser.parse_args(arguments)
    print(table(measure(scale=chosen.scale, backends=chosen.backend or BACKENDS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

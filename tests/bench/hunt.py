"""How fast `amiguardctl hunt` reads an archive, against DuckDB: `python -m tests.bench.hunt`.

Both are processes of their own and read the same log files in gzip with two workers or threads, in
turn; one record in a hundred is a search or a launch. Of DuckDB's queries the fastest is taken.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.bench.duckdb_hunt import QUERIES, THREADS
from tests.bench.figures import Figure, at_least, table
from tests.data.bench import write_bench_files

RECORDS_PER_FILE = 500
RELEVANT_SHARE = 0.01


def measure(*, quick: bool = False) -> Iterator[Figure]:
    """Gives the records a second of both, the median of several rounds."""
    file_count, rounds = (80, 3) if quick else (300, 3)
    with TemporaryDirectory(prefix="amiguard-bench-") as name:
        directory = Path(name)
        write_bench_files(
            directory,
            files=file_count,
            records_per_file=RECORDS_PER_FILE,
            relevant_share=RELEVANT_SHARE,
            seed=1,
        )
        relevant_count = int(file_count * RECORDS_PER_FILE * RELEVANT_SHARE)
        fastest = min(QUERIES, key=lambda query: _duckdb(query, directory, relevant_count))
        pairs = [
            (_hunt(directory, relevant_count), _duckdb(fastest, directory, relevant_count))
            for _ in range(rounds)
        ]
    count = file_count * RECORDS_PER_FILE
    yield Figure(
        name=f"hunt, against DuckDB ({fastest})",
        unit="records/s",
        ours=count / median(ours for ours, _ in pairs),
        baseline=count / median(theirs for _, theirs in pairs),
        ratio=median(theirs / ours for ours, theirs in pairs),
        wanted=at_least(2),
    )


def _hunt(directory: Path, relevant_count: int) -> float:
    command = [sys.executable, "-m", "amiguard_client.cli", "hunt", str(directory)]
    command += ["--jobs", str(THREADS), "-o", "json"]
    started_at = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = perf_counter() - started_at
    counts = re.search(r"([\d,]+) search\w*  ([\d,]+) launch", done.stderr)
    assert counts is not None
    assert relevant_count == sum(int(text.replace(",", "")) for text in counts.groups())
    return seconds


def _duckdb(query: str, directory: Path, relevant_count: int) -> float:
    command = [sys.executable, "-m", "tests.bench.duckdb_hunt", query, str(directory)]
    started_at = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = perf_counter() - started_at
    assert relevant_count == int(done.stdout)
    return seconds


if __name__ == "__main__":
    print(table(measure()))

"""How fast records come in, as a share of what the transport and one process allow.

`python -m tests.bench.ingest` prints two ratios, each the median of several rounds:

- `records`: batches of 500 records, against a server that acks and does nothing;
- `log_files`: log files in gzip, against a loop in one process that inflates and decodes them.

Server and client are processes of this machine. One record in a hundred is a search or a launch,
ids are new in every round, and the database is a SQLite file that is written through to the disk.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Semaphore
from time import perf_counter, sleep

import grpc

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.data.bench import bench_records, write_bench_files
from tests.data.log_files import log_content

BATCH_RECORDS = 500
RELEVANT_SHARE = 0.01
START_SECONDS = 30
WARM_UP_BATCHES = 20


@dataclass(frozen=True, slots=True)
class Round:
    """The seconds that each took for the same records."""

    nothing: float
    records: float
    bare_loop: float
    log_files: float

    @property
    def records_ratio(self) -> float:
        """The share of a server that does nothing."""
        return self.nothing / self.records

    @property
    def log_files_ratio(self) -> float:
        """The share of a loop in one process."""
        return self.bare_loop / self.log_files


def measure(record_count: int, *, seed: int) -> Round:
    """Runs one round."""
    with TemporaryDirectory(prefix="amiguard-bench-") as directory:
        files = write_bench_files(
            Path(directory),
            files=record_count // BATCH_RECORDS,
            records_per_file=BATCH_RECORDS,
            relevant_share=RELEVANT_SHARE,
            seed=seed,
        )
        records = as_batches(record_count, seed=seed + 1)
        log_files = [
            wire.EventBatch(sequence=number, log_file=path.read_bytes())
            for number, path in enumerate(files, start=1)
        ]
        bare_loop = float(_output_of("tests.bench.bare_loop", directory))
    with nothing_server() as target:
        nothing = submit(target, records)
    with our_server() as target:
        records_seconds = submit(target, records)
    with our_server() as target:
        log_files_seconds = submit(target, log_files)
    return Round(nothing, records_seconds, bare_loop, log_files_seconds)


def as_batches(record_count: int, *, seed: int) -> list[wire.EventBatch]:
    """Returns records one by one, in batches."""
    records = bench_records(record_count, relevant_share=RELEVANT_SHARE, seed=seed)
    starts = range(0, record_count, BATCH_RECORDS)
    return [
        wire.EventBatch(
            sequence=number, records=wire.RecordList(records=records[start : start + BATCH_RECORDS])
        )
        for number, start in enumerate(starts, start=1)
    ]


@contextmanager
def nothing_server() -> Iterator[str]:
    """Runs a server that does nothing and gives its address."""
    command = [sys.executable, "-m", "tests.bench.nothing_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            target = f"127.0.0.1:{process.stdout.readline().strip()}"
            _warm_up(target)
            yield target
        finally:
            process.terminate()


@contextmanager
def our_server() -> Iterator[str]:
    """Runs our server on a new database and gives its address."""
    with TemporaryDirectory(prefix="amiguard-bench-") as directory:
        ready = Path(directory, "ready")
        command = [sys.executable, "-m", "amiguard_service.main", "serve", "--insecure"]
        command += ["--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        command += ["--database", f"sqlite:///{directory}/amiguard.db", "--log-level", "warning"]
        with subprocess.Popen(command) as process:
            try:
                target = _await_address(ready, process)
                _warm_up(target)
                yield target
            finally:
                process.terminate()


def submit(target: str, batches: Sequence[wire.EventBatch]) -> float:
    """Submits batches within the window of the server and returns the seconds to the last ack."""
    messages = [wire.SubmitEventsRequest(batch=batch) for batch in batches]
    opening = wire.SubmitEventsRequest(open=wire.OpenStream(source="bench"))
    room = Semaphore(0)

    def requests() -> Iterator[wire.SubmitEventsRequest]:
        yield opening
        for message in messages:
            room.acquire()
            yield message

    with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(START_SECONDS)
        acked_count = 0
        started_at = perf_counter()
        for response in IngestServiceStub(channel).SubmitEvents(requests()):
            if response.HasField("ack"):
                assert not response.ack.rejected_count
                acked_count += 1
                room.release()
            else:
                room.release(response.opened.max_batches_in_flight)
        seconds = perf_counter() - started_at
    assert acked_count == len(batches)
    return seconds


def _warm_up(target: str) -> None:
    """Submits some of each kind, so that what is made once is there before anything is measured."""
    records = as_batches(WARM_UP_BATCHES * BATCH_RECORDS, seed=0)
    submit(target, records)
    submit(
        target,
        [
            wire.EventBatch(
                sequence=batch.sequence, log_file=gzip.compress(log_content(batch.records.records))
            )
            for batch in records
        ],
    )


def _await_address(ready: Path, process: subprocess.Popen[bytes]) -> str:
    give_up_at = perf_counter() + START_SECONDS
    while not ready.exists():
        if process.poll() is not None or perf_counter() > give_up_at:
            raise RuntimeError("the server did not start")
        sleep(0.01)
    return ready.read_text(encoding="utf-8").strip()


def _output_of(module: str, argument: str) -> str:
    command = [sys.executable, "-m", module, argument]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures as asked on the command line, prints each round and the medians."""
    parser = ArgumentParser(prog="python -m tests.bench.ingest", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=100_000, help="records of each round")
    chosen = parser.parse_args(arguments)
    rounds = []
    for number in range(chosen.rounds):
        done = measure(chosen.records, seed=10 * (number + 1))
        rounds.append(done)
        print(
            f"round {number + 1}: records {done.records_ratio:.2f}"
            f" ({chosen.records / done.records:,.0f}/s of {chosen.records / done.nothing:,.0f}/s),"
            f" log files {done.log_files_ratio:.2f}"
            f" ({chosen.records / done.log_files:,.0f}/s"
            f" of {chosen.records / done.bare_loop:,.0f}/s)",
            flush=True,
        )
    print(f"records: {median(r.records_ratio for r in rounds):.2f}")
    print(f"log_files: {median(r.log_files_ratio for r in rounds):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

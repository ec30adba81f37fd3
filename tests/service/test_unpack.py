"""Laws of unpacking: in this process, in another one, and in one that dies."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import Decoded, decode_records
from amiguard_core.events import LaunchPath
from amiguard_service import unpack as unpack_module
from amiguard_service import unpack_pool
from amiguard_service.unpack import Job, unpack
from amiguard_service.unpack_pool import UnpackError, UnpackPool
from amiguard_service.unpack_worker import LENGTH, Answer, Done, Failed, answer, serve
from tests.service.talking import LAUNCH, PAIR, SEARCH, log_text

T = TypeVar("T")

DEADLY = b"deadly"
"""What a stand-in for a worker dies of."""
ENDLESS = b"endless"
"""What it never comes to an end with."""
MOODY = f"""
import os, sys
from amiguard_service import unpack_worker
from amiguard_service.unpack_worker import LENGTH
jobs = sys.stdin.buffer
while len(head := jobs.read(LENGTH.size)) == LENGTH.size:
    job = jobs.read(*LENGTH.unpack(head))
    if {DEADLY!r} in job:
        os._exit(1)
    if {ENDLESS!r} in job:
        sys.stdin.buffer.read()
    answered = unpack_worker.answer(job)
    sys.stdout.buffer.write(LENGTH.pack(len(answered)) + answered)
    sys.stdout.buffer.flush()
"""


def job(payload: bytes | list[bytes]) -> Job:
    """Makes a job with the usual limits."""
    return Job(
        payload=payload,
        launch_paths=(LaunchPath.RUN_INSTANCES,),
        max_records=10_000,
        max_inflated_bytes=1_000_000,
    )


def run(
    act: Callable[[UnpackPool], Awaitable[T]], *, worker_count: int = 1, seconds: float = 60
) -> T:
    """Returns what `act` gives of a pool."""

    async def pooled() -> T:
        pool = UnpackPool(worker_count)
        try:
            async with asyncio.timeout(seconds):
                return await act(pool)
        finally:
            await pool.close()

    return asyncio.run(pooled())


def paths_of(decoded: Decoded) -> list[tuple[int, str]]:
    """The index and the path of each rejection."""
    return [(rejection.index, rejection.path) for rejection in decoded.rejections]


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that die of a payload."""
    monkeypatch.setattr(unpack_pool, "_WORKER_COMMAND", (sys.executable, "-c", MOODY))


@given(st.lists(st.sampled_from([SEARCH, LAUNCH, b"{}", b"no record", b""])))
def test_a_worker_gives_what_the_core_gives(records: list[bytes]) -> None:
    """On its way through a worker a batch loses nothing."""
    decoded = decode_records(records)

    answered = msgspec.msgpack.decode(answer(msgspec.msgpack.encode(job(records))), type=Answer)

    assert Done(decoded) == answered


def test_a_log_file_is_inflated_and_decoded() -> None:
    """A log file holds the same records in gzip and as it is."""
    text = log_text(PAIR)

    plain, packed = unpack(job(text)), unpack(job(gzip.compress(text)))

    assert plain == packed
    assert plain.relevant_count == 2


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(gzip.compress(log_text(PAIR))[:12], id="cut short"),
        pytest.param(b"\x1f\x8bno gzip at all", id="damaged"),
        pytest.param(gzip.compress(bytes(1_000_001)), id="too large once inflated"),
        pytest.param(bytes(1_000_001), id="too large as it is"),
    ],
)
def test_a_log_file_that_cannot_be_read_is_one_rejection(payload: bytes) -> None:
    """A log file is set aside as a whole, with all of its bytes, and fails nothing."""
    decoded = unpack(job(payload))

    assert paths_of(decoded) == [(0, "$")]
    assert payload == decoded.rejections[0].raw


def test_a_log_file_that_is_cut_short_gives_what_is_there() -> None:
    """Records before damage are read, and the damage is one rejection behind them."""
    decoded = unpack(job(gzip.compress(log_text(PAIR))[:-9]))

    assert decoded.relevant_count == 2
    assert paths_of(decoded) == [(2, "$")]
    assert "cut short at byte" in decoded.rejections[0].message


def test_a_text_of_too_many_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large text whose values would take many times its size in memory is set aside unparsed."""
    monkeypatch.setattr(unpack_module, "MIN_SUSPECT_BYTES", 1_000)
    monkeypatch.setattr(unpack_module, "MAX_VALUES_PER_RECORD", 3)
    asked = msgspec.structs.replace(job(b'{"Records":[' + b"[]," * 400 + b"[]]}"), max_records=100)

    decoded = unpack(asked)

    assert paths_of(decoded) == [(0, "$")]
    assert "803 values" in decoded.rejections[0].message


def test_memory_that_runs_out_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file that the memory of a process cannot hold is set aside."""

    def run_out(*_arguments: object, **_options: object) -> Decoded:
        raise MemoryError

    monkeypatch.setattr(unpack_module, "decode_log_file", run_out)

    decoded = unpack(job(log_text(PAIR)))

    assert paths_of(decoded) == [(0, "$")]


def test_a_defect_of_ours_is_an_answer_too() -> None:
    """A worker that fails says why, and goes on."""
    jobs = msgspec.msgpack.encode(job([SEARCH]))
    answers = io.BytesIO()

    serve(io.BytesIO((LENGTH.pack(3) + b"???") + LENGTH.pack(len(jobs)) + jobs), answers)
    told = answers.getvalue()
    (length,) = LENGTH.unpack(told[: LENGTH.size])
    first = msgspec.msgpack.decode(told[LENGTH.size : LENGTH.size + length], type=Answer)
    second = msgspec.msgpack.decode(told[2 * LENGTH.size + length :], type=Answer)

    assert isinstance(first, Failed)
    assert Done(decode_records([SEARCH])) == second


def test_jobs_are_answered_side_by_side() -> None:
    """Each caller gets the answer to its own job, whatever is asked at the same time."""
    payloads = [log_text([SEARCH] * number) for number in range(20)]

    answers = run(
        lambda pool: asyncio.gather(*(pool.unpack(job(payload)) for payload in payloads)),
        worker_count=2,
    )

    assert list(range(20)) == [decoded.record_count for decoded in answers]


def test_a_large_payload_goes_through() -> None:
    """A payload larger than any pipe is answered as every other is."""
    raw = [b"{" + bytes(1_000) for _ in range(10_000)]

    decoded = run(lambda pool: pool.unpack(job(raw)))

    assert raw == [rejection.raw for rejection in decoded.rejections]


@pytest.mark.usefixtures("moody")
def test_a_log_file_that_kills_its_workers_is_a_rejection() -> None:
    """A log file that no worker survives is set aside, and those beside it are read."""
    payloads = [log_text([SEARCH]), DEADLY, log_text(PAIR), DEADLY, log_text([])]

    answers = run(lambda pool: asyncio.gather(*(pool.unpack(job(p)) for p in payloads)))

    assert [decoded.record_count for decoded in answers] == [1, 0, 2, 0, 0]
    assert [len(decoded.rejections) for decoded in answers] == [0, 1, 0, 1, 0]


@pytest.mark.usefixtures("moody")
def test_a_log_file_that_takes_for_ever_is_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file that no worker comes to an end with is set aside, and the next ones are read."""
    monkeypatch.setattr(unpack_pool, "MAX_JOB_SECONDS", 1.0)
    payloads = [ENDLESS, log_text(PAIR)]

    answers = run(lambda pool: asyncio.gather(*(pool.unpack(job(p)) for p in payloads)))

    assert [decoded.record_count for decoded in answers] == [0, 2]
    assert [len(decoded.rejections) for decoded in answers] == [1, 0]


@pytest.mark.usefixtures("moody")
def test_records_that_kill_their_workers_are_an_error() -> None:
    """Records one by one are not set aside for a death that one of them may have caused."""
    with pytest.raises(UnpackError):
        run(lambda pool: pool.unpack(job([DEADLY])))


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """A job whose worker is killed from outside is done by another one."""
    del tmp_path

    async def act(pool: UnpackPool) -> list[int]:
        first = await pool.unpack(job(log_text(PAIR)))
        (worker,) = pool._workers
        os.kill(worker._process.pid, signal.SIGKILL)
        second = await pool.unpack(job(log_text(PAIR)))
        return [first.record_count, second.record_count]

    counts = run(act)

    assert counts == [2, 2]


def test_a_defect_in_a_worker_is_raised() -> None:
    """What a worker failed at is raised where it was asked for."""
    broken = msgspec.structs.replace(job(b"{}"), max_records=None)

    with pytest.raises(UnpackError, match="ValidationError"):
        run(lambda pool: pool.unpack(broken))


def test_a_caller_that_goes_takes_nothing_with_it() -> None:
    """A caller that gives up while it waits leaves the worker to the others."""

    async def act(pool: UnpackPool) -> int:
        gone = [asyncio.create_task(pool.unpack(job(log_text(PAIR)))) for _ in range(10)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        return (await pool.unpack(job(log_text(PAIR)))).record_count

    count = run(act)

    assert count == 2


def test_closing_fails_who_still_waits() -> None:
    """Nobody waits for a pool that is closed."""

    async def act(pool: UnpackPool) -> bool:
        waiting = asyncio.create_task(pool.unpack(job(log_text(PAIR))))
        await asyncio.sleep(0)
        await pool.close()
        await asyncio.wait([waiting])
        return waiting.cancelled() or waiting.exception() is not None

    is_over = run(act)

    assert is_over

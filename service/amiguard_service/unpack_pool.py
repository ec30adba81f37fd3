"""Processes that unpack payloads, started as they are needed and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import msgspec
import structlog

from amiguard_core.decode import Decoded
from amiguard_service import logs
from amiguard_service.unpack import Job, over_memory, rejected
from amiguard_service.unpack_worker import LENGTH, Answer, Failed

MAX_JOBS_PER_WORKER: Final = 2
"""One that is worked on, and the next, so that a worker never waits for it."""

MAX_JOB_SECONDS: Final = 10.0
"""How long a job may take, with the one before it: the largest log file of real records takes a
twentieth of it. A worker that takes longer is killed."""

_WORKER_COMMAND: Final = (sys.executable, "-P", "-m", "amiguard_service.unpack_worker")
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")
"""The environment of a worker, which reads what others chose: the server's has secrets in it."""
_PIPE_BYTES: Final = 1024 * 1024
"""Most that Linux lets anybody ask for: a log file goes through at once, not piece by piece."""
_F_SETPIPE_SZ: Final = 1031
_READ_BYTES: Final = 256 * 1024

_decode_answer = msgspec.msgpack.Decoder(Answer).decode


class UnpackError(Exception):
    """A worker failed at a payload; the text is for the log."""


class _WorkerDiedError(Exception):
    """The process ended before it answered."""


class _Worker:
    """One process and the jobs it has, oldest first."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._jobs_in = process.stdin
        self._answers = process.stdout
        self._asked: deque[asyncio.Future[Decoded]] = deque()
        self._reader = asyncio.create_task(self._read_answers())

    @classmethod
    async def start(cls) -> _Worker:
        """Starts a process."""
        process = await asyncio.create_subprocess_exec(
            *_WORKER_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_READ_BYTES,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )
        worker = cls(process)
        worker._widen_pipe()
        return worker

    @property
    def job_count(self) -> int:
        """Jobs it has not answered."""
        return len(self._asked)

    @property
    def is_alive(self) -> bool:
        """Whether it can be given jobs."""
        return not self._reader.done()

    def ask(self, job: bytes) -> asyncio.Future[Decoded]:
        """Returns the future of the answer to a job; raises _WorkerDiedError by it."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Decoded] = loop.create_future()
        patience = loop.call_later(MAX_JOB_SECONDS, self._kill)
        answer.add_done_callback(lambda _: patience.cancel())
        self._asked.append(answer)
        self._jobs_in.writelines((LENGTH.pack(len(job)), job))
        return answer

    async def close(self) -> None:
        """Ends the process, whatever it does."""
        self._kill()
        self._jobs_in.close()
        await asyncio.gather(self._reader, self._process.wait(), return_exceptions=True)

    async def _read_answers(self) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(await self._answers.readexactly(LENGTH.size))
                answer = _decode_answer(await self._answers.readexactly(length))
                asked = self._asked.popleft()
                if asked.done():
                    continue
                if isinstance(answer, Failed):
                    asked.set_exception(UnpackError(answer.text))
                else:
                    asked.set_result(answer.decoded)
        except asyncio.IncompleteReadError:
            pass
        finally:
            for asked in self._asked:
                if not asked.done():
                    asked.set_exception(_WorkerDiedError)

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _widen_pipe(self) -> None:
        try:
            import fcntl  # noqa: PLC0415 - there is none on Windows

            pipe = self._jobs_in.get_extra_info("pipe")
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)
        except (ImportError, OSError):
            pass  # slower, no more


class UnpackPool:
    """Unpacks payloads in other processes; used from one event loop."""

    def __init__(self, worker_count: int) -> None:
        self._worker_count = worker_count
        self._workers: list[_Worker] = []
        self._places = asyncio.Semaphore(worker_count * MAX_JOBS_PER_WORKER)
        self._starting = asyncio.Lock()
        self._apart = asyncio.Lock()
        # A caller may go at any moment; what it began here goes on, so that nothing is left behind.
        self._under_way: set[asyncio.Task[Any]] = set()
        self._log = structlog.get_logger()

    async def unpack(self, job: Job) -> Decoded:
        """Returns what a payload holds.

        A log file that kills its worker, and then one that has nothing else to do, is a rejection.
        Raises UnpackError where a worker fails in another way.
        """
        packed = msgspec.msgpack.encode(job)
        try:
            return await self._go_on(self._ask(packed))
        except _WorkerDiedError:
            self._log.warning(logs.WORKER_DIED)
        try:
            return await self._go_on(self._ask_apart(packed))
        except _WorkerDiedError:
            if isinstance(job.payload, bytes):
                return rejected(job.payload, over_memory())
            raise UnpackError("a list of records killed two workers") from None

    async def close(self) -> None:
        """Ends the processes, and fails what they were asked."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _go_on(self, work: Coroutine[Any, Any, Decoded]) -> Decoded:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Nobody may be left to ask for it.
            task.exception()

    async def _ask(self, job: bytes) -> Decoded:
        async with self._places:
            return await (await self._find_worker()).ask(job)

    async def _ask_apart(self, job: bytes) -> Decoded:
        """Asks a worker that is started for this job, which can take down no other with it."""
        async with self._apart:
            worker = await _Worker.start()
            try:
                return await worker.ask(job)
            finally:
                await worker.close()

    async def _find_worker(self) -> _Worker:
        """Returns the live worker with least to do, a new one while there may be more."""
        async with self._starting:
            dead = [worker for worker in self._workers if not worker.is_alive]
            self._workers = [worker for worker in self._workers if worker.is_alive]
            await asyncio.gather(*(worker.close() for worker in dead))
            found = _least_busy(self._workers)
            if (found is None or found.job_count) and len(self._workers) < self._worker_count:
                found = await _Worker.start()
                self._workers.append(found)
            assert found is not None  # noqa: S101 - there is at least one by now
            return found


def _least_busy(workers: Iterable[_Worker]) -> _Worker | None:
    return min(workers, key=lambda worker: worker.job_count, default=None)

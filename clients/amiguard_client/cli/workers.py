"""Scanning many files on all processors."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import msgspec

from amiguard_client.cli.scan import Scan, scan_files
from amiguard_client.log_folders import FoundFile
from amiguard_core.events import LaunchPath

_CHUNK_BYTES = 8 * 1024 * 1024
"""Bytes on disk of the files a worker takes at once: some tenths of a second of work."""
_MIN_BYTES_FOR_WORKERS = 4 * 1024 * 1024
"""Below this, one process is done before others have started."""
_CHUNKS_AHEAD = 4
"""Chunks per worker that wait or whose results wait, so that memory stays bounded."""

_decode = msgspec.msgpack.Decoder(Scan).decode


def available_cpus() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def scan_all(
    paths: Sequence[FoundFile], *, launch_paths: Iterable[LaunchPath], jobs: int
) -> Iterator[tuple[int, Scan]]:
    """Yields what the files hold, chunk by chunk in their order, with the files of each chunk."""
    names = tuple(launch_paths)
    chunks = list(_chunks(paths))
    if jobs == 1 or len(chunks) == 1 or sum(map(_size, paths)) < _MIN_BYTES_FOR_WORKERS:
        for chunk in chunks:
            yield len(chunk), scan_files(chunk, launch_paths=names)
        return
    with ProcessPoolExecutor(
        min(jobs, len(chunks)), mp_context=_context(), initializer=_leave_interrupts_to_the_parent
    ) as pool:
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        try:
            for chunk in chunks:
                waiting.append((len(chunk), pool.submit(_scan, chunk, names)))
                if len(waiting) >= jobs * _CHUNKS_AHEAD:
                    count, future = waiting.popleft()
                    yield count, _decode(future.result())
            while waiting:
                count, future = waiting.popleft()
                yield count, _decode(future.result())
        finally:
            for _, future in waiting:
                future.cancel()


def _scan(paths: list[FoundFile], launch_paths: tuple[LaunchPath, ...]) -> bytes:
    # msgpack of known types is some times faster than pickle, both ways.
    return msgspec.msgpack.encode(scan_files(paths, launch_paths=launch_paths))


def _chunks(paths: Iterable[FoundFile]) -> Iterator[list[FoundFile]]:
    chunk: list[FoundFile] = []
    size = 0
    for path in paths:
        chunk.append(path)
        size += _size(path)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _size(path: FoundFile) -> int:
    try:
        return path.status().st_size
    except OSError:
        return 0


def _context() -> multiprocessing.context.BaseContext:
    # Fork starts at once and is safe here: there are no threads yet, and no gRPC. Elsewhere than
    # on Linux system libraries may have threads of their own.
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

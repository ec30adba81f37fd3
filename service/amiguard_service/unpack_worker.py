"""A process that unpacks payloads: `python -m amiguard_service.unpack_worker`.

It reads jobs from its standard input and writes an answer to each, in order, to its standard
output, each behind its length; it ends with its input. It keeps the interpreter of the server free,
makes use of another core, and what hostile input can make it hold is bounded by the system.
"""

from __future__ import annotations

import signal
import sys
from struct import Struct as Layout
from traceback import format_exc
from typing import BinaryIO, Final

import msgspec

from amiguard_core.decode import Decoded
from amiguard_service import allocator
from amiguard_service.unpack import Job, unpack

LENGTH: Final = Layout("<Q")
"""What stands before each job and each answer."""

MAX_MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Address space of the process: many times what the largest log file of real records needs."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What a payload holds."""

    decoded: Decoded


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Why a payload could not be unpacked, for the log: a defect of ours, not of the payload."""

    text: str


Answer = Done | Failed


def answer(job: bytes) -> bytes:
    """Returns the answer to a job; both are MessagePack."""
    answered: Answer
    try:
        answered = Done(unpack(msgspec.msgpack.decode(job, type=Job)))
    except Exception:  # noqa: BLE001 - whoever waits needs an answer, and logs it
        answered = Failed(format_exc())
    return msgspec.msgpack.encode(answered)


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answers jobs until there are no more."""
    while len(head := jobs.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        answered = answer(jobs.read(length))
        answers.write(LENGTH.pack(len(answered)))
        answers.write(answered)
        answers.flush()


def main() -> None:
    """Serves the process that started this one."""
    # Terminals and service managers signal the whole group; the server says when to end, by closing
    # the input, and has to drain first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # A server that is killed while it is answered leaves nobody to complain to: end without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    allocator.limit_memory(MAX_MEMORY_BYTES)
    allocator.tune()
    allocator.tune_collector()
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()

"""A worker as a process: what becomes of it when its server is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from amiguard_service.unpack import Job
from amiguard_service.unpack_worker import LENGTH
from tests.service.talking import SEARCH

TIMEOUT = 30


def test_worker_whose_server_was_killed_ends_without_a_word() -> None:
    """A server may be killed while it is answered; then nobody is left to complain to."""
    payload = msgspec.msgpack.encode(Job([SEARCH] * 100, (), 1_000, 1_000_000))
    answers, answers_of_worker = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "amiguard_service.unpack_worker"],
        stdin=subprocess.PIPE,
        stdout=answers_of_worker,
        stderr=subprocess.PIPE,
    ) as worker:
        os.close(answers_of_worker)
        os.close(answers)

        _, said = worker.communicate(LENGTH.pack(len(payload)) + payload, timeout=TIMEOUT)

    assert said == b""

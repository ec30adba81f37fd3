"""A stop that meets a database which does not answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from subprocess import Popen

import grpc
import psycopg
import pytest

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_service.store.engines import _LANE_LOCK_CLASS, LOCK_COUNT
from tests.robustness.postgres import OwnPostgres, own_postgres
from tests.robustness.servers import COMMAND
from tests.robustness.waiting import wait_until
from tests.service.talking import PAIR, records

GRACE_SECONDS = 1
STOP_SECONDS = 30

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL of its own."""
    with own_postgres() as server:
        yield server


def test_stop_ends_though_a_commit_does_not(postgres: OwnPostgres, tmp_path: Path) -> None:
    """A commit that waits for somebody else's locks holds a stop up for the grace and no more."""
    url = postgres.url(postgres.make_database(empty=False))
    ready = tmp_path / "ready"
    command = [str(COMMAND), "serve", "--listen=127.0.0.1:0", "--insecure"]
    command += [f"--database={url}", f"--ready-file={ready}", f"--grace-seconds={GRACE_SECONDS}"]
    with (
        closing(psycopg.connect(url)) as somebody,
        Popen(command, stderr=subprocess.DEVNULL) as server,
    ):
        wait_until(ready.exists, "the server serves", seconds=STOP_SECONDS)
        somebody.execute(
            "SELECT pg_advisory_xact_lock(%s, key) FROM generate_series(0, %s) AS key",
            (_LANE_LOCK_CLASS, LOCK_COUNT - 1),
        )
        with grpc.insecure_channel(ready.read_text().strip()) as channel:
            request = wire.SubmitBatchRequest(source="tests", batch=records(*PAIR))
            call = IngestServiceStub(channel).SubmitBatch.future(request)
            with closing(psycopg.connect(url)) as watching:
                wait_until(lambda: is_anybody_waiting(watching), "a commit waits", seconds=10)

            server.terminate()
            try:
                server.wait(STOP_SECONDS)
            finally:
                server.kill()

            assert call.code() in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}


def is_anybody_waiting(connection: psycopg.Connection[tuple[bool]]) -> bool:
    """Says whether a transaction waits for a lock."""
    statement = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
    row = connection.execute(statement).fetchone()
    return row is not None and row[0]

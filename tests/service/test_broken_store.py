"""What a server process does with a database that was taken away or is damaged."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from amiguard_service.main import EXIT_FAILURE, EXIT_REPLACED
from tests.service.running import TIMEOUT, refusal
from tests.service.talking import PAIR, records, submit
from tests.service.test_main import Process, finding_count, run, served
from tests.service.waiting import until_in_thread
from tests.store.test_broken_store import damage, remove, replace

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def rest_of_log(server: Process) -> list[dict[str, object]]:
    """Returns what a server says until it ends by itself; its last line is no event."""
    _, log = server.process.communicate(timeout=TIMEOUT)
    *lines, last = log.decode().splitlines()
    return [*(json.loads(line) for line in lines), {"event": last}]


@pytest.mark.parametrize(
    "fault", [remove("", "-wal", "-shm"), remove("-wal"), replace], ids=["all", "log", "other"]
)
def test_server_ends_when_its_file_is_taken_away(
    tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    """It drains, with an exit code of its own, and says which file and what to do."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        submit(channel, records(*PAIR))
        fault(tmp_path / "amiguard.db")
        log = rest_of_log(server)
        code = server.process.returncode

    told = [entry for entry in log if entry["event"] == "store.replaced"]
    assert code == EXIT_REPLACED
    assert [entry["level"] for entry in told] == ["error"]
    assert "put the database in place" in str(told[0]["error"])
    assert "amiguard.db" in str(log[-1]["event"])
    assert not server.ready_file.exists()


def test_log_that_was_taken_away_costs_nothing_acknowledged(tmp_path: Path) -> None:
    """What the server holds open it folds into the database before it ends."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        submit(channel, records(*PAIR))
        (tmp_path / "amiguard.db-wal").unlink()
        assert server.process.wait(TIMEOUT) == EXIT_REPLACED
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        assert finding_count(channel) == 1


def test_damage_makes_a_server_unavailable_for_good(tmp_path: Path) -> None:
    """Callers are told UNAVAILABLE, never INTERNAL, and the log says what to do."""
    with served(tmp_path) as server, grpc.insecure_channel(server.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        with closing(sqlite3.connect(tmp_path / "amiguard.db")) as connection:
            # As where a page is overwritten that is read from the disk next.
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_schema SET rootpage = 1000000 WHERE name = 'waiting_records'"
            )
            (version,) = connection.execute("PRAGMA schema_version").fetchone()
            connection.execute(f"PRAGMA schema_version = {version + 1}")
            connection.commit()

        refused = []
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                submit(channel, records(*PAIR))
            refused.append(refusal(caught.value))
        until_in_thread(lambda: health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING)
        code, log = server.stop()

    told = [entry for entry in log if entry["event"] == "store.damaged"]
    assert {(r.code, r.reason) for r in refused} == {
        (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
    }
    assert code == 0
    assert ["restore the backup" in str(entry["error"]) for entry in told] == [True]
    assert [entry for entry in log if entry["event"] in {"rpc.failed", "task.failed"}] == []


@pytest.mark.parametrize("harm", [damage, lambda path: path.write_bytes(path.read_bytes()[:5_000])])
def test_damage_stops_the_start_with_one_line(
    migrated_sqlite: Path, tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    """Whether pages are overwritten or the file is cut."""
    path = tmp_path / "amiguard.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    harm(path)

    ended = run("serve", "--insecure", "--listen=127.0.0.1:0", f"--database=sqlite:///{path}")

    assert ended.returncode == EXIT_FAILURE
    assert ended.stderr.count("\n") == 1
    assert "the database is damaged" in ended.stderr

"""Laws of a database that goes silent: it closes nothing, and answers nobody."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Connection, make_url, text

from amiguard_service.engine import Engine
from amiguard_service.server import Capacity
from amiguard_service.store.engines import Database
from amiguard_service.store.errors import StoreUnavailableError
from tests.databases import Postgres, durable
from tests.service.running import TIMEOUT, Refused, refusal, serving
from tests.service.silence import silent_network
from tests.service.talking import PAIR, records, submit
from tests.service.test_main import served

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("deadline_seconds", [0.3, 2, 3])
def test_calls_to_a_silent_database_end_and_health_is_lost(
    postgres: Postgres, deadline_seconds: float
) -> None:
    """Nobody waits for ever: load balancers send calls elsewhere, and all is well after it.

    Whether an answer or a connection is what does not come in time.
    """
    soon = Capacity(
        probe_interval=timedelta(milliseconds=10),
        answer_deadline=timedelta(seconds=deadline_seconds),
    )
    with silent_network(postgres.clear()) as (network, url):
        engine = Engine.open(f"{url}?connect_timeout=2")
        with serving(engine, capacity=soon) as running, ThreadPoolExecutor(1) as threads:
            health = health_pb2_grpc.HealthStub(running.channel)
            watched = iter(health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT))
            told = [next(watched).status]
            network.go_silent()
            call = threads.submit(submit, running.channel, records(*PAIR))
            told.append(next(watched).status)
            refused = call.exception(TIMEOUT)
            network.go_on()
            told.append(next(watched).status)
            ack = submit(running.channel, records(*PAIR))
        engine.close()

    assert told == [SERVING, NOT_SERVING, SERVING]
    assert isinstance(refused, grpc.RpcError)
    assert refusal(refused) == Refused(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", {})
    assert ack.accepted_count == 2


@pytest.mark.parametrize("grace_seconds", [1, 3])
def test_server_of_a_silent_database_stops_in_time(
    postgres: Postgres, tmp_path: Path, grace_seconds: int
) -> None:
    """It drains, gives up on the database when its time is over, and ends well."""
    with (
        silent_network(durable(postgres.clear())) as (network, url),
        served(tmp_path, f"--database={url}", f"--grace-seconds={grace_seconds}") as server,
        grpc.insecure_channel(server.target) as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        submit(channel, records(*PAIR))
        network.go_silent()
        call = threads.submit(submit, channel, records(*PAIR))
        assert network.is_silent_after.wait(TIMEOUT)
        code, log = server.stop(signal.SIGTERM)
        refused = call.exception(TIMEOUT)

    assert code == 0, json.dumps(log)
    assert isinstance(refused, grpc.RpcError)
    assert "server.stopped" in [line["event"] for line in log]


def test_server_finds_the_host_that_takes_writes(postgres: Postgres) -> None:
    """A URL of several hosts, some of which are gone, is a database like any other."""
    with silent_network(postgres.clear()) as (network, url):
        database = make_url(url)
        hosts = f"host=127.0.0.1:1&host=127.0.0.1:{network.port}"
        several = (
            f"postgresql:///{database.database}?{hosts}&user={database.username}"
            "&target_session_attrs=read-write"
        )
        engine = Engine.open(several)

        engine.ping()

        engine.close()


def test_connection_that_is_not_made_in_time_ends_the_wait_of_others(postgres: Postgres) -> None:
    """Who waits for an answer is let go as soon as it is known that none comes."""
    asked, is_silent = Event(), Event()
    failures: list[Exception] = []

    def ask_twice(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        asked.set()
        is_silent.wait(TIMEOUT)
        connection.execute(text("SELECT 1"))

    def wait() -> None:
        try:
            database.read(ask_twice)
        except StoreUnavailableError as error:
            failures.append(error)

    with silent_network(postgres.clear()) as (network, url):
        database = Database(f"{url}?connect_timeout=2")
        waiting = Thread(target=wait)
        waiting.start()
        assert asked.wait(TIMEOUT)
        network.go_silent()
        is_silent.set()
        assert network.is_silent_after.wait(TIMEOUT)

        with pytest.raises(StoreUnavailableError, match="timeout"):
            database.check_answers()
        waiting.join(TIMEOUT)

        assert len(failures) == 1
        database.close()

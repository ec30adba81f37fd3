"""Statements that the database ends: they are their caller's, and the database is not lost."""

from __future__ import annotations

from threading import Thread

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Connection, text

from amiguard.v1 import finding_service_pb2
from amiguard_service.engine import Engine
from amiguard_service.store.engines import Database
from amiguard_service.store.errors import StatementTimeoutError, StoreConflictError
from tests.databases import Postgres
from tests.service.running import TIMEOUT, refusal, serving


def nap(connection: Connection) -> None:
    """Takes longer than is allowed."""
    connection.execute(text("SET LOCAL statement_timeout = 20"))
    connection.execute(text("SELECT pg_sleep(60)"))


def test_slow_statement_is_its_callers(postgres: Postgres) -> None:
    """It is not tried again, and says nothing about the database."""
    database = Database(postgres.clear())

    for transaction in (database.read, database.write):
        with pytest.raises(StatementTimeoutError, match="statement timeout"):
            transaction(nap)
    database.check_answers()

    database.close()


def test_cancelled_statement_is_its_callers(postgres: Postgres) -> None:
    """An administrator who cancels a statement takes no server out of service."""
    database, other = Database(postgres.clear()), Database(postgres.clear())
    failures: list[Exception] = []
    cancel = text(
        "SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND query = 'SELECT pg_sleep(60)' AND state = 'active'"
    )

    def sleep() -> None:
        try:
            database.read(lambda c: c.execute(text("SELECT pg_sleep(60)")))
        except StatementTimeoutError as error:
            failures.append(error)

    thread = Thread(target=sleep)
    thread.start()
    while thread.is_alive() and not other.read(lambda c: c.execute(cancel).scalar_one()):
        pass
    thread.join(TIMEOUT)

    assert len(failures) == 1
    database.close()
    other.close()


def test_lock_that_is_not_had_in_time_is_a_conflict(postgres: Postgres) -> None:
    """Whoever holds it is done by the next attempt."""
    database = Database(postgres.clear())
    lock = text("SELECT pg_advisory_xact_lock(1)")

    def wait_in_vain(connection: Connection) -> None:
        connection.execute(text("SET LOCAL lock_timeout = 10"))
        connection.execute(lock)

    def hold(connection: Connection) -> None:
        connection.execute(lock)
        with pytest.raises(StoreConflictError):
            database.write(wait_in_vain)

    database.write(hold)

    database.close()


def test_health_stays_though_a_list_is_too_slow(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One caller's filter takes no server out of the load balancer."""
    engine = Engine.open(postgres.clear())
    monkeypatch.setattr(engine, "list_findings", lambda *_, **__: engine._database.read(nap))
    with serving(engine) as running:
        with pytest.raises(grpc.RpcError) as caught:
            running.findings.GetFindings(finding_service_pb2.GetFindingsRequest(), timeout=TIMEOUT)
        health = health_pb2_grpc.HealthStub(running.channel)
        told = health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    engine.close()

    refused = refusal(caught.value)
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "STATEMENT_TIMEOUT",
    )
    assert told.status == health_pb2.HealthCheckResponse.SERVING

"""Laws of what load balancers and tools are told by a server at work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from amiguard_service.engine import Batch, Engine, Outcome
from amiguard_service.identity import SERVICE_ROLES
from amiguard_service.server import Capacity
from amiguard_service.store.errors import StoreUnavailableError
from tests.service.running import TIMEOUT, Running, serving
from tests.service.talking import PAIR, Talk, records, submit

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def watch(running: Running, service: str) -> Iterator[health_pb2.HealthCheckResponse]:
    """What a client that watches a service is told."""
    health = health_pb2_grpc.HealthStub(running.channel)
    request = health_pb2.HealthCheckRequest(service=service)
    return iter(health.Watch(request, timeout=TIMEOUT))


@pytest.mark.parametrize("service", ["", *SERVICE_ROLES])
def test_each_service_is_told_of(running: Running, service: str) -> None:
    """The server as a whole and each of its services can be asked about."""
    told = next(watch(running, service))

    assert told.status == SERVING


def test_an_unknown_service_is_not_found(running: Running) -> None:
    """Of a service that is not there nothing is told."""
    health = health_pb2_grpc.HealthStub(running.channel)

    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="x"), timeout=TIMEOUT)

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_lost_database_takes_the_services_out_until_it_is_back(engine: Engine) -> None:
    """While commits fail because the database is gone, load balancers send calls elsewhere."""
    commit, ping = engine.commit, engine.ping

    def fail(batches: Sequence[Batch] = ()) -> list[Outcome]:
        del batches
        raise StoreUnavailableError("gone")

    engine.commit = fail  # type: ignore[method-assign]  # in place of a network fault
    engine.ping = fail  # type: ignore[assignment]  # as above
    often = Capacity(probe_interval=timedelta(milliseconds=10))
    with serving(engine, capacity=often) as running:
        watched = watch(running, "amiguard.v1.IngestService")
        told = [next(watched).status]
        with pytest.raises(grpc.RpcError):
            submit(running.channel, records(*PAIR))
        told.append(next(watched).status)
        engine.commit, engine.ping = commit, ping  # type: ignore[method-assign]  # it is back
        told.append(next(watched).status)
        ack = submit(running.channel, records(*PAIR))

    assert told == [SERVING, NOT_SERVING, SERVING]
    assert ack.accepted_count == 2


def test_a_server_that_stops_says_so(running: Running) -> None:
    """Whoever watches a server learns that it stops before it is gone."""
    watched = watch(running, "")
    next(watched)

    stopped = running.stop(TIMEOUT)
    told = next(watched)
    stopped.result(TIMEOUT)

    assert told.status == NOT_SERVING


@pytest.mark.parametrize("grace_seconds", [step / 10_000 for step in range(12)])
def test_a_stop_goes_to_its_end_though_time_is_up(running: Running, grace_seconds: float) -> None:
    """A stream that does not leave in time is cancelled, and all the rest of the stop is done."""
    with Talk(running.channel):
        next(watch(running, ""))

        stopped = running.stop(grace_seconds)

        assert stopped.result(TIMEOUT) is None


def test_who_watches_does_not_hold_up_a_stop(running: Running) -> None:
    """A client that watches the health for ever is not waited for."""
    watched = watch(running, "")
    next(watched)

    stopped = running.stop(3_600)

    assert stopped.result(TIMEOUT) is None


def test_the_contract_can_be_asked_for(running: Running) -> None:
    """Tools learn the services and their messages from the server itself."""
    reflection = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="amiguard.v1.IngestService"),
    ]

    listed, described = reflection.ServerReflectionInfo(iter(asked), timeout=TIMEOUT)

    names = {service.name for service in listed.list_services_response.service}
    assert {*SERVICE_ROLES, "grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto

"""`amiguardctl doctor`: what is wrong, in words, and as exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from amiguard.v1 import coverage_pb2
from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_service_pb2_grpc import add_FindingServiceServicer_to_server
from amiguard_client import Client, Severity, connect
from tests.clients.cli.command_line import run
from tests.clients.live_server import Live
from tests.clients.scripted_server import Findings, reason, serve, status
from tests.store.values import batch, launch, origin

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMEOUT = 30
REGIONS = ("eu-west-1", "us-east-1")


@dataclass(slots=True)
class Covered(Findings):
    """Serves pages of what came in, one after the other."""

    pages: list[wire.GetCoverageResponse] = field(
        default_factory=lambda: [wire.GetCoverageResponse()]
    )

    def GetCoverage(  # noqa: N802 - the RPC's name
        self, request: wire.GetCoverageRequest, context: grpc.ServicerContext
    ) -> wire.GetCoverageResponse:
        self._note(request, context)
        number = int(request.page_token or 0)
        page = self.pages[number]
        page.next_page_token = str(number + 1) if number + 1 < len(self.pages) else ""
        return page


@dataclass
class Patient:
    """A server that is looked at."""

    target: str
    covered: Covered
    health: bytes | None = SERVING


@pytest.fixture
def patient() -> Iterator[Patient]:
    """A server that is well and has received nothing wrong."""
    server = grpc.server(ThreadPoolExecutor(2))
    covered = Covered()  # type: ignore[abstract]  # no test calls the other methods
    add_FindingServiceServicer_to_server(covered, server)
    found = Patient(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", covered)

    def check(_request: bytes, context: grpc.ServicerContext) -> bytes:
        if found.health is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such method")
        return found.health or b""

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    server.start()
    yield found
    server.stop(None).wait(TIMEOUT)


def diagnosis(severity: str, message: str, **about: str) -> coverage_pb2.Diagnosis:
    """Makes a diagnosis."""
    number = coverage_pb2.Diagnosis.Severity.Value(f"SEVERITY_{severity}")
    return coverage_pb2.Diagnosis(code="SOME_CODE", severity=number, message=message, **about)


def region(name: str, **more: Any) -> coverage_pb2.RegionCoverage:
    """Makes what came from a region."""
    made = coverage_pb2.RegionCoverage(
        account_id="111122223333", region=name, record_count=1_200, search_count=7, **more
    )
    made.last_arrival_time.FromDatetime(NOON)
    return made


def test_all_is_well(patient: Patient) -> None:
    """Where nothing is wrong, that is said, with what it was seen by."""
    patient.covered.pages = [
        wire.GetCoverageResponse(
            regions=[region(name) for name in REGIONS],
            sources=[coverage_pb2.SourceCoverage(source="lambda")],
        )
    ]

    result = run("--server", patient.target, "doctor")

    assert result.exit_code == 0
    assert result.stdout == (
        "All is well. 2,400 records of 1 account and 2 regions, from 1 forwarder.\n"
    )


@pytest.mark.parametrize(
    ("severities", "code", "summary"),
    [
        (["NOTE"], 0, "All is well."),
        (["WARNING"], 1, "1 problem."),
        (["NOTE", "WARNING", "ERROR"], 1, "2 problems."),
        (["UNSPECIFIED"], 1, "1 problem."),
    ],
)
def test_problems_are_told_worst_first(
    patient: Patient, severities: list[str], code: int, summary: str
) -> None:
    """Each problem is a sentence; notes alone are no failure."""
    patient.covered.pages = [
        wire.GetCoverageResponse(diagnoses=[diagnosis(s, f"This is {s}.") for s in severities])
    ]

    result = run("--server", patient.target, "doctor")

    *told, last = [line for line in result.stdout.splitlines() if line]
    worst_first = ["ERROR", "UNSPECIFIED", "WARNING", "NOTE"]
    expected = [f"This is {s}." for s in worst_first if s in severities]
    assert [line.partition("  ")[2].strip() for line in told] == expected
    assert last.startswith(summary)
    assert result.exit_code == code


def test_many_of_a_kind_are_counted(patient: Patient) -> None:
    """What is wrong in every region alike does not bury the rest; --all tells it in full."""
    alike = [diagnosis("WARNING", f"Region {n} is late.") for n in range(10)]
    patient.covered.pages = [wire.GetCoverageResponse(diagnoses=alike)]

    short = run("--server", patient.target, "doctor")
    whole = run("--server", patient.target, "doctor", "--all")

    assert short.stdout.count(" is late.") == 3
    assert "and 7 more of this kind (SOME_CODE)" in short.stdout
    assert "10 problems." in short.stdout
    assert whole.stdout.count(" is late.") == 10


def test_every_page_is_asked_for(patient: Patient) -> None:
    """What is wrong on the last page is told like what is on the first."""
    patient.covered.pages = [
        wire.GetCoverageResponse(regions=[region(name)], diagnoses=[diagnosis("ERROR", name)])
        for name in REGIONS
    ]

    result = run("--server", patient.target, "doctor")

    assert [name for name in REGIONS if name in result.stdout] == list(REGIONS)
    assert "2 problems" in result.stdout


def test_json_is_that_of_one_answer(patient: Patient) -> None:
    """`-o json` is the JSON of the contract, as if all pages had been one."""
    patient.covered.pages = [
        wire.GetCoverageResponse(regions=[region(name)], diagnoses=[diagnosis("WARNING", name)])
        for name in REGIONS
    ]

    result = run("--server", patient.target, "doctor", "-o", "json")

    response = json_format.Parse(result.stdout, wire.GetCoverageResponse())
    assert [found.region for found in response.regions] == list(REGIONS)
    assert [found.message for found in response.diagnoses] == list(REGIONS)
    assert "next_page_token" not in json.loads(result.stdout)
    assert result.exit_code == 1


def test_options_narrow_what_is_asked(patient: Patient) -> None:
    """One account or region can be looked at alone."""
    run("--server", patient.target, "doctor", "--account", "111122223333", "--region", "x")

    (request,) = patient.covered.requests
    assert isinstance(request, wire.GetCoverageRequest)
    assert (request.account_id, request.region) == ("111122223333", "x")


def test_regions_are_listed_when_asked_for(patient: Patient) -> None:
    """`--regions` shows what came from where, and from whom."""
    patient.covered.pages = [
        wire.GetCoverageResponse(
            regions=[region(name, beyond_horizon_count=3) for name in REGIONS],
            sources=[coverage_pb2.SourceCoverage(source="lambda", rejected_count=4)],
        )
    ]

    result = run("--server", patient.target, "doctor", "--regions")

    assert "eu-west-1" in result.stdout
    assert "2026-03-01 12:00:00" in result.stdout
    assert "lambda" in result.stdout


def test_what_records_say_cannot_command_the_terminal(patient: Patient) -> None:
    """Text of the server is shown, never obeyed."""
    patient.covered.pages = [
        wire.GetCoverageResponse(diagnoses=[diagnosis("NOTE", "red \x1b[31m text")])
    ]

    result = run("--server", patient.target, "doctor")

    assert "\x1b" not in result.stdout
    assert "red \\x1b[31m text" in result.stdout


class TestServer:
    """What is wrong with the server itself."""

    def test_server_that_cannot_be_reached(self) -> None:
        """Nobody at the address is exit code 3."""
        with serve() as gone:
            target = gone.target

        result = run("--server", target, "--timeout", "1s", "doctor")

        assert result.exit_code == 3
        assert "cannot be reached" in result.stderr

    def test_server_that_is_not_well(self, patient: Patient) -> None:
        """A server that says it takes no calls is a problem, and not one of the network."""
        patient.health = NOT_SERVING

        result = run("--server", patient.target, "doctor")

        assert result.exit_code == 1
        assert "its database is lost" in result.stderr
        assert "store.unavailable with the reason" in result.stderr
        assert patient.covered.requests == []

    @pytest.mark.parametrize("cause", ["STORE_UNAVAILABLE", "DRAINING"])
    def test_server_that_falls_ill_meanwhile(self, patient: Patient, cause: str) -> None:
        """It is the same whether the health service says so or the call does."""
        code = grpc.StatusCode.UNAVAILABLE
        patient.covered.failure = status(code, "no answer", (reason(cause),))

        result = run("--server", patient.target, "doctor")

        assert result.exit_code == 1
        assert "its database is lost" in result.stderr
        assert "store.unavailable with the reason" in result.stderr

    def test_server_without_a_health_service(self, patient: Patient) -> None:
        """Who does not say whether it is well is asked all the same."""
        patient.health = None

        assert run("--server", patient.target, "doctor").exit_code == 0

    def test_server_that_refuses(self, patient: Patient) -> None:
        """A missing role is an error with its text."""
        code = grpc.StatusCode.PERMISSION_DENIED
        patient.covered.failure = status(code, "the token has no role read")

        result = run("--server", patient.target, "doctor")

        assert result.exit_code == 1
        assert "the token has no role read" in result.stderr


class TestRealServer:
    """Against the real server."""

    def test_nothing_was_ever_received(self, live: Live) -> None:
        """A server that was just set up says that nobody sends to it."""
        result = run("--server", live.target, "doctor")

        assert result.exit_code == 1
        assert "No forwarder has ever sent a record" in result.stdout

    def test_launches_without_searches(self, live: Live) -> None:
        """An EventBridge rule that drops read-only events is found out."""
        now = datetime.now(UTC)
        seconds = (now - NOON).total_seconds()
        live.engine.commit([batch(launch(origin("l", seconds)))])

        result = run("--server", live.target, "doctor")

        assert result.exit_code == 1
        assert "an EventBridge rule in state ENABLED drops read-only events" in result.stdout

    def test_library_gives_the_same(self, live: Live, live_client: Client) -> None:
        """A program gets values: regions, forwarders and diagnoses."""
        seconds = (datetime.now(UTC) - NOON) / timedelta(seconds=1)
        live.engine.commit([batch(launch(origin("l", seconds)))])

        coverage = live_client.get_coverage()

        (found,), (source,) = coverage.regions, coverage.sources
        assert (found.region, found.launch_count, found.search_count) == ("eu-west-1", 1, 0)
        assert found.last_search_time is None
        assert source.source == "tests"
        assert [(d.code, d.severity) for d in coverage.diagnoses] == [
            ("SEARCHES_MISSING", Severity.WARNING)
        ]
        assert found.lateness[-1].max_lateness is None

    def test_library_asks_for_one_region(self, live: Live) -> None:
        """Other regions are left out."""
        live.engine.commit([batch(launch(origin("l")))])

        with connect(live.target, insecure=True) as client:
            assert client.get_coverage(region="us-east-1").regions == ()
            assert len(client.get_coverage(region="eu-west-1").regions) == 1

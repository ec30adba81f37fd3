"""What came in, asked of a server at work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from amiguard.v1 import coverage_pb2, ingest_service_pb2
from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_service.coverage import LATENESS_BOUNDS
from amiguard_service.engine import Engine
from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION, record, run_instances
from tests.data.shapes import encode
from tests.service.running import TIMEOUT, Running, refusal, serving
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

NOISE = record("ec2.amazonaws.com", "DescribeInstances", parameters={})
LATE = timedelta(minutes=4)


@pytest.fixture
def clock() -> ManualClock:
    """The server's clock: some minutes after the records were made."""
    return ManualClock(NINE_O_CLOCK + LATE)


@pytest.fixture
def engine(migrated_sqlite: Path, tmp_path: Path, clock: ManualClock) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    path = shutil.copy(migrated_sqlite, tmp_path)
    opened = Engine.open(f"sqlite:///{path}", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def running(engine: Engine) -> Iterator[Running]:
    """A server at work."""
    with serving(engine) as server:
        yield server


def submit(running: Running, *records: bytes) -> None:
    """Submits records one by one in one batch."""
    listed = ingest_service_pb2.RecordList(records=records)
    request = ingest_service_pb2.SubmitBatchRequest(
        source="tests", batch=ingest_service_pb2.EventBatch(records=listed)
    )
    IngestServiceStub(running.channel).SubmitBatch(request, timeout=TIMEOUT)


def test_what_was_submitted_is_covered(running: Running, engine: Engine) -> None:
    """Records, searches and launches are counted by account, region and forwarder."""
    submit(running, *[encode(NOISE)] * 20)
    submit(running, encode(run_instances(at=NINE_O_CLOCK)), encode(NOISE), b"{")
    engine.coverage.flush()

    response = running.findings.GetCoverage(wire.GetCoverageRequest(), timeout=TIMEOUT)

    (region,), (source,), (diagnosis,) = response.regions, response.sources, response.diagnoses
    assert (region.account_id, region.region) == (ACCOUNT, REGION)
    assert (region.record_count, region.search_count, region.launch_count) == (22, 0, 1)
    assert region.last_launch_time.ToDatetime(tzinfo=NINE_O_CLOCK.tzinfo) == NINE_O_CLOCK
    assert not region.HasField("last_search_time")
    assert (source.source, source.record_count, source.rejected_count) == ("tests", 22, 1)
    assert diagnosis.code == "SEARCHES_MISSING"
    assert diagnosis.severity == coverage_pb2.Diagnosis.SEVERITY_WARNING
    assert (diagnosis.account_id, diagnosis.region, diagnosis.source) == (ACCOUNT, REGION, "")


def test_lateness_comes_in_buckets(running: Running, engine: Engine) -> None:
    """Each bucket but the last says where it ends."""
    submit(running, encode(NOISE))
    engine.coverage.flush()

    (region,) = running.findings.GetCoverage(wire.GetCoverageRequest(), timeout=TIMEOUT).regions

    *bounded, last = region.lateness
    assert [b.max_lateness.ToTimedelta() for b in bounded] == list(LATENESS_BOUNDS)
    assert [bucket.record_count for bucket in region.lateness] == [0, 1, 0, 0, 0, 0, 0]
    assert not last.HasField("max_lateness")


def test_counts_are_stored_when_the_server_stops(engine: Engine, clock: ManualClock) -> None:
    """Nothing that was acknowledged is left uncounted by an orderly end."""
    with serving(engine) as running:
        submit(running, encode(NOISE))

    with serving(engine) as running:
        (region,) = running.findings.GetCoverage(wire.GetCoverageRequest(), timeout=TIMEOUT).regions
    assert region.record_count == 1
    assert region.last_arrival_time.ToDatetime(tzinfo=clock.now.tzinfo) == clock.now


class TestPages:
    """Pages of regions."""

    @pytest.fixture(autouse=True)
    def _regions(self, engine: Engine) -> None:
        for number, region in enumerate(("eu-west-1", "eu-west-2", "eu-west-3")):
            records = (
                search(origin(f"s{number}", region=region)),
                launch(origin(f"l{number}", 1, region=region)),
            )
            engine.commit([batch(*records)])

    def test_pages_make_the_whole(self, running: Running) -> None:
        """Pages join to all regions, and forwarders are on the first one alone."""
        request = wire.GetCoverageRequest(page_size=2)
        first = running.findings.GetCoverage(request, timeout=TIMEOUT)
        request.page_token = first.next_page_token
        second = running.findings.GetCoverage(request, timeout=TIMEOUT)

        regions = [region.region for page in (first, second) for region in page.regions]
        assert regions == ["eu-west-1", "eu-west-2", "eu-west-3"]
        assert (len(first.sources), len(second.sources)) == (1, 0)
        assert second.next_page_token == ""

    def test_one_region_can_be_asked_for(self, running: Running) -> None:
        """A region of an account is given alone."""
        request = wire.GetCoverageRequest(account_id="111122223333", region="eu-west-2")

        (region,) = running.findings.GetCoverage(request, timeout=TIMEOUT).regions

        assert region.region == "eu-west-2"

    @pytest.mark.parametrize(
        "other",
        [
            wire.GetCoverageRequest(account_id="111122223333"),
            wire.GetCoverageRequest(region="eu-west-1"),
        ],
        ids=["account", "region"],
    )
    def test_token_is_of_its_query(self, running: Running, other: wire.GetCoverageRequest) -> None:
        """A page token goes on with the query it came from and no other."""
        first = running.findings.GetCoverage(wire.GetCoverageRequest(page_size=1), timeout=TIMEOUT)
        request = wire.GetCoverageRequest(page_token=first.next_page_token)
        request.MergeFrom(other)

        with pytest.raises(grpc.RpcError) as caught:
            running.findings.GetCoverage(request, timeout=TIMEOUT)

        assert refusal(caught.value).reason == "PAGE_TOKEN_MISMATCH"

    def test_size_is_no_negative_number(self, running: Running) -> None:
        """The field that is wrong is named."""
        with pytest.raises(grpc.RpcError) as caught:
            running.findings.GetCoverage(wire.GetCoverageRequest(page_size=-1), timeout=TIMEOUT)

        assert refusal(caught.value).fields == ("page_size",)


def test_nothing_ever_received_is_diagnosed(running: Running) -> None:
    """A server that nobody sends to says so."""
    response = running.findings.GetCoverage(wire.GetCoverageRequest(), timeout=TIMEOUT)

    assert [diagnosis.code for diagnosis in response.diagnoses] == ["NOTHING_RECEIVED"]
    assert response.diagnoses[0].severity == coverage_pb2.Diagnosis.SEVERITY_ERROR

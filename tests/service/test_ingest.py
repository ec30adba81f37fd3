"""Laws of SubmitBatch: the effect of a stream with a single batch."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_core.decode import Rejection
from amiguard_service.convert import ack_message
from amiguard_service.engine import Engine
from amiguard_service.intake import Outcome
from amiguard_service.limits import MAX_LISTED_FINDINGS, MAX_LISTED_REJECTIONS, Limits
from amiguard_service.server import Capacity
from tests.service.running import TIMEOUT, Refused, Running, refusal, serving
from tests.service.talking import LAUNCH, PAIR, SEARCH, Talk, log_file, records, submit


def refused(running: Running, request: wire.SubmitBatchRequest) -> Refused:
    """Returns how a request is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        IngestServiceStub(running.channel).SubmitBatch(request, timeout=TIMEOUT)
    return refusal(caught.value)


@pytest.mark.parametrize("batch_of", [records, log_file])
def test_a_batch_alone_is_acked_as_in_a_stream(
    running: Running, batch_of: Callable[..., wire.EventBatch]
) -> None:
    """SubmitBatch gives the ack that a stream of that batch gives."""
    given = (SEARCH, b"no record", LAUNCH)

    alone = submit(running.channel, batch_of(*given))
    with Talk(running.channel) as talk:
        talk.open()
        talk.send_batch(batch_of(*given, sequence=1))
        streamed = talk.receive_ack()

    assert len(alone.finding_names) == 1
    assert (alone.duplicate_count, streamed.duplicate_count) == (0, 2)
    for ack in (alone, streamed):
        ack.ClearField("sequence")
        ack.ClearField("duplicate_count")
        ack.ClearField("finding_names")
    assert alone == streamed


@pytest.mark.parametrize("source", ["", "A", "a" * 65])
def test_sources_are_checked(running: Running, source: str) -> None:
    """A source has 1 to 64 characters from [a-z0-9-]."""
    told = refused(running, wire.SubmitBatchRequest(source=source, batch=records(SEARCH)))

    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert told.fields == ("source",)


def test_a_batch_is_required(running: Running) -> None:
    """A request without a batch, or with one that holds nothing, is refused."""
    without = refused(running, wire.SubmitBatchRequest(source="tests"))
    empty = refused(running, wire.SubmitBatchRequest(source="tests", batch=wire.EventBatch()))

    assert ("batch",) == without.fields == empty.fields


def test_more_records_than_a_batch_holds_are_refused(engine: Engine) -> None:
    """A list of records over the limit is refused as a whole, and none of it is stored."""
    with serving(engine, capacity=Capacity(limits=Limits(max_records_per_batch=2))) as running:
        told = refused(
            running, wire.SubmitBatchRequest(source="tests", batch=records(*PAIR, b"{}"))
        )
        ack = submit(running.channel, records(*PAIR))

    assert told.code == grpc.StatusCode.INVALID_ARGUMENT
    assert told.fields == ("batch.records",)
    assert ack.duplicate_count == 0


def test_a_log_file_with_more_records_is_set_aside(engine: Engine) -> None:
    """A log file over the limit is a rejection, for nobody can send a smaller one in its place."""
    with serving(engine, capacity=Capacity(limits=Limits(max_records_per_batch=2))) as running:
        ack = submit(running.channel, log_file(*PAIR, SEARCH))

    assert (ack.accepted_count, ack.rejected_count) == (0, 1)
    assert ack.rejections[0].index == 0
    assert "at most 2" in ack.rejections[0].message


def test_a_message_over_the_limit_is_refused(engine: Engine) -> None:
    """A message larger than clients were told of never gets in."""
    limits = Limits(max_message_bytes=4_096)
    request = wire.SubmitBatchRequest(source="tests", batch=records(bytes(4_096)))

    with (
        serving(engine, capacity=Capacity(limits=limits)) as running,
        pytest.raises(grpc.RpcError) as caught,
    ):
        IngestServiceStub(running.channel).SubmitBatch(request, timeout=TIMEOUT)

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_more_records_than_fit_on_the_loop_are_decoded_elsewhere(running: Running) -> None:
    """A large list of records is read as a small one is."""
    ack = submit(running.channel, records(*PAIR * 1_000))

    assert (ack.accepted_count, ack.duplicate_count) == (2_000, 1_998)


def test_an_ack_lists_some_and_counts_all() -> None:
    """However much went wrong, an ack stays small and its counts are right."""
    outcome = Outcome(
        accepted_count=1,
        relevant_count=1,
        duplicate_count=0,
        rejections=[Rejection(index, "$", "bad", b"") for index in range(1_000)],
        finding_ids=tuple(f"{number:012}-0" for number in range(1_000)),
    )

    ack = ack_message(outcome, sequence=7)

    assert (ack.sequence, ack.rejected_count) == (7, 1_000)
    assert list(range(MAX_LISTED_REJECTIONS)) == [r.index for r in ack.rejections]
    assert len(ack.finding_names) == MAX_LISTED_FINDINGS
    assert ack.finding_names[0] == "findings/000000000000-0"

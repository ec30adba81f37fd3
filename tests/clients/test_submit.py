"""Submissions: what is sent, in which order, and what comes back."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from amiguard_client import (
    BatchResult,
    Client,
    LogFile,
    PermissionDeniedError,
    RecordRejection,
    Records,
    Submittable,
    connect,
)
from amiguard_client.packing import Limits
from tests.clients.scripted_server import (
    Act,
    Fault,
    Ingest,
    ScriptedServer,
    serve,
)
from tests.clients.submissions import groups, record, submit


def test_every_batch_is_acknowledged_in_order(server: ScriptedServer, client: Client) -> None:
    """A submission acknowledges each group once, in the order of the input."""
    acks: list[BatchResult] = []

    summary = client.submit(groups(10), source="test", on_ack=acks.append)

    assert [(ack.number, ack.input_name) for ack in acks] == [
        (number + 1, f"group-{number}") for number in range(10)
    ]
    assert summary.batch_count == 10
    assert summary.record_count == summary.accepted_count == 30
    assert summary.reconnect_count == 0
    assert server.ingest.sources == ["test"]


def test_an_empty_input_gives_an_empty_summary(server: ScriptedServer, client: Client) -> None:
    """A submission of nothing opens a stream, sends nothing and succeeds."""
    summary = client.submit([], source="test")

    assert summary.batch_count == 0
    assert server.ingest.committed == []


def test_single_records_travel_together(server: ScriptedServer, client: Client) -> None:
    """Records given one by one are put together up to the server's limit."""
    client.submit((record(number) for number in range(250)), source="test")

    assert [len(batch) for batch in server.ingest.committed] == [100, 100, 50]


def test_records_may_be_text_or_objects(server: ScriptedServer, client: Client) -> None:
    """A record is taken as bytes, as text and as the object it stands for."""
    client.submit([b'{"a":1}', '{"a":"é"}', {"a": 3}], source="test")

    assert server.ingest.committed == [[b'{"a":1}', '{"a":"é"}'.encode(), b'{"a":3}']]


def test_log_file_within_limits_travels_whole(
    server: ScriptedServer, client: Client, tmp_path: Path
) -> None:
    """A gzip log file is sent as it is, by path or by content."""
    content = gzip.compress(b'{"Records":[' + record(1) + b"," + record(2) + b"]}")
    path = tmp_path / "log.json.gz"
    path.write_bytes(content)
    acks: list[BatchResult] = []

    client.submit([path, LogFile(content, name="again")], source="test", on_ack=acks.append)

    assert server.ingest.committed == [[record(1), record(2)]] * 2
    assert [ack.input_name for ack in acks] == [str(path), "again"]
    assert [ack.duplicate_count for ack in acks] == [0, 2]


def test_rejections_name_input_position_and_reason(client: Client) -> None:
    """A record that was set aside is named by its input, its position in it and the reason."""
    group = Records([record(1), b"nonsense"], name="day.json", first_index=40)

    summary = client.submit([record(0), group], source="test")

    assert summary.rejections == (
        RecordRejection(
            "day.json",
            41,
            "RECORD_MALFORMED",
            "$.eventName",
            "got a number, wanted a string",
        ),
    )
    assert (summary.accepted_count, summary.rejected_count) == (2, 1)


def test_record_too_large_for_any_message_is_set_aside(
    server: ScriptedServer, client: Client
) -> None:
    """A record no message can carry is rejected here and the others are submitted."""
    group = Records([record(1), b"{%s}" % (b" " * 1024 * 1024), record(2)], name="big")

    summary = client.submit([group], source="test")

    assert server.ingest.committed == [[record(1), record(2)]]
    assert [(r.input_name, r.index) for r in summary.rejections] == [("big", 1)]
    assert summary.record_count == 3


def test_records_that_were_not_sent_are_told_apart(server: ScriptedServer, client: Client) -> None:
    """An ack says how many of the rejected the server knows nothing of."""
    server.ingest.limits.max_message_bytes = 4096
    acks: list[BatchResult] = []

    client.submit(
        [Records([record(1), b"no object", b"{%s}" % (b" " * 5000)], name="group")],
        source="test",
        on_ack=acks.append,
    )

    assert [(ack.rejected_count, ack.unsent_count) for ack in acks] == [(2, 1)]


@pytest.mark.parametrize(
    ("bounds", "expected_batches", "expected_most"),
    [
        (Limits(max_batches_in_flight=1, max_records_per_batch=3), 4, 1),
        (Limits(max_batches_in_flight=99, max_records_per_batch=99), 3, 2),
    ],
)
def test_the_tighter_of_bounds_and_limits_counts(
    server: ScriptedServer,
    client: Client,
    bounds: Limits,
    *,
    expected_batches: int,
    expected_most: int,
) -> None:
    """A caller's own bounds make batches and window smaller than the server allows, not larger."""
    server.ingest.limits.max_batches_in_flight = 2
    server.ingest.limits.max_records_per_batch = 4

    client.submit([Records([record(n) for n in range(12)])], source="test", bounds=bounds)

    assert len(server.ingest.committed) == expected_batches
    assert server.ingest.most_outstanding <= expected_most


def test_input_of_nothing_sendable_is_done_in_order(client: Client) -> None:
    """A group with nothing to send is acknowledged in its place all the same."""
    acks: list[BatchResult] = []
    huge = b"{%s}" % (b" " * 1024 * 1024)
    inputs = [Records([record(1)], name="a"), Records([huge], name="b"), Records([], name="c")]

    summary = client.submit(
        [*inputs, Records([record(2)], name="d")], source="t", on_ack=acks.append
    )

    assert [ack.input_name for ack in acks] == ["a", "b", "c", "d"]
    assert (summary.accepted_count, summary.rejected_count) == (2, 1)


def test_the_input_is_read_no_further_than_the_window() -> None:
    """No more is read than the window, one batch that waits and one that is being packed."""
    pulled: list[int] = []
    pulled_at_hold: list[int] = []

    def inputs() -> Iterator[Submittable]:
        for number, group in enumerate(groups(50)):
            pulled.append(number)
            yield group

    ingest = Ingest(on_batch=lambda acked: pulled_at_hold.append(len(pulled) - acked))
    with serve(ingest) as server, connect(server.target, insecure=True) as client:
        client.submit(inputs(), source="test")

    assert max(pulled_at_hold) <= 4 + 2
    assert ingest.most_outstanding <= 4


def test_slow_input_does_not_hold_back_acknowledgements(client: Client) -> None:
    """An ack is reported as it comes, though the input has not yet given its next item."""
    first_acked = threading.Event()
    waited: list[bool] = []

    def inputs() -> Iterator[Submittable]:
        yield Records([record(1)], name="first")
        waited.append(first_acked.wait(timeout=30))
        yield Records([record(2)], name="second")

    client.submit(inputs(), source="test", on_ack=lambda _: first_acked.set())

    assert waited == [True]


def test_error_of_the_input_is_raised_after_what_came_before(client: Client) -> None:
    """What the input raises reaches the caller once everything before it is acknowledged."""
    acks: list[BatchResult] = []

    def inputs() -> Iterator[Submittable]:
        yield from groups(5)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        client.submit(inputs(), source="test", on_ack=acks.append)

    assert len(acks) == 5


def test_error_of_the_callback_ends_the_submission(client: Client) -> None:
    """What the callback raises reaches the caller."""

    def on_ack(result: BatchResult) -> None:
        raise LookupError(result.input_name)

    with pytest.raises(LookupError, match="group-0"):
        client.submit(groups(5), source="test", on_ack=on_ack)


@pytest.mark.parametrize("code", [None, grpc.StatusCode.PERMISSION_DENIED])
def test_submission_leaves_no_thread_behind(
    server: ScriptedServer, client: Client, code: grpc.StatusCode | None
) -> None:
    """Done or failed, a submission's threads end."""
    server.ingest.script = [Act(Fault.BREAK, code=code)] if code else []

    with suppress(PermissionDeniedError):
        submit(client, groups(20))

    own = [t for t in threading.enumerate() if t.name.startswith("amiguard-submit")]
    for thread in own:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in own)


def test_one_batch_can_go_in_one_call(server: ScriptedServer, client: Client) -> None:
    """A single batch is submitted, and its result returned, without a stream."""
    result = client.submit_batch(
        Records([record(1, "DescribeImages"), b"nonsense"], name="one", first_index=5),
        source="lambda",
    )

    assert (result.accepted_count, result.relevant_count, result.rejected_count) == (1, 1, 1)
    assert [rejection.index for rejection in result.rejections] == [6]
    assert result.finding_names == ("findings/0123456789abcdef0123456789abcdef",)
    assert server.ingest.sources == ["lambda"]

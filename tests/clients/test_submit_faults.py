"""Submissions against a server that breaks down in every way a server can."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client import (
    AmiguardError,
    BatchResult,
    Client,
    InvalidRequestError,
    OverloadedError,
    PermissionDeniedError,
    Records,
    RetryPolicy,
    ServerFaultError,
    Submittable,
    UnreachableError,
    connect,
)
from tests.clients.scripted_server import (
    Act,
    Fault,
    Ingest,
    ScriptedServer,
    overloaded,
    serve,
)
from tests.clients.submissions import FakeTime, groups, record, submit

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("fault", [Fault.BREAK, Fault.BREAK_AFTER_COMMIT, Fault.END_EARLY])
def test_broken_stream_is_resumed_with_what_was_not_acknowledged(
    server: ScriptedServer, client: Client, fault: Fault
) -> None:
    """After a break, every batch that was not acknowledged is sent again, and none that was."""
    server.ingest.script = [Act(fault, acks_before=2)]
    acks: list[BatchResult] = []
    time = FakeTime()

    summary = client.submit(groups(6), source="test", on_ack=acks.append, timing=time.timing())

    assert [ack.input_name for ack in acks] == [f"group-{number}" for number in range(6)]
    assert (summary.batch_count, summary.reconnect_count) == (6, 1)
    assert summary.duplicate_count == (3 if fault is Fault.BREAK_AFTER_COMMIT else 0)
    assert time.sleeps == [0.25]


def test_go_away_is_followed_without_delay(server: ScriptedServer, client: Client) -> None:
    """A server that drains is left at once, and nothing is sent twice."""
    server.ingest.script = [Act(Fault.GO_AWAY, acks_before=3)]
    time = FakeTime()

    summary = client.submit(groups(20), source="test", timing=time.timing())

    assert (summary.batch_count, summary.duplicate_count) == (20, 0)
    assert server.ingest.stream_count == 2
    assert time.sleeps == []


def test_stream_is_kept_though_nothing_is_to_be_sent(
    server: ScriptedServer, client: Client
) -> None:
    """A stream that ends while the input is silent is opened again, for what may come."""
    server.ingest.script = [Act(Fault.GO_AWAY, acks_before=1)]
    is_reopened = threading.Event()
    server.ingest.on_open = lambda count: is_reopened.set() if count > 1 else None
    waited: list[bool] = []

    def inputs() -> Iterator[Submittable]:
        yield Records([record(1)], name="first")
        waited.append(is_reopened.wait(timeout=30))
        yield Records([record(2)], name="second")

    summary = submit(client, inputs())

    assert waited == [True]
    assert (summary.batch_count, summary.reconnect_count) == (2, 1)


def test_endless_go_away_is_given_up(server: ScriptedServer, client: Client) -> None:
    """A server that sends everybody away and takes nothing is unreachable after the patience."""
    server.ingest.script = [Act(Fault.TURN_AWAY)] * 1000
    time = FakeTime()

    with pytest.raises(UnreachableError) as raised:
        client.submit(groups(1), source="test", timing=time.timing())

    assert raised.value.unacked_batch_count == 1
    assert 200 < time.seconds <= 300


def test_overload_is_waited_out(server: ScriptedServer, client: Client) -> None:
    """A server that asks for a pause gets it, and a little more."""
    details = overloaded(timedelta(seconds=7))
    server.ingest.script = [
        Act(Fault.REFUSE, code=grpc.StatusCode.RESOURCE_EXHAUSTED, details=details)
    ]
    time = FakeTime()

    summary = client.submit(groups(2), source="test", timing=time.timing())

    assert summary.batch_count == 2
    assert time.sleeps == [7.25]


def test_lasting_overload_is_raised_with_the_pause_it_asks(
    server: ScriptedServer, client: Client
) -> None:
    """Overload that outlasts the patience is raised as overload, saying when to come back."""
    details = overloaded(timedelta(seconds=90))
    act = Act(Fault.REFUSE, code=grpc.StatusCode.RESOURCE_EXHAUSTED, details=details)
    server.ingest.script = [act] * 10

    with pytest.raises(OverloadedError) as raised:
        submit(client, groups(1))

    assert raised.value.retry_after == timedelta(seconds=90)
    assert raised.value.reason == "OVERLOADED"


def test_delays_double_up_to_the_longest(server: ScriptedServer, client: Client) -> None:
    """Each failure in a row doubles the delay, until the longest delay there is."""
    server.ingest.script = [Act(Fault.REFUSE)] * 9
    time = FakeTime()

    client.submit(groups(1), source="test", timing=time.timing())

    assert time.sleeps == [0.25, 0.5, 1, 2, 4, 8, 16, 20, 20]


def test_an_acknowledgement_starts_the_delays_anew(server: ScriptedServer, client: Client) -> None:
    """Failures count in a row: a batch acknowledged between them starts the count again."""
    server.ingest.script = [Act(Fault.BREAK, acks_before=1)] * 4
    time = FakeTime()

    client.submit(groups(6), source="test", timing=time.timing())

    assert time.sleeps == [0.25] * 4


def test_each_wait_is_told_with_its_cause(server: ScriptedServer, client: Client) -> None:
    """Whoever submits learns what failed and how long is waited, before the wait."""
    server.ingest.script = [Act(Fault.REFUSE), Act(Fault.REFUSE)]
    time = FakeTime()
    told: list[tuple[str, timedelta, int]] = []

    client.submit(
        groups(1),
        source="test",
        on_retry=lambda error, delay: told.append((error.code, delay, len(time.sleeps))),
        timing=time.timing(),
    )

    assert told == [
        ("UNAVAILABLE", timedelta(seconds=0.25), 0),
        ("UNAVAILABLE", timedelta(seconds=0.5), 1),
    ]


def test_unreachable_server_is_given_up_with_what_is_unacknowledged() -> None:
    """A server that never answers is given up after the patience, saying what is left."""
    with serve() as stopped:
        target = stopped.target
    time = FakeTime()
    retry = RetryPolicy(give_up_after=timedelta(seconds=30))

    with connect(target, insecure=True) as client, pytest.raises(UnreachableError) as raised:
        client.submit(groups(1), source="test", timing=time.timing(), retry=retry)

    assert target in str(raised.value)
    assert raised.value.summary is not None
    assert raised.value.summary.batch_count == 0
    assert 10 < time.seconds <= 30


def test_giving_up_midway_tells_done_from_undone(server: ScriptedServer, client: Client) -> None:
    """An error that ends a submission carries what was acknowledged and counts what was not."""
    server.ingest.script = [Act(Fault.BREAK, acks_before=2), *([Act(Fault.REFUSE)] * 50)]
    acks: list[BatchResult] = []

    with pytest.raises(UnreachableError) as raised:
        submit(client, groups(3), acks=acks, retry=RetryPolicy(max_attempts=3))

    assert len(acks) == 2
    assert raised.value.summary is not None
    assert raised.value.summary.batch_count == 2
    assert raised.value.unacked_batch_count == 1
    assert str(raised.value).endswith("1 batch is not acknowledged")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequestError),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDeniedError),
        (grpc.StatusCode.UNIMPLEMENTED, ServerFaultError),
    ],
)
def test_a_refusal_that_stays_is_raised_at_once(
    server: ScriptedServer, client: Client, code: grpc.StatusCode, kind: type[AmiguardError]
) -> None:
    """What a retry cannot mend is not retried."""
    server.ingest.script = [Act(Fault.BREAK, code=code)]
    time = FakeTime()

    with pytest.raises(kind):
        submit(client, groups(1), time=time)

    assert time.sleeps == []


def test_a_server_that_cannot_cope_is_tried_a_few_times(
    server: ScriptedServer, client: Client
) -> None:
    """A batch that makes the server fail is not sent for as long as patience lasts."""
    server.ingest.script = [Act(Fault.BREAK, code=grpc.StatusCode.INTERNAL)] * 20

    with pytest.raises(ServerFaultError):
        submit(client, groups(1))

    assert server.ingest.stream_count == 5


def test_a_silent_server_counts_as_lost(server: ScriptedServer, client: Client) -> None:
    """A server that acknowledges nothing for the ack timeout is left for a new stream."""
    server.ingest.script = [Act(Fault.STALL, acks_before=1)]
    retry = RetryPolicy(ack_timeout=timedelta(milliseconds=200))

    summary = client.submit(groups(3), source="test", timing=FakeTime().timing(), retry=retry)

    assert (summary.batch_count, summary.reconnect_count) == (3, 1)


def test_a_skipped_acknowledgement_is_not_taken_for_another(
    server: ScriptedServer, client: Client
) -> None:
    """A server that acknowledges out of turn is not believed: the batches are sent again."""
    server.ingest.script = [Act(Fault.SKIP_ACK, acks_before=1)]
    acks: list[BatchResult] = []

    summary = client.submit(
        groups(5), source="test", on_ack=acks.append, timing=FakeTime().timing()
    )

    assert [ack.input_name for ack in acks] == [f"group-{number}" for number in range(5)]
    assert (summary.batch_count, summary.reconnect_count) == (5, 1)


FAULTS = st.builds(
    Act,
    fault=st.sampled_from(
        [
            Fault.BREAK,
            Fault.BREAK_AFTER_COMMIT,
            Fault.END_EARLY,
            Fault.GO_AWAY,
            Fault.TURN_AWAY,
            Fault.REFUSE,
            Fault.SKIP_ACK,
        ]
    ),
    acks_before=st.integers(0, 4),
    code=st.sampled_from(
        [
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.ABORTED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.CANCELLED,
        ]
    ),
    repeats_acks=st.booleans(),
)
HUGE = b"{%s}" % (b" " * 5000)


class TestWhateverTheFaults:
    """The law of submissions, under scripts of faults that end in a healthy server."""

    stack: ExitStack
    ingest: Ingest
    client: Client

    @classmethod
    def setup_class(cls) -> None:
        cls.stack = ExitStack()
        cls.ingest = Ingest()
        server = cls.stack.enter_context(serve(cls.ingest))
        cls.client = cls.stack.enter_context(connect(server.target, insecure=True))

    @classmethod
    def teardown_class(cls) -> None:
        cls.stack.close()

    @given(
        script=st.lists(FAULTS, max_size=4),
        sizes=st.lists(st.integers(0, 7), max_size=12),
        window=st.integers(1, 5),
        huge=st.sets(st.integers(0, 11)),
    )
    def test_every_batch_counts_once_and_in_order(
        self, script: list[Act], sizes: list[int], window: int, huge: set[int]
    ) -> None:
        """Whatever the faults, each batch is acknowledged once, in order, and none is lost."""
        ingest = self.ingest
        ingest.script, ingest.stream_count, ingest.committed = script, 0, []
        ingest.most_outstanding = 0
        ingest.limits.max_batches_in_flight = window
        ingest.limits.max_records_per_batch = 3
        ingest.limits.max_message_bytes = 4096
        inputs = [
            Records(
                [record(number * 100 + index) for index in range(size)]
                + ([HUGE] if number in huge else []),
                name=str(number),
            )
            for number, size in enumerate(sizes)
        ]
        acks: list[BatchResult] = []

        summary = self.client.submit(
            inputs, source="test", on_ack=acks.append, timing=FakeTime().timing()
        )

        assert [ack.number for ack in acks] == list(range(1, len(acks) + 1))
        assert [ack.input_name for ack in acks if ack.is_last_of_input] == [
            str(number) for number in range(len(sizes))
        ]
        assert [ack.input_name for ack in acks] == sorted(
            (ack.input_name for ack in acks), key=lambda name: int(name or 0)
        )
        assert summary.batch_count == len(acks)
        assert summary.accepted_count == sum(sizes)
        assert summary.rejected_count == sum(number in huge for number in range(len(sizes)))
        sent = {r for group in inputs for r in group.records if r != HUGE}
        assert {r for batch in ingest.committed for r in batch} == sent
        assert ingest.most_outstanding <= window

"""Batches keep the limits, the order and the positions of what they are made of."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard.v1 import ingest_service_pb2
from amiguard_client.packing import Batch, Limits, LogFile, Records, Submittable, pack

LIMITS = Limits(
    max_batches_in_flight=4,
    max_records_per_batch=5,
    max_message_bytes=1000,
    max_inflated_bytes=4000,
)
INPUTS = st.lists(
    st.binary(min_size=1, max_size=1200)
    | st.builds(Records, st.lists(st.binary(min_size=1, max_size=1200), max_size=12), st.just("g"))
    | st.builds(
        lambda sizes: LogFile(
            json.dumps({"Records": [{"a": "x" * size} for size in sizes]}).encode(), "f"
        ),
        st.lists(st.integers(0, 1200), max_size=12),
    ),
    max_size=6,
)


def message_size(batch: Batch) -> int:
    """Returns the bytes of the message that carries a batch."""
    request = ingest_service_pb2.SubmitEventsRequest(batch=batch.to_message(2**62))
    return request.ByteSize()


@given(inputs=INPUTS)
def test_batches_keep_the_limits(inputs: list[Submittable]) -> None:
    """No batch has more records, and no message more bytes, than the server holds."""
    batches = list(pack(inputs, LIMITS))

    assert all(len(batch.records) <= 5 for batch in batches)
    assert all(message_size(batch) <= 1000 for batch in batches)


@given(inputs=INPUTS)
def test_nothing_is_lost_and_the_order_kept(inputs: list[Submittable]) -> None:
    """Every record is in one batch, in the order of the input, or set aside as too large."""
    expected: list[bytes] = []
    for item in inputs:
        if isinstance(item, LogFile):
            expected += [
                json.dumps(record).encode() for record in json.loads(item.content)["Records"]
            ]
        elif isinstance(item, Records):
            expected += [record for record in item.records if isinstance(record, bytes)]
        else:
            assert isinstance(item, bytes)
            expected.append(item)

    sent: list[bytes] = []
    set_aside = 0
    for batch in pack(inputs, LIMITS):
        set_aside += len(batch.unsendable)
        sent += batch.records
        if batch.log_file is not None:
            sent += [json.dumps(r).encode() for r in json.loads(batch.log_file)["Records"]]

    assert sent == [record for record in expected if len(record) <= LIMITS.max_record_bytes]
    assert set_aside == len(expected) - len(sent)


@given(sizes=st.lists(st.integers(1, 1200), min_size=1, max_size=30))
def test_positions_are_those_of_the_input(sizes: list[int]) -> None:
    """Each record of a batch, sent or set aside, is named by its position in its input."""
    records = [b"x" * size for size in sizes]

    found: dict[int, bytes | None] = {}
    for batch in pack([Records(records, first_index=10)], LIMITS):
        for index, record in enumerate(batch.records):
            found[batch.index_in_input(index)] = record
        found |= {index: None for index, _ in batch.unsendable}

    assert found == {
        10 + index: record if len(record) <= LIMITS.max_record_bytes else None
        for index, record in enumerate(records)
    }


@given(inputs=INPUTS)
def test_each_named_input_ends_once(inputs: list[Submittable]) -> None:
    """Of the batches of one log file or group, exactly the last one says it is the last."""
    named = [item for item in inputs if isinstance(item, LogFile | Records)]

    endings = [batch for batch in pack(inputs, LIMITS) if batch.name and batch.is_last_of_input]

    assert [batch.name for batch in endings] == [item.name for item in named]


def test_file_within_limits_goes_as_it_is(tmp_path: Path) -> None:
    """A gzip file with few records is sent as the bytes it is."""
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(b'{"Records":[{}]}'))

    (batch,) = pack([path], LIMITS)

    assert batch.log_file == path.read_bytes()
    assert batch.name == str(path)


def test_file_over_the_records_limit_goes_as_records(tmp_path: Path) -> None:
    """A gzip file with too many records is inflated and taken apart."""
    path = tmp_path / "a.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"Records": [{"n": n} for n in range(12)]}).encode()))

    batches = list(pack([path], LIMITS))

    assert [len(batch.records) for batch in batches] == [5, 5, 2]
    assert [next(iter(batch.indexes)) for batch in batches] == [0, 5, 10]


def test_large_file_is_read_piece_by_piece(tmp_path: Path) -> None:
    """Of a file of many records, no more is read than the batches that are asked for need."""
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"n":1}\n' * 1_000_000)
    batches = pack([path], replace(LIMITS, max_message_bytes=100_000))

    first = next(batches)

    assert len(first.records) == 5
    batches.close()  # type: ignore[attr-defined]  # a generator, as it happens


def test_input_that_is_missing_is_the_callers_error(tmp_path: Path) -> None:
    """A path that leads nowhere raises what opening it raises."""
    with pytest.raises(FileNotFoundError):
        list(pack([tmp_path / "missing"], LIMITS))


def test_limits_left_out_are_taken_small() -> None:
    """A limit that a server does not name is replaced by one any server can hold."""
    message = ingest_service_pb2.StreamLimits(max_records_per_batch=7)

    limits = Limits.from_message(message)

    assert limits.max_records_per_batch == 7
    assert limits.max_batches_in_flight == 1
    assert limits.max_message_bytes == 1024 * 1024


def test_group_larger_than_memory_allows_is_taken_lazily() -> None:
    """Batches are made while the input is read, not after."""
    pulled = []

    def inputs() -> object:
        for number in range(100):
            pulled.append(number)
            yield b"x"

    next(iter(pack(inputs(), LIMITS)))  # type: ignore[arg-type]  # a generator of records

    assert len(pulled) == 6


def test_stream_that_cannot_seek_is_not_asked_to() -> None:
    """Content in memory and on disk are read the same way."""
    content = b'{"Records":[{"a":1}]}'

    (from_memory,) = pack([LogFile(content)], LIMITS)

    assert from_memory.log_file == io.BytesIO(content).getvalue()

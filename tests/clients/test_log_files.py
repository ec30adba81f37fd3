"""Taking log files apart without changing a byte of any record."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client import log_files
from amiguard_client.log_files import Unreadable, fits, open_text, split

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4)
SPACES = st.text(alphabet=" \t\r\n", max_size=4)


def parts(content: bytes, *, max_record_bytes: int = 10_000) -> list[bytes | Unreadable]:
    """Takes a log file apart."""
    return list(split(open_text(io.BytesIO(content)), max_record_bytes=max_record_bytes))


@given(records=st.lists(OBJECTS, max_size=6), space=SPACES, ascii_only=st.booleans())
def test_array_is_taken_apart_at_its_elements(
    records: list[dict[str, Any]], *, space: str, ascii_only: bool
) -> None:
    """Each record of `{"Records": [...]}` comes out byte for byte as it went in."""
    texts = [
        json.dumps(record, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for record in records
    ]
    gap = space.encode()
    content = b'%s{%s"Records"%s:%s[' % (gap, gap, gap, gap)
    content += (gap + b"," + gap).join(texts) + gap + b"]" + gap + b"}" + gap

    assert parts(content) == texts


@given(
    records=st.lists(OBJECTS.filter(bool), max_size=6),
    ending=st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_lines_are_taken_apart_leaving_out_blank_ones(
    records: list[dict[str, Any]], ending: str
) -> None:
    """One record a line comes out as it went in, whatever ends the lines."""
    texts = [json.dumps(record).encode() for record in records]

    assert parts(b"".join(text + ending.encode() for text in texts)) == texts


@given(
    records=st.lists(OBJECTS, min_size=1, max_size=6),
    chunk=st.integers(1, 40),
    as_lines=st.booleans(),
)
def test_pieces_in_which_a_file_is_read_make_no_difference(
    records: list[dict[str, Any]], *, chunk: int, as_lines: bool
) -> None:
    """A file is taken apart the same in whatever pieces it is read."""
    texts = [json.dumps(record) for record in records]
    content = "\n".join(texts) if as_lines else '{{"Records":[{}]}}'.format(",".join(texts))
    patch = pytest.MonkeyPatch()
    # The opening of the array is looked for in the first piece, of 1 MiB in earnest.
    patch.setattr(log_files, "_CHUNK_BYTES", chunk + len('{"Records":['))

    try:
        found = parts(content.encode())
    finally:
        patch.undo()

    assert found == [text.encode() for text in texts]


def test_bytes_that_are_no_text_pass_through() -> None:
    """What is no UTF-8 reaches the server as it is, which then says so."""
    content = b'{"Records":[{"a":"\xff\xfe"},{"b":1}]}'

    assert parts(content) == [b'{"a":"\xff\xfe"}', b'{"b":1}']


@pytest.mark.parametrize("number", [b"9" * 5000, b"-0.0000000000000000001e-400"])
def test_numbers_of_any_length_pass_through(number: bytes) -> None:
    """A number no program could hold is no reason to stop."""
    content = b'{"Records":[{"a":%s}]}' % number

    assert parts(content) == [b'{"a":%s}' % number]


@pytest.mark.parametrize(
    ("rest", "got"),
    [
        (b'{"b":', "no JSON"),
        (b"", "the end of the file"),
        (b"nonsense]}", "no JSON"),
        (b"[" * 200_000, "no end of it within"),
    ],
)
def test_what_cannot_be_read_is_one_unreadable(rest: bytes, got: str) -> None:
    """Records before the damage come out, and what follows is reported once."""
    first, last = parts(b'{"Records":[{"a":1},' + rest)

    assert first == b'{"a":1}'
    assert isinstance(last, Unreadable)
    assert got in last.message


def test_damaged_gzip_is_one_unreadable() -> None:
    """Gzip that is cut short is reported."""
    content = gzip.compress(b'{"a":1}\n' * 100)[:-9]

    *_, last = parts(content)

    assert isinstance(last, Unreadable)
    assert "gzip" in last.message


def test_line_over_the_limit_is_left_out_and_the_next_is_read() -> None:
    """A line too long for a message costs that line alone."""
    content = b'{"a":1}\n{"b":"%s"}\n{"c":3}' % (b"x" * 3_000_000)

    first, large, last = parts(content, max_record_bytes=2_000_000)

    assert (first, last) == (b'{"a":1}', b'{"c":3}')
    assert isinstance(large, Unreadable)


@given(
    records=st.lists(OBJECTS, min_size=1, max_size=8),
    limit=st.integers(1, 8),
    is_gzip=st.booleans(),
)
def test_file_fits_exactly_when_its_records_do(
    records: list[dict[str, Any]], limit: int, *, is_gzip: bool
) -> None:
    """A file may go whole when it holds at most the records of one batch, and never else."""
    content = json.dumps({"Records": records}, indent=1).encode()
    sent = gzip.compress(content) if is_gzip else content

    assert fits(sent, max_records=limit, max_inflated_bytes=100_000) == (len(records) <= limit)


def test_file_that_inflates_too_far_does_not_fit() -> None:
    """A small file that becomes a large one is not sent whole."""
    content = gzip.compress(b" " * 100_000)

    assert not fits(content, max_records=10, max_inflated_bytes=99_999)
    assert fits(content, max_records=10, max_inflated_bytes=100_000)


def test_damaged_gzip_fits() -> None:
    """A damaged file that is small goes to the server, which keeps what it sets aside."""
    assert fits(b"\x1f\x8bnonsense", max_records=10, max_inflated_bytes=1000)


def test_space_between_records_is_not_kept() -> None:
    """However much space little gzip inflates to, memory holds a piece of it."""
    space = b" " * (32 * 1024 * 1024)
    content = gzip.compress(b'{"Records":[{"a":1},' + space + b'{"b":2}]}')
    del space
    tracemalloc.start()
    try:
        read = parts(content)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert read == [b'{"a":1}', b'{"b":2}']
    assert peak_bytes < 16 * 1024 * 1024

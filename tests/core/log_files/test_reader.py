"""Laws of taking log files apart: no byte of a record is changed, and nothing is lost unsaid."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.log_files.reader import Item, LogReader, Unreadable

MAX_RECORD_BYTES = 10_000
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4)
RECORDS = OBJECTS.map(lambda value: {"eventVersion": "1.11", **value})
SPACES = st.text(alphabet=" \t\r\n", max_size=4).map(str.encode)
FRAGMENTS = [
    b'{"Records":[',
    b'{"Events":[',
    b'{"logEvents":[',
    b'{"eventVersion":1}',
    b'{"eventVersion":{"a":"}"}}',
    b'{"a":"x\\"y"}',
    b'{"message":"{\\"k\\":1}"}',
    b'{\n  "b": [\n    {\n      "c": 1\n    }\n  ]\n}',
    b'"Records":[',
    b"]}",
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\n", b"\r\n", b" ", b"\0", b"5", b"null"),
    *(b"oops", b"xx,yy", b"\xff", b"\x1f", b"\x1f\x8b\x08", b"\xef\xbb\xbf", b'{"eventVersion":'),
    b"2026-01-01T00:00:00Z ",
    gzip.compress(b'{"z":1}\n', mtime=0),
]
"""What files are made of, and what breaks them."""


def parts(content: bytes, *, max_record_bytes: int = MAX_RECORD_BYTES) -> list[Item]:
    """Takes a log file apart."""
    return list(LogReader(max_record_bytes=max_record_bytes).read([content]))


def lines_of(texts: Iterable[bytes], ending: bytes = b"\n") -> bytes:
    """Puts each text on a line."""
    return b"".join(text + ending for text in texts)


@pytest.mark.slow
@given(records=st.lists(OBJECTS, max_size=6), space=SPACES, ascii_only=st.booleans())
def test_array_is_taken_apart_at_its_elements(
    records: list[dict[str, Any]], *, space: bytes, ascii_only: bool
) -> None:
    """Each record of `{"Records": [...]}` comes out byte for byte as it went in."""
    texts = [
        json.dumps(record, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        for record in records
    ]
    content = b'%s{%s"Records"%s:%s[' % (space, space, space, space)
    content += (space + b"," + space).join(texts) + space + b"]" + space + b"}" + space

    assert parts(content) == texts


@given(
    records=st.lists(OBJECTS.filter(bool) | RECORDS, min_size=1, max_size=6),
    ending=st.sampled_from(
        [b"\n", b"\r\n", b"\n\n", b",\n", b"\x1e", b"\0\0", b"\xef\xbb\xbf", b""]
    ),
    indent=st.sampled_from([None, 0, 2]),
)
def test_documents_may_stand_one_behind_the_other(
    records: list[dict[str, Any]], ending: bytes, *, indent: int | None
) -> None:
    """Whatever harmless stands between records, or nothing, each comes out as it went in."""
    texts = [json.dumps(record, indent=indent).encode() for record in records]

    assert parts(lines_of(texts, ending)) == texts


@given(
    records=st.lists(RECORDS, min_size=1, max_size=6),
    files=st.integers(1, 4),
    between=st.sampled_from([b"", b"\n", b"\0" * 16, b"\xef\xbb\xbf", b" , "]),
)
def test_every_file_of_several_is_read(
    records: list[dict[str, Any]], *, files: int, between: bytes
) -> None:
    """Log files that were joined hold the records of all of them."""
    texts = [json.dumps(record).encode() for record in records]
    content = between.join([b'{"Records":[' + b",".join(texts) + b"]}"] * files)

    assert parts(content) == texts * files


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[", b"]"),
        (b'{"Events":[', b'],"NextToken":"x"}'),
        (b'{"NextToken":"x","Events" : [', b"]}"),
        (b'[{"Records":[', b"]}]"),
        (b'{"Records":[', b'],"Records":[]}'),
        (b'{"a":{"Records":[5]},"Records":[', b"]}"),
    ],
)
def test_envelopes_are_opened(before: bytes, after: bytes) -> None:
    """An array of records is read, whatever stands around it."""
    texts = [b'{"a":1}', b'{"b":[2]}']

    assert parts(before + b",".join(texts) + after) == texts


@pytest.mark.parametrize("name", ["logEvents", "events"])
def test_messages_of_cloudwatch_are_the_records(name: str) -> None:
    """A record that CloudWatch Logs carries as text comes out as AWS wrote it."""
    messages = ['{"eventVersion":"1.11","a":"\\u00e9"}', '{"b":1}']
    page = {"messageType": "DATA_MESSAGE", name: [{"id": "1", "message": m} for m in messages]}

    assert parts(json.dumps(page).encode()) == [message.encode() for message in messages]


@pytest.mark.parametrize("is_first", [True, False])
def test_control_messages_of_cloudwatch_hold_nothing(*, is_first: bool) -> None:
    """A message that asks whether anybody listens is passed over."""
    text = "CWL CONTROL MESSAGE: Checking health of destination Firehose."
    kind = {"messageType": "CONTROL_MESSAGE"}
    events = {"logEvents": [{"id": "", "message": text}]}
    control = kind | events if is_first else events | kind

    assert parts(json.dumps(control).encode() + b'{"a":1}') == [b'{"a":1}']


def test_times_in_front_of_records_are_left_out() -> None:
    """What exports and the command line of AWS write in front of a message is no record."""
    content = b'2026-03-01T11:02:23.000Z {"a":1}\n2026-03-01T11:02:24+00:00 stream {"b":2}\n'

    assert parts(content) == [b'{"a":1}', b'{"b":2}']


@given(
    pieces=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=25),
    size=st.integers(1, 30),
    limit=st.sampled_from([30, 200, 10_000]),
)
def test_pieces_in_which_a_file_comes_make_no_difference(
    pieces: list[bytes], *, size: int, limit: int
) -> None:
    """Sound or not, a file gives the same in whatever pieces it is read."""
    content = b"".join(pieces)
    whole, other = (LogReader(max_record_bytes=limit) for _ in range(2))
    expected = list(whole.read([content]))

    found = list(other.read(content[at : at + size] for at in range(0, len(content), size)))

    assert expected == found
    assert whole.padding_bytes == other.padding_bytes


@given(
    records=st.lists(RECORDS, min_size=1, max_size=6),
    junk=st.builds(lambda record, kept: json.dumps(record).encode()[:kept], RECORDS, st.integers(0))
    | st.lists(st.sampled_from([b"]", b"}", b",", b":", b'"', b"\\", b"5", b"oops"])).map(b"".join),
    place=st.integers(0, 6),
)
def test_unsound_text_costs_no_other_line(
    records: list[dict[str, Any]], junk: bytes, *, place: int
) -> None:
    """Records that have lines of their own are read, wherever another line breaks off."""
    texts = [json.dumps(record).encode() for record in records]

    found = parts(lines_of([*texts[:place], junk, *texts[place:]]))

    assert len([text for text in found if text in texts]) >= len(texts)


def test_bytes_that_are_no_text_pass_through() -> None:
    """Bytes that are no UTF-8 reach the decoder as they are, which then says so."""
    content = b'{"Records":[{"a":"\xff\xfe"},{"b":1}]}'

    assert parts(content) == [b'{"a":"\xff\xfe"}', b'{"b":1}']


@pytest.mark.parametrize("number", [b"9" * 5000, b"-0.0000000000000000001e-400"])
def test_numbers_of_any_length_pass_through(number: bytes) -> None:
    """A number no program could hold is no reason to stop."""
    content = b'{"Records":[{"a":%s}]}' % number

    assert parts(content) == [b'{"a":%s}' % number]


@pytest.mark.parametrize("depth", [1, 5, 100, 4_000])
def test_depth_is_no_reason_to_stop(depth: int) -> None:
    """However deep a record nests, its end is found."""
    record = b'{"eventVersion":' + b'{"a":[' * depth + b"]}" * depth + b"}"

    assert parts(record * 2, max_record_bytes=100_000) == [record, record]


@pytest.mark.parametrize(
    "cut",
    [b'{"Records":[{"a":1},', b'{"Records":[{"a":1}', b'{"Records":[{"a":1}]', b'[{"a":1},'],
)
def test_a_file_that_is_cut_short_is_told(cut: bytes) -> None:
    """Records before the end come out, and that something may be missing is told."""
    first, last = parts(cut)

    assert first == b'{"a":1}'
    assert isinstance(last, Unreadable)
    assert "cut short" in last.message


def test_a_file_behind_one_that_is_cut_short_is_read() -> None:
    """A cut costs what is cut, and nothing of the next file."""
    record = b'{"eventVersion":"1.11","a":1}'
    cut = b'{"Records":[' + record + b',{"eventVersion":"1.1'
    whole = b'{"Records":[' + record + b"]}"

    for between in (b"", b"\n"):
        found = parts(cut + between + whole)

        assert found.count(record) == 2
        assert len(found) > 2


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_what_is_wrong_with_one_record_costs_no_other(indent: int | None) -> None:
    """In an array, too, the next record is read, printed for people or not."""
    records = [{"eventVersion": "1.11", "n": number} for number in range(3)]
    text = json.dumps({"Records": records}, indent=indent).encode()
    broken = text.replace(b'"n": 1', b'"n": "unclosed') if indent else text

    found = parts(broken)

    sound = [
        json.loads(part) for part in found if isinstance(part, bytes) and b"unclosed" not in part
    ]
    assert [record for record in records if record["n"] != 1 or not indent] == sound


@pytest.mark.parametrize("content", [b"", b" \n", b"\0\0\0", b"\xef\xbb\xbf"])
def test_a_file_without_a_record_is_told(content: bytes) -> None:
    """Nothing is an answer, too."""
    (nothing,) = parts(content)

    assert isinstance(nothing, Unreadable)


def test_arrays_inside_arrays_are_values_from_a_depth_on() -> None:
    """An array in the place of a record is opened a few times, and then left to the decoder."""
    assert parts(b"[[[[[[1]]]]]]") == [b"[[1]]"]


@pytest.mark.parametrize("content", [b'{"Records":[]}', b"[]", b'{"Events":[]}', b"[[]]"])
def test_an_empty_log_file_holds_nothing(content: bytes) -> None:
    """No record is no fault."""
    assert parts(content) == []


def test_padding_is_counted() -> None:
    """Zeros around documents are left out and counted, in gzip and behind it."""
    reader = LogReader(max_record_bytes=MAX_RECORD_BYTES)

    found = list(reader.read([gzip.compress(b'\0{"a":1}\0\0') + b"\0" * 4]))

    assert found == [b'{"a":1}']
    assert reader.padding_bytes == 7


@pytest.mark.parametrize("cut", [9, 5, 1])
def test_damaged_gzip_is_told_behind_what_could_be_read(cut: int) -> None:
    """Records before the damage come out, and the damage is told with its place."""
    content = gzip.compress(b'{"a":1}\n' * 100)[:-cut]

    *records, last = parts(content)

    assert set(records) <= {b'{"a":1}'}
    assert isinstance(last, Unreadable)
    assert f"cut short at byte {len(content)}" in last.message


def tar(content: bytes) -> bytes:
    """Returns a tar archive of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zipped(content: bytes) -> bytes:
    """Returns a zip archive of one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.json", content)
    return file.getvalue()


LOG_FILE = b'{"Records":[{"a":1}]}'
OTHER_FORMS = {
    "UTF-16": LOG_FILE.decode().encode("utf-16"),
    "UTF-16 little": LOG_FILE.decode().encode("utf-16-le"),
    "UTF-16 big": LOG_FILE.decode().encode("utf-16-be"),
    "a zip archive": zipped(LOG_FILE),
    "a tar archive": tar(LOG_FILE),
    "bzip2": bz2.compress(LOG_FILE),
    "xz": lzma.compress(LOG_FILE),
    "Zstandard": b"\x28\xb5\x2f\xfd" + bytes(range(100)),
    "Parquet": b"PAR1" + bytes(range(100)) + b"PAR1",
    "CSV": b'"eventID","eventName"\n"1","RunInstances"\n',
}


@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("form", OTHER_FORMS)
def test_other_forms_are_named_with_a_way_out(form: str, *, is_gzip: bool) -> None:
    """A form that is not read is one refusal, which names it and a command that helps."""
    content = OTHER_FORMS[form]

    (refused,) = parts(gzip.compress(content) if is_gzip else content)

    assert isinstance(refused, Unreadable)
    assert refused.message.startswith(f"got {form.removesuffix(' little').removesuffix(' big')}, ")
    assert any(word in refused.message for word in ("FILE", "s3://"))


def test_what_comes_before_another_form_is_read() -> None:
    """A refusal touches nothing in front of it."""
    record, refused = parts(b'{"a":1}\n' + zipped(LOG_FILE))

    assert record == b'{"a":1}'
    assert isinstance(refused, Unreadable)


@pytest.mark.parametrize("as_lines", [True, False])
def test_record_over_the_limit_costs_itself_alone(*, as_lines: bool) -> None:
    """A record too long for a message is told, and the next one is read."""
    texts = [b'{"a":1}', b'{"b":"%s"}' % (b"x{" * 1_500_000), b'{"c":3}']
    content = b"\n".join(texts) if as_lines else b'{"Records":[' + b",".join(texts) + b"]}"

    first, large, last = parts(content, max_record_bytes=2_000_000)

    assert (first, last) == (b'{"a":1}', b'{"c":3}')
    assert isinstance(large, Unreadable)


HELD_BYTES = 16 * 1024 * 1024
LARGE = 32 * 1024 * 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b'{"Records":[{"a":1},' + b" " * LARGE + b'{"b":2}]}',
        b'{"a":1}' + b"\0" * LARGE + b'{"b":2}',
        b'{"a":1}\n"' + b"x" * LARGE + b'\n{"b":2}',
        b'{"a":1}{"c":"' + b"x" * LARGE + b'"}{"b":2}',
        b'{"a":1}\n{"c":"' + b"x" * LARGE + b'\n{"b":2}',
    ],
    ids=["space", "padding", "junk", "record", "broken record"],
)
def test_memory_is_bounded(content: bytes) -> None:
    """However much a little gzip inflates to, memory holds a piece of it."""
    packed = gzip.compress(content)
    del content
    tracemalloc.start()
    try:
        read = parts(packed, max_record_bytes=1_000_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert [item for item in read if isinstance(item, bytes)] == [b'{"a":1}', b'{"b":2}']
    assert peak_bytes < HELD_BYTES

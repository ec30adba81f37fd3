"""Laws of reading as a stream: envelopes in any cut, what is given when, and what is held."""

from __future__ import annotations

import json

import pytest

from amiguard_core.log_files import extents, reader
from amiguard_core.log_files.reader import Item, LogReader

LIMIT = 1_000
MAX_KEY_BYTES = 256
"""Bytes in front of an array that can hold its name."""
RECORD = b'{"eventVersion":"1.11"}'


def read_in(size: int, content: bytes, *, limit: int = LIMIT) -> list[Item]:
    """Takes a log file apart that comes in pieces of a size."""
    log = LogReader(max_record_bytes=limit)
    return list(log.read(content[at : at + size] for at in range(0, len(content), size)))


def texts_of(*messages: str) -> list[dict[str, str]]:
    """Returns events of CloudWatch Logs."""
    return [{"message": message} for message in messages]


FILES: dict[bytes, list[Item]] = {
    # Records, whatever their members are called.
    b'{"eventVersion":"1","Records":[1]}': [b'{"eventVersion":"1","Records":[1]}'],
    b'{"eventVersion":"1","Records":[1]},' * 2: [b'{"eventVersion":"1","Records":[1]}'] * 2,
    b'{"eventVersion": "1","Records":[1]}\n': [b'{"eventVersion": "1","Records":[1]}'],
    b'{"records":[{"a":1}]}': [b'{"records":[{"a":1}]}'],
    b'{"a":{"Records":[1]}}': [b'{"a":{"Records":[1]}}'],
    b'{"a":"Records","b":[1]}': [b'{"a":"Records","b":[1]}'],
    b'{"Records":{"a":[1]}}': [b'{"Records":{"a":[1]}}'],
    b'["Records",{"a":1}]': [b'"Records"', b'{"a":1}'],
    b'{"Records":5}{"Records":[]}': [b'{"Records":5}'],
    # Envelopes inside envelopes, and behind their records.
    b'[{"Records":[{"a":1}]},{"Records":[{"b":2}]},{"c":3}]': [
        *(b'{"a":1}', b'{"b":2}', b'{"c":3}'),
    ],
    b'[{"Events":[{"a":1}],"x":[{}],"y":{"Records":[5]}},{"b":2}]': [b'{"a":1}', b'{"b":2}'],
    b'{"Records":[{"a":1}],"Events":[{"b":2}]}{"c":3}': [b'{"a":1}', b'{"b":2}', b'{"c":3}'],
    b'{"Records":[{"a":1}],"x":{"y":[1]},"Events" :\n [{"b":2}]}': [b'{"a":1}', b'{"b":2}'],
    b'{"x":[1,{"y":2}],"Records":[{"a":1}]}\n': [b'{"a":1}'],
    b'[[[[{"Records":[1]}]]]]': [b'{"Records":[1]}'],
    b'[[[{"Records":[1],"Events":[2]}]]]': [b"1", b"2"],
    b"[[[[[1],2]]]]": [b"[1]", b"2"],
    b"[[1],[2]]": [b"1", b"2"],
    b'{"Records":[[{"a":1}],{"b":2}]}': [b'{"a":1}', b'{"b":2}'],
    # Messages of CloudWatch Logs.
    json.dumps([{"logEvents": texts_of("{1}", "{2}")}, {"message": "x"}]).encode(): [
        *(b"{1}", b"{2}", b'{"message": "x"}'),
    ],
    json.dumps({"Records": texts_of("{1}")}).encode(): [b'{"message": "{1}"}'],
    json.dumps({"messageType": "CONTROL_MESSAGE", "logEvents": texts_of("x")}).encode(): [],
    json.dumps({"messageType": "DATA_MESSAGE", "logEvents": texts_of("x")}).encode(): [b"x"],
    json.dumps({"events": texts_of("CWL CONTROL MESSAGE: x", "y")}).encode(): [b"y"],
    b'{"events":[{"message":5},{"a":1},[2],"message",{"message":"\\ud800"},{"b"}]}': [
        *(b'{"message":5}', b'{"a":1}', b"2", b'"message"', b"?", b'{"b"}'),
    ],
    # Times and white space in front of documents.
    b'2026-03-01T11:02:23.000Z {"a":1}': [b'{"a":1}'],
    b'2026-03-01T11:02:23+00:00 stream {"a":1}\n2026-03-01T11:02:23 {"b":2}': [
        *(b'{"a":1}', b'{"b":2}'),
    ],
    b'2026-03-01T11:02:23Z oops two {"a":1}\n{"b":2}': [
        *(b'2026-03-01T11:02:23Z oops two {"a":1}', b'{"b":2}'),
    ],
    b'\xef\xbb\xbf \0,\x1e{"a":1}': [b'{"a":1}'],
    b'\xef\xbb{"a":1}\n{"b":2}': [b'\xef\xbb{"a":1}', b'{"b":2}'],
}


@pytest.mark.parametrize("content", FILES)
def test_a_file_gives_the_same_in_every_cut(content: bytes) -> None:
    """Each file gives exactly these items, in whatever pieces it comes."""
    sizes = [1 << 20, *range(1, 40)]

    assert [read_in(size, content) for size in sizes] == [FILES[content]] * len(sizes)


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
@pytest.mark.parametrize("before", [b"{", b'{"a":[1],', b'{"Records":[],', b'{"a":{},'])
def test_the_name_of_an_array_is_looked_for_so_far_in_front(before: bytes, size: int) -> None:
    """White space between name and array may have so many bytes, and not one more."""
    for excess in (0, 1):
        name = b'"Events":' + b" " * (MAX_KEY_BYTES + excess - len(b',"Events":'))
        content = before + name + b'[{"b":2}]}'
        whole = [] if b"Records" in before else [content]

        assert read_in(size, content) == ([b'{"b":2}'] if not excess else whole)


@pytest.mark.parametrize("size", [3, 1 << 20])
def test_long_text_around_records_hides_no_name(size: int) -> None:
    """In front of an envelope and behind its records a text may be longer than a record."""
    long = b'"x":"%s"' % (b"y" * 5 * LIMIT)
    content = b'{%s,"Records":[{"a":1}],%s,"z":["%s"],"Events":[{"b":2}],%s}{"c":3}'

    found = read_in(size, content % (long, long, b"[" * 5 * LIMIT, long))

    assert found == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


GIVEN_AT_ONCE: list[tuple[bytes, list[Item]]] = [
    (b'{"a":1}', [b'{"a":1}']),
    (RECORD, [RECORD]),
    (RECORD + b",", [RECORD]),
    (b'{"Records":[{"a":1}', [b'{"a":1}']),
    (b'{"Records":[' + RECORD + b"," + RECORD + b"]", [RECORD, RECORD]),
    (b"[5,", [b"5"]),
    (b'["a,b",', [b'"a,b"']),
    (b"[5", []),
    (b'["a,b', []),
    (b'{"Records":[{"a":1}],"Events":[{"b":2}', [b'{"a":1}', b'{"b":2}']),
    (b'{"Records":[{"a":1}]\n', [b'{"a":1}']),
    (b'{"Records":[{"a":1}]}\n{"eventVersion":', [b'{"a":1}']),
    (b'{"a":1}oops\n{"b', [b'{"a":1}', b"oops"]),
    (b'{"a":1}oops\n{"R', [b'{"a":1}']),
    (b'{"a":1}oops\n{', [b'{"a":1}']),
    (b'{"a":1}oops\n[', [b'{"a":1}', b"oops"]),
    (b'{"a":1}oops\n{"Records":[{"b":2},', [b'{"a":1}', b"oops", b'{"b":2}']),
    (b'{"a":1}oops\n{"Records":[', [b'{"a":1}', b"oops"]),
    (b'{"a":1}oops\nxx\n', [b'{"a":1}', b"oops"]),
    (b'{"a":1}oops\nxx\nx', [b'{"a":1}', b"oops", b"xx"]),
    (b'{"a":1}oops\nx', [b'{"a":1}', b"oops"]),
    (b"oops\n", []),
    (b'oops\n{"a":1}', [b"oops", b'{"a":1}']),
    (b'{"a"]\n{"b":2}', [b'{"a"]', b'{"b":2}']),
]


@pytest.mark.parametrize(("content", "items"), GIVEN_AT_ONCE)
def test_what_can_be_told_is_given_at_once(content: bytes, items: list[Item]) -> None:
    """A reader waits only where more text may tell otherwise."""
    log = LogReader(max_record_bytes=LIMIT)

    assert list(log.feed(content)) == items


@pytest.mark.parametrize(
    ("whole", "between"),
    [(b'{"Records":[%s]}', b","), (b"[%s]", b","), (b"%s", b"\n"), (b"%s", b"\r\n"), (b"%s", b"")],
)
def test_the_end_of_a_plain_record_is_not_searched_bracket_by_bracket(
    whole: bytes, between: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records as CloudTrail writes them are found by what stands between them, which is fast."""
    followed: list[bytes] = []

    class Watched(extents.ObjectExtent):
        def __init__(self, text: bytearray, first_bracket: int) -> None:
            followed.append(bytes(text[first_bracket:]))
            super().__init__(text, first_bracket)

    monkeypatch.setattr(reader, "ObjectExtent", Watched)
    records = [b'{"eventVersion":"1.11","n":{"m":[%d]}}' % number for number in range(5)]

    assert read_in(1 << 20, whole % between.join(records)) == records
    searched = [text for text in followed if text.startswith(b'{"eventVersion"')]
    assert searched == [records[-1] + whole.partition(b"%s")[2]]

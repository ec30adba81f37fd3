"""Laws of unsound text: what of it is read, what is told, and how much work it may make."""

from __future__ import annotations

import pytest

from amiguard_core.log_files.reader import Item, LogReader, Unreadable

LIMIT = 1_000
FREE_BYTES = 1 << 20
"""Text that may be read again for nothing."""
CUT = Unreadable("got a file that is cut short, wanted all of it")
NO_END = Unreadable("got an array of records without its end")
NO_JSON_BEHIND = Unreadable("got text that is no JSON behind records, wanted the end of a file")
NOTHING = Unreadable("got a file without any record, wanted a log file")


def too_long(limit: int = LIMIT) -> Unreadable:
    """Returns what is told of a record over the limit."""
    return Unreadable(f"got a record over the limit, wanted at most {limit} bytes")


def parts(content: bytes, *, size: int = 1 << 20, limit: int = LIMIT) -> list[Item]:
    """Takes a log file apart that comes in pieces of a size."""
    reader = LogReader(max_record_bytes=limit)
    return list(reader.read(content[at : at + size] for at in range(0, len(content), size)))


RECORD = b'{"eventVersion":"1.11"}'
FILES: dict[bytes, list[Item]] = {
    # Lines and what stands before the first document.
    b'{"a":1}\noops\n{"b":2}': [b'{"a":1}', b"oops", b'{"b":2}'],
    b'{"a":1}\noops\nxx\n{"b":2}': [b'{"a":1}', b"oops", b"xx", b'{"b":2}'],
    b'one\ntwo\n{"b":2}': [b"one\ntwo", b'{"b":2}'],
    b'one\n  [{"b":2}]': [b"one", b'{"b":2}'],
    b'one\n2026-01-01T00:00:00Z {"b":2}': [b"one", b'{"b":2}'],
    b"one\n%s2026-01-01T00:00:00Z %s" % (b" " * 100, RECORD): [b"one", RECORD],
    b"one\n%s%s" % (b"\n \t" * 50, RECORD): [b"one", RECORD],
    b'{"Records":[%s{"a":1]},%s{"b":2}]}' % ((b"\n" + b" " * 100,) * 2): [b'{"a":1]}', b'{"b":2}'],
    b"one " + RECORD: [b"one", RECORD],
    b'one {"Records":[' + RECORD + b"]}": [b"one", RECORD],
    b'{"a":1} one ' + RECORD: [b'{"a":1}', b"one", RECORD],
    b'{"a":1}} one {"Records":[' + RECORD + b"]}": [b'{"a":1}', b"} one", RECORD],
    b"oops": [b"oops"],
    b"oops, \t\r\n": [b"oops"],
    b'{"a":1} ,oops, \n': [b'{"a":1}', b"oops"],
    # Broken documents.
    b'{"a":1]\n{"b":2}': [b'{"a":1]', b'{"b":2}'],
    b'{"a":1\n{"b":2}': [b'{"a":1', b'{"b":2}'],
    b'{"a":"1\n{"b":2}': [b'{"a":"1', b'{"b":2}'],
    b'{"a":"1\n[{"b":2}]': [b'{"a":"1', b'{"b":2}'],
    b'{"a":' + RECORD: [b'{"a":', RECORD],
    b'{"a":1': [b'{"a":1'],
    b'{"a":[1,\n{"b":2},\n': [b'{"a":[1', b'{"b":2}'],
    # Broken elements.
    b'{"Records":[{"a":1]},\n{"b":2}]}': [b'{"a":1]}', b'{"b":2}', b"]}"],
    b'{"Records":[\n  {"a":1]},\n  {"b":2}\n]}': [b'{"a":1]}', b'{"b":2}'],
    b'{"Records":[{"a":"1},' + RECORD + b"]}": [b'{"a":"1}', RECORD],
    b'{"Records":[:,{"b":2}]}': [b":", b'{"b":2}'],
    b'{"Records":["x\n{"b":2}': [b'"x', b'{"b":2}'],
    b'{"Records":[{"a":1},5,"x,y", null ,{"b":2}]}': [
        *(b'{"a":1}', b"5", b'"x,y"', b"null", b'{"b":2}'),
    ],
    b'{"Records":[{"a":1}}': [b'{"a":1}', NO_END],
    b'{"Records":[{"a":1}}{"b":2}': [b'{"a":1}', NO_END, b'{"b":2}'],
    # Files that are cut short, alone and before others.
    b'{"Records":[{"a":1}': [b'{"a":1}', CUT],
    b'{"Records":[{"a":1}]': [b'{"a":1}', CUT],
    b'{"Records":[{"a":1}],"x': [b'{"a":1}', CUT],
    b'{"Records":[{"a":1},{"b': [b'{"a":1}', b'{"b', CUT],
    b'{"Records":[{"b': [b'{"b'],
    b'{"Records":[': [CUT],
    b"[": [CUT],
    b'{"Records":[oops': [b"oops", CUT],
    b'{"Records":[{"a":1},{"eventV{"Records":[{"b":2}]}': [b'{"a":1}', b'{"eventV', b'{"b":2}'],
    b'{"Records":[\n{"a":1},\n{"eventV\n{"Records":[{"b":2}]}': [
        *(b'{"a":1}', b'{"eventV', b'{"b":2}'),
    ],
    b'{"Records":[{"a":1},{"eventV\n{"Records":[{"b":2}]}': [b'{"a":1}', b'{"eventV', b'{"b":2}'],
    b'{"Records":[{"a":1},{"b\n{"c":3}': [b'{"a":1}', b'{"b', b'{"c":3}'],
    b'{"Records":[{"a":1},{"b' + RECORD + b"]}": [b'{"a":1}', b'{"b', RECORD],
    b'{"Records":[\n  {"a":1},\n  {"b\n  {"c":3}\n]}': [b'{"a":1}', b'{"b', b'{"c":3}'],
    b'{"Records":[\n  {"a":1},\n  {"b\n{"c":3}': [b'{"a":1}', b'{"b', b'{"c":3}'],
    # Behind the records of an envelope.
    b'{"Records":[{"a":1}]]\n{"b":2}': [b'{"a":1}', NO_JSON_BEHIND, b'{"b":2}'],
    b'{"Records":[\n  {"a":1}\n  ]]\n  {"b":2}\n{"c":3}': [
        *(b'{"a":1}', NO_JSON_BEHIND, b'{"c":3}'),
    ],
    b'{"Records":[{"a":1}],"x":"\n{"b":2}\n{"c":3}': [
        *(b'{"a":1}', NO_JSON_BEHIND, b'{"b":2}', b'{"c":3}'),
    ],
    b"": [NOTHING],
    b" ,\n\0": [NOTHING],
}


@pytest.mark.parametrize("content", FILES)
def test_unsound_text_is_one_item_up_to_where_sound_text_goes_on(content: bytes) -> None:
    """Each file gives exactly these items, in whatever pieces it comes."""
    sizes = [1 << 20, *range(1, 20)]

    assert [parts(content, size=size) for size in sizes] == [FILES[content]] * len(sizes)


@pytest.mark.parametrize(
    "prefix",
    [b"", b'{"p":1}\n', b'{"p":"%s"}' % (b"x" * 1_500_000)],
    ids=["nothing", "record", "long record"],
)
@pytest.mark.parametrize("excess", [0, 1])
def test_text_is_read_again_in_bounds(prefix: bytes, excess: int) -> None:
    """Once more for all that came, and a bound of bytes for nothing; then the rest is one item."""
    last = b'\n{"b":2}'
    filler = FREE_BYTES + len(prefix) + excess - len(b'{"":[' + last)
    second = b'{"%s":[' % (b"x" * filler)
    first = b'{"a":'
    limit = 4 * FREE_BYTES

    *records, one, rest = parts(prefix + first + b"\n" + second + last, limit=limit)[-3:]

    expected = [second, last.strip()] if not excess else [second + last]
    assert [*records, one, rest][-len(expected) :] == expected
    assert [*records, one, rest][-len(expected) - 1] == first


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize(
    "shape", [b"%s", b'{"eventVersion":"%s"}', b'{"a":"%s"}', b'"%s"', b'{"Records" :"%s"}']
)
def test_a_record_may_have_exactly_the_limit(shape: bytes, *, size: int, excess: int) -> None:
    """One byte more is told and not read, on a line or in an array; the next record is read."""
    value = shape % (b"x" * (LIMIT + excess - len(shape % b"")))
    expected: list[Item] = [b'{"b":2}', too_long() if excess else value, RECORD]

    assert parts(b'[{"b":2},%s,%s]' % (value, RECORD), size=size) == expected
    if shape.startswith(b"{"):
        assert parts(b'{"b":2}\n%s\n%s' % (value, RECORD), size=size) == expected


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("excess", [0, 1])
@pytest.mark.parametrize(("start", "end"), [(b"x", b""), (b'{"a":"', b""), (b'{"a":', b"]")])
def test_unsound_text_may_have_exactly_the_limit(
    start: bytes, end: bytes, *, size: int, excess: int
) -> None:
    """One byte more with its line break is told as too long, and what follows is read."""
    text = start + b"x" * (LIMIT + excess - len(start + end + b"\n")) + end
    expected: list[Item] = [b'{"b":2}', too_long() if excess else text, b'{"c":3}']

    assert parts(b'{"b":2}\n' + text + b'\n{"c":3}', size=size) == expected
    at_end = start.ljust(LIMIT + excess, b"x")
    assert parts(b'{"b":2}\n' + at_end, size=size) == [
        *(b'{"b":2}', too_long() if excess else at_end),
    ]

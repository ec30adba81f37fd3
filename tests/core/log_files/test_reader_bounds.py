"""Laws of what a reader holds and counts: bytes of text, padding, and work on unsound text."""

from __future__ import annotations

import gzip

import pytest

from amiguard_core.log_files.reader import Item, LogReader, Unreadable

LIMIT = 1_000
KEPT_BYTES = 300
"""Text of what is too long that may be held: the longest name of an array, and some more."""
TOO_LONG = Unreadable(f"got a record over the limit, wanted at most {LIMIT} bytes")
PIECE = b"x" * 100


@pytest.mark.parametrize(
    ("before", "after", "items"),
    [
        (b'{"a":"', b'"}{"b":2}', [TOO_LONG, b'{"b":2}']),
        (b'{"eventVersion":"', b'"}{"b":2}', [TOO_LONG, b'{"b":2}']),
        (b'{"a":"', b'\n{"b":2}', [TOO_LONG, b'{"b":2}']),
        (b'["a,', b'",\n{"b":2}]', [TOO_LONG, b'{"b":2}', b"]"]),
        (b"[5", b',\n{"b":2}]', [TOO_LONG, b'{"b":2}', b"]"]),
        (b'{"b":2}\n"', b'\n{"b":2}', [b'{"b":2}', TOO_LONG, b'{"b":2}']),
        (b'"', b'\n{"b":2}', [TOO_LONG, b'{"b":2}']),
        (b'{"Records":[{"b":2}],"a":"', b'"}{"b":2}', [b'{"b":2}'] * 2),
        (b'{"Records":[{"b":2}],"a":', b',"Events":[{"b":2}]}', [b'{"b":2}'] * 2),
    ],
)
def test_of_what_is_too_long_little_is_held(before: bytes, after: bytes, items: list[Item]) -> None:
    """Once a value has more bytes than a record may have, its text is let go as it comes."""
    log = LogReader(max_record_bytes=LIMIT)
    found = list(log.feed(before))
    held = []
    for _ in range(50):
        found += log.feed(PIECE)
        held.append(log.held_bytes)
    found += log.feed(after)
    found += log.finish()

    assert found == items
    assert max(held) <= LIMIT + len(before) + len(PIECE)
    assert max(held[15:]) <= KEPT_BYTES


def test_held_text_is_that_of_the_record_alone() -> None:
    """Records that were given, and what stands between them, are not held."""
    log = LogReader(max_record_bytes=LIMIT)
    held = []
    for piece in (b'{"Records":[', b'{"a":1}', b' , {"b"', b":2", b"}", b",", b"5", b",", b"]"):
        list(log.feed(piece))
        held.append(log.held_bytes)

    assert held == [0, 0, 4, 6, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("content", "padding_bytes"),
    [
        (b'{"a":1}', 0),
        (b'\0{"a":1}\0\0', 3),
        (b'{"a":1} \0,\0\0\n\0{"b":2}', 4),
        (b'{"Records":[\0{"a":1}\0]}', 2),
        (gzip.compress(b'{"a":1}\0') + b"\0\0", 3),
        (b'{"a":"\0"}', 0),
    ],
)
def test_zeros_between_documents_are_counted(content: bytes, padding_bytes: int) -> None:
    """Each is counted once, in whatever pieces the file comes."""
    for size in (1, 3, 1000):
        log = LogReader(max_record_bytes=LIMIT)
        items = list(log.read(content[at : at + size] for at in range(0, len(content), size)))

        assert all(isinstance(item, bytes) for item in items)
        assert log.padding_bytes == padding_bytes


@pytest.mark.parametrize(
    ("content", "is_blank"),
    [
        *((b"", True), (b" \n\r\t", True), (b"x", False), (b"\0", False), (b"{", False)),
        *((b'{"a":1}', False), (b'{"a":1}\n', False), (b"oops\n[", False), (b"[]", False)),
        (gzip.compress(b" \n"), True),
        (gzip.compress(b"") + b"\0", False),
    ],
)
def test_a_reader_is_blank_until_anything_came(content: bytes, *, is_blank: bool) -> None:
    """White space is nothing; padding, records and unsound text are something."""
    log = LogReader(max_record_bytes=LIMIT)
    assert log.is_blank is True

    list(log.feed(content))

    assert log.is_blank is is_blank


def test_text_that_is_not_kept_is_no_text_that_is_read_again() -> None:
    """Unsound text over the limit leaves what may be read again as it is, however it comes."""
    limit = 1 << 19
    long = b'{"a":"' + b"x" * 3 * limit + b"\n"
    line = b'{"b%s":[' % (b"x" * 40_000)
    content = long + (b"\n".join([line] * 12) + b"}\n") * 9
    found = []
    for size in (100_000, len(content)):
        log = LogReader(max_record_bytes=limit)
        found.append(list(log.read(content[at : at + size] for at in range(0, len(content), size))))

    assert found[0] == found[1]
    assert found[0].count(line) == 11


def test_unsound_text_over_the_limit_is_not_searched_for_records() -> None:
    """It is one refusal, however it comes, and what stands behind it is read."""
    content = b'{"a":[\n' + b'{"b":2},\n' * 200 + b'}\n{"c":3}'

    for size in (10, len(content)):
        log = LogReader(max_record_bytes=LIMIT)
        found = log.read(content[at : at + size] for at in range(0, len(content), size))
        assert list(found) == [TOO_LONG, b'{"c":3}']

"""Laws of inflating as a stream: pieces, places of damage, and what is held back."""

from __future__ import annotations

import gzip
import zlib
from typing import cast

import pytest
from isal import isal_zlib

from amiguard_core.log_files.inflate import (
    GZIP_MAGIC,
    Codec,
    DamagedGzipError,
    Inflated,
    Inflater,
    TextTooLargeError,
    inflate,
)

ISAL = Codec(isal_zlib.decompressobj, cast("type[Exception]", isal_zlib.IsalError))
ONE = gzip.compress(b"one", mtime=0)
TWO = gzip.compress(b"two", mtime=0)


def read(inflater: Inflater, *pieces: bytes) -> tuple[list[bytes], str | None]:
    """Returns the texts of a file and what is said of its damage."""
    texts: list[bytes] = []
    try:
        for piece in pieces:
            for text in inflater.feed(piece):
                texts.append(text)  # noqa: PERF402 - what came before damage is kept
        for text in inflater.finish():
            texts.append(text)  # noqa: PERF402 - as above
    except DamagedGzipError as error:
        return texts, str(error)
    return texts, None


def test_plain_text_passes_at_once_but_for_what_may_begin_a_member() -> None:
    """Two bytes at most are held back, and given with what shows that they begin none."""
    inflater = Inflater()

    fed = [
        list(inflater.feed(piece))
        for piece in (b"a", b"b\x1f", b"\x8bc", b"d\x1f\x8b", b"\x1f", b"\x1f", b"e\x1f\x8b")
    ]

    assert fed == [[b"a"], [b"b"], [b"\x1f\x8bc"], [b"d"], [b"\x1f\x8b"], [b"\x1f"], [b"\x1fe"]]
    assert list(inflater.finish()) == [b"\x1f\x8b"]
    assert list(inflater.finish()) == []


def test_a_member_may_begin_in_held_bytes() -> None:
    """Its magic may come byte by byte, behind text and behind another member."""
    pieces = [b"a", *(bytes([byte]) for byte in ONE + b"\0\x1fb" + TWO)]
    inflater = Inflater()

    texts, damage = read(inflater, *pieces)

    assert b"".join(texts) == b"aone\x1fbtwo"
    assert (damage, inflater.padding_bytes) == (None, 1)


@pytest.mark.parametrize(
    ("data", "text", "padding"),
    [
        (b"\0\0a", b"\0\0a", 0),
        (b"\0\0" + ONE, b"\0\0one", 0),
        (ONE + b"\0\0\0", b"one", 3),
        (ONE + b"\0\0a\0", b"onea\0", 2),
        (ONE + b"a\0\0" + TWO + b"\0", b"onea\0\0two", 1),
        (ONE + b"\0" + TWO + b"\0\0b", b"onetwob", 3),
        (gzip.compress(ONE + b"\0\0", mtime=0) + b"\0", b"one", 3),
        (ONE + b"\0" * 5 + b"\x1f\x8b", b"one\x1f\x8b", 5),
    ],
)
def test_zeros_are_padding_right_behind_a_member(data: bytes, text: bytes, padding: int) -> None:
    """Elsewhere they are text of the file."""
    assert inflate(data, max_bytes=100) == (
        Inflated(text, None, padding) if GZIP_MAGIC in data else Inflated(data)
    )
    for size in range(1, len(data)):
        inflater = Inflater()
        texts, damage = read(inflater, *(data[at : at + size] for at in range(0, len(data), size)))
        assert (b"".join(texts), damage, inflater.padding_bytes) == (text, None, padding)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("before", [b"", b"ab\x1f", ONE, ONE + b"\0\0\0", b"x" + ONE + b"y"])
def test_damage_is_told_with_its_place_in_the_file(before: bytes, size: int) -> None:
    """Places count from the file's first byte, in whatever pieces it comes."""
    stored = zlib.compressobj(0, wbits=31)
    member = stored.compress(b"two") + stored.flush()
    sum_at = len(member) - 8
    cases = [
        (member[:-1], len(member) - 1, "gzip that is cut short"),
        (member[:4], 4, "gzip that is cut short"),
        (member[:3], 3, "gzip that is cut short"),
        (member[:sum_at] + b"????" + member[-4:] + b"rest", sum_at + 3, "damaged gzip"),
        (member[:-4] + b"????" + ONE, len(member) - 1, "damaged gzip"),
        (member[:3] + b"\xff" + member[4:], 3, "damaged gzip"),
    ]
    plain = b"".join(read(Inflater(), before)[0]) if before else b""
    for data, place, words in cases:
        whole = before + data

        texts, damage = read(
            Inflater(), *(whole[at : at + size] for at in range(0, len(whole), size))
        )

        assert damage == f"{words} at byte {len(before) + place}"
        assert b"".join(texts) == plain + (b"two" if place >= sum_at else b"")


@pytest.mark.parametrize("before", [b"", b"ab"])
def test_a_codec_that_cannot_be_copied_tells_where_its_slice_begins(before: bytes) -> None:
    """Damage is then somewhere behind the place that is told."""
    data = before + gzip.compress(b"x" * 50, mtime=0)[:-8] + bytes(8)

    _, damage = read(Inflater(codec=ISAL), data)

    assert damage == f"damaged gzip at byte {len(before)}"


def test_text_comes_in_pieces_of_a_size() -> None:
    """However much a slice of gzip holds, a piece of text has at most the bytes that were asked."""
    text = bytes(range(32, 256)) * 40
    for piece_bytes in (1, 100, len(text) - 1, len(text), len(text) + 1):
        texts, damage = read(Inflater(piece_bytes=piece_bytes), gzip.compress(text, mtime=0) + ONE)

        assert damage is None
        assert b"".join(texts) == text + b"one"
        assert max(map(len, texts)) == min(piece_bytes, len(text))


def watched() -> tuple[Codec, list[tuple[int, int]]]:
    """Returns zlib, and the bytes that it is given with the length that is asked of it."""
    asked: list[tuple[int, int]] = []

    class Watched:
        def __init__(self, *, wbits: int) -> None:
            self._inner = zlib.decompressobj(wbits=wbits)
            self.eof, self.unused_data, self.unconsumed_tail = False, b"", b""

        def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
            asked.append((len(data), max_length))
            text = self._inner.decompress(data, max_length)
            self.eof, self.unused_data = self._inner.eof, self._inner.unused_data
            self.unconsumed_tail = self._inner.unconsumed_tail
            return text

    return Codec(Watched, zlib.error), asked


def test_gzip_inside_gzip_is_bounded_like_the_outer_one() -> None:
    """Pieces and codec are those of every layer."""
    codec, asked = watched()

    texts, damage = read(
        Inflater(codec=codec, piece_bytes=100), gzip.compress(gzip.compress(bytes(5000)))
    )

    assert (b"".join(texts), damage) == (bytes(5000), None)
    assert {length for _, length in asked} == {100}
    assert len(asked) >= len(texts) == 50


def test_slices_of_gzip_grow_behind_the_first_member() -> None:
    """What follows a member is copied at its end, so that a short one is given little at once."""
    codec, asked = watched()
    stored = zlib.compressobj(0, wbits=31)
    large = stored.compress(bytes(1 << 20)) + stored.flush()

    texts, damage = read(Inflater(codec=codec), large + large)

    assert (b"".join(texts), damage) == (bytes(2 << 20), None)
    most = 1 << 18
    grown = [1024 << step for step in range(8)]
    rest = len(large) - sum(grown) - 3 * most
    assert [size for size, _ in asked] == [most] * 5 + [*grown, *[most] * 3, rest]
    assert {length for _, length in asked} == {1 << 20}


@pytest.mark.parametrize("max_bytes", [0, 1, 100, 3 << 20])
def test_a_byte_more_than_the_limit_is_asked_for(max_bytes: int) -> None:
    """However small the limit is, text that is too large is not held; a large one comes in MiB."""
    codec, asked = watched()

    with pytest.raises(TextTooLargeError):
        inflate(gzip.compress(bytes(max_bytes + 1)), max_bytes=max_bytes, codec=codec)

    assert {length for _, length in asked} == {min(max_bytes + 1, 1 << 20)}

"""Laws of bounded inflation, for zlib and its faster twin alike."""

from __future__ import annotations

import gzip
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from amiguard_core.errors import InputTooLargeError, RecordMalformedError
from amiguard_core.inflate import ZLIB, Codec, inflate

LIMIT = 1_000
CODECS = {
    "zlib": ZLIB,
    "isal": Codec(isal_zlib.decompressobj, cast("type[Exception]", isal_zlib.IsalError)),
}

every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


@every_codec
@given(members=st.lists(st.binary(max_size=100), min_size=1, max_size=5))
def test_every_member_of_a_file_is_inflated(codec: Codec, members: list[bytes]) -> None:
    """A gzip file of any number of members holds their texts one after the other."""
    data = b"".join(gzip.compress(text) for text in members)

    assert b"".join(members) == inflate(data, max_bytes=LIMIT, codec=codec)


@given(st.binary(max_size=LIMIT).filter(lambda data: not data.startswith(b"\x1f\x8b")))
def test_what_is_not_gzip_comes_back_as_it_is(data: bytes) -> None:
    """Plain log files are taken without being asked what they are."""
    assert data == inflate(data, max_bytes=LIMIT)


@every_codec
def test_zeros_after_and_between_members_are_padding(codec: Codec) -> None:
    """Tapes and block stores pad with zeros, which are no member."""
    data = gzip.compress(b"a") + b"\0" * 5 + gzip.compress(b"b") + b"\0" * 512

    assert inflate(data, max_bytes=LIMIT, codec=codec) == b"ab"


@every_codec
@pytest.mark.parametrize("texts", [[LIMIT], [LIMIT // 2, LIMIT // 2], [LIMIT, 0]])
def test_text_of_exactly_the_limit_is_taken(codec: Codec, texts: list[int]) -> None:
    """The limit is the most that is allowed, counted over all members."""
    data = b"".join(gzip.compress(b"x" * size) for size in texts)

    assert len(inflate(data, max_bytes=LIMIT, codec=codec)) == LIMIT


@every_codec
@pytest.mark.parametrize("texts", [[LIMIT + 1], [LIMIT // 2, LIMIT // 2 + 1], [LIMIT, 1]])
def test_text_past_the_limit_is_refused(codec: Codec, texts: list[int]) -> None:
    """One byte more than the limit, in whichever member, is too much."""
    data = b"".join(gzip.compress(b"x" * size) for size in texts)

    with pytest.raises(InputTooLargeError, match="at most 1000 bytes") as caught:
        inflate(data, max_bytes=LIMIT, codec=codec)
    assert caught.value.path == "$"


@every_codec
def test_as_many_members_as_the_bound_are_taken_and_no_more(codec: Codec) -> None:
    """However little each holds, so that no file is opened without an end."""
    member = gzip.compress(b"x")
    assert inflate(member * 1_000, max_bytes=LIMIT, codec=codec) == b"x" * 1_000

    with pytest.raises(InputTooLargeError) as caught:
        inflate(member * 1_000 + gzip.compress(b""), max_bytes=LIMIT, codec=codec)

    assert str(caught.value) == "$: got more gzip members, wanted at most 1000"


def test_plain_text_past_the_limit_is_refused() -> None:
    """The limit holds for text that was never compressed."""
    with pytest.raises(InputTooLargeError):
        inflate(b"x" * (LIMIT + 1), max_bytes=LIMIT)


@every_codec
def test_a_bomb_is_never_held(codec: Codec) -> None:
    """No more than the limit and one byte of text is asked of a decompressor."""
    asked: list[int] = []

    class Watched:
        def __init__(self, **options: int) -> None:
            self._inner = codec.decompressobj(**options)

        @property
        def eof(self) -> bool:
            return self._inner.eof

        @property
        def unused_data(self) -> bytes:
            return self._inner.unused_data

        def decompress(self, data: bytes, max_length: int, /) -> bytes:
            asked.append(max_length)
            return self._inner.decompress(data, max_length)

    bomb = gzip.compress(bytes(5_000_000))

    with pytest.raises(InputTooLargeError):
        inflate(bomb, max_bytes=LIMIT, codec=Codec(Watched, codec.error))
    assert asked
    assert all(0 < length <= LIMIT + 1 for length in asked)


@every_codec
@pytest.mark.parametrize("kept", [2, 5, 10, 15, -1, -8, -9])
def test_gzip_that_is_cut_short_is_refused(codec: Codec, kept: int) -> None:
    """A member must be whole, down to the last byte of its check sum."""
    data = gzip.compress(bytes(range(256)))[:kept]

    with pytest.raises(RecordMalformedError, match="cut short") as caught:
        inflate(data, max_bytes=LIMIT, codec=codec)
    assert caught.value.path == "$"


@every_codec
def test_a_second_member_that_is_cut_short_is_refused(codec: Codec) -> None:
    """Every member must be whole, not just the first."""
    data = gzip.compress(b"a") + gzip.compress(b"b")[:-3]

    with pytest.raises(RecordMalformedError, match="cut short"):
        inflate(data, max_bytes=LIMIT, codec=codec)


WHOLE = gzip.compress(b"abc")


@every_codec
@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-8] + bytes(4) + WHOLE[-4:],
        WHOLE[:-4] + b"\1\0\0\0",
        WHOLE[:2] + b"\x07" + WHOLE[3:],
        WHOLE[:10] + b"\xff" * 8 + WHOLE[-8:],
        WHOLE + b"and something else entirely",
    ],
    ids=["check sum", "length", "method", "blocks", "trailing"],
)
def test_damaged_gzip_is_refused(codec: Codec, data: bytes) -> None:
    """Data that is not what its check sum says, or is followed by what is no gzip, is refused."""
    with pytest.raises(RecordMalformedError, match="gzip"):
        inflate(data, max_bytes=LIMIT, codec=codec)


@every_codec
@given(st.binary(max_size=60))
def test_nothing_but_a_refusal_comes_out_of_damaged_data(codec: Codec, tail: bytes) -> None:
    """Whatever follows the magic number, the caller sees text or a refusal, never a zlib error."""
    with suppress(RecordMalformedError):
        assert len(inflate(b"\x1f\x8b" + tail, max_bytes=LIMIT, codec=codec)) <= LIMIT

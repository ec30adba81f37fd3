"""Laws of bounded inflation, for zlib and its faster twin alike."""

from __future__ import annotations

import gzip
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from isal import isal_zlib

from amiguard_core.log_files.inflate import (
    MAX_LAYERS,
    ZLIB,
    Codec,
    DamagedGzipError,
    Inflated,
    Inflater,
    TextTooLargeError,
    inflate,
)

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

    assert Inflated(b"".join(members)) == inflate(data, max_bytes=LIMIT, codec=codec)


@given(st.binary(max_size=LIMIT).filter(lambda data: b"\x1f\x8b\x08" not in data))
def test_what_is_not_gzip_comes_back_as_it_is(data: bytes) -> None:
    """Plain log files are taken without being asked what they are."""
    assert Inflated(data) == inflate(data, max_bytes=LIMIT)


@every_codec
def test_zeros_after_and_between_members_are_padding(codec: Codec) -> None:
    """Tapes and block stores pad with zeros, which are no member."""
    data = gzip.compress(b"a") + b"\0" * 5 + gzip.compress(b"b") + b"\0" * 512

    assert inflate(data, max_bytes=LIMIT, codec=codec) == Inflated(b"ab", padding_bytes=517)


@every_codec
@pytest.mark.parametrize("texts", [[LIMIT], [LIMIT // 2, LIMIT // 2], [LIMIT, 0]])
def test_text_of_exactly_the_limit_is_taken(codec: Codec, texts: list[int]) -> None:
    """The limit is the most that is allowed, counted over all members."""
    data = b"".join(gzip.compress(b"x" * size) for size in texts)

    assert len(inflate(data, max_bytes=LIMIT, codec=codec).text) == LIMIT


@every_codec
@pytest.mark.parametrize("texts", [[LIMIT + 1], [LIMIT // 2, LIMIT // 2 + 1], [LIMIT, 1]])
def test_text_past_the_limit_is_refused(codec: Codec, texts: list[int]) -> None:
    """One byte more than the limit, in whichever member, is too much."""
    data = b"".join(gzip.compress(b"x" * size) for size in texts)

    with pytest.raises(TextTooLargeError):
        inflate(data, max_bytes=LIMIT, codec=codec)


def test_plain_text_past_the_limit_is_refused() -> None:
    """The limit holds for text that was never compressed."""
    with pytest.raises(TextTooLargeError):
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

        @property
        def unconsumed_tail(self) -> bytes:
            return self._inner.unconsumed_tail

        def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
            asked.append(max_length)
            return self._inner.decompress(data, max_length)

    bomb = gzip.compress(bytes(5_000_000))

    with pytest.raises(TextTooLargeError):
        inflate(bomb, max_bytes=LIMIT, codec=Codec(Watched, codec.error))
    assert asked
    assert all(0 < length <= LIMIT + 1 for length in asked)


def damage_of(data: bytes, codec: Codec = ZLIB) -> str:
    """Returns what is said of data that is damaged."""
    damage = inflate(data, max_bytes=LIMIT, codec=codec).damage
    assert damage is not None
    return damage


@every_codec
@pytest.mark.parametrize("kept", [5, 10, 15, -1, -8, -9])
def test_gzip_that_is_cut_short_is_told(codec: Codec, kept: int) -> None:
    """A member must be whole, down to the last byte of its check sum; its text is kept."""
    whole = bytes(range(256))
    data = gzip.compress(whole)[:kept]

    inflated = inflate(data, max_bytes=LIMIT, codec=codec)

    assert inflated.damage == f"gzip that is cut short at byte {len(data)}"
    assert whole.startswith(inflated.text)
    assert kept < -7 or kept > 0 or inflated.text == whole


@every_codec
def test_a_second_member_that_is_cut_short_is_told(codec: Codec) -> None:
    """Every member must be whole, not just the first."""
    data = gzip.compress(b"a") + gzip.compress(b"b")[:-3]

    assert inflate(data, max_bytes=LIMIT, codec=codec).text == b"ab"
    assert "cut short" in damage_of(data, codec)


WHOLE = gzip.compress(b"abc")


@every_codec
@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-8] + bytes(4) + WHOLE[-4:],
        WHOLE[:-4] + b"\1\0\0\0",
        WHOLE[:10] + b"\xff" * 8 + WHOLE[-8:],
    ],
    ids=["check sum", "length", "blocks"],
)
def test_damaged_gzip_is_told(codec: Codec, data: bytes) -> None:
    """Data that is not what its check sum says is damaged, and the place is told."""
    assert damage_of(data, codec).startswith("damaged gzip at byte ")


@every_codec
def test_a_faster_codec_gives_the_same_text_before_damage(codec: Codec) -> None:
    """What can be read of a damaged file does not depend on what reads it."""
    text = b"".join(b"%d," % number for number in range(200))
    for place in range(12, len(gzip.compress(text)), 17):
        data = bytearray(gzip.compress(text, mtime=0))
        data[place] ^= 0xFF

        assert inflate(bytes(data), max_bytes=LIMIT) == inflate(
            bytes(data), max_bytes=LIMIT, codec=codec
        )


@every_codec
@given(st.binary(max_size=60))
def test_damaged_data_gives_text_or_is_told(codec: Codec, tail: bytes) -> None:
    """Whatever follows the magic number, the caller sees text and damage, never a zlib error."""
    inflated = inflate(b"\x1f\x8b\x08" + tail, max_bytes=10**6, codec=codec)

    assert inflated.damage is not None or inflated.text is not None


@every_codec
def test_members_and_plain_text_may_take_turns(codec: Codec) -> None:
    """A member may begin wherever plain text ends, and the other way round."""
    data = b"{1}" + gzip.compress(b"{2}") + b"\n{3}" + gzip.compress(b"") + gzip.compress(b"{4}")

    assert inflate(data, max_bytes=LIMIT, codec=codec) == Inflated(b"{1}{2}\n{3}{4}")


@every_codec
def test_gzip_inside_gzip_is_inflated_to_a_depth(codec: Codec) -> None:
    """What was compressed again by mistake is read; a nest without end is refused."""
    data = b"text"
    for _ in range(MAX_LAYERS):
        data = gzip.compress(data)

        assert inflate(data, max_bytes=LIMIT, codec=codec) == Inflated(b"text")
    assert "more than 3 times" in damage_of(gzip.compress(data), codec)


def test_many_members_cost_no_more_than_their_bytes() -> None:
    """A file of a hundred thousand members, as a year of small files joined, is read."""
    data = gzip.compress(b"", mtime=0) * 100_000

    assert inflate(data, max_bytes=LIMIT) == Inflated(b"")


@given(data=st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    """Text and damage are the same in whatever pieces a file comes."""
    parts = data.draw(
        st.lists(
            st.sampled_from(
                [
                    *(b"plain", b"\0\0", b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08\xff"),
                    *(gzip.compress(b"one"), gzip.compress(gzip.compress(b"two"))),
                    gzip.compress(b"three" * 50)[:-5],
                ]
            ),
            max_size=6,
        )
    )
    whole = b"".join(parts)
    size = data.draw(st.integers(1, 30))
    inflater = Inflater()
    texts: list[bytes] = []
    damage = None
    try:
        for start in range(0, len(whole), size):
            for text in inflater.feed(whole[start : start + size]):
                texts.append(text)  # noqa: PERF402 - what came before damage is kept
        texts += inflater.finish()
    except DamagedGzipError as error:
        damage = str(error)
    text = b"".join(texts)

    assert inflate(whole, max_bytes=10_000) == Inflated(text, damage, inflater.padding_bytes)

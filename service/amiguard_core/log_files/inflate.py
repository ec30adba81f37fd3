"""Inflates gzip as a stream: any number of members, gzip inside gzip, and plain text between."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

GZIP_MAGIC = b"\x1f\x8b\x08"
"""How a member begins. JSON has no such bytes: 0x1F is a control character."""
MAX_LAYERS = 3
"""Gzip inside gzip that is inflated. A shipper that compresses what was compressed makes two."""

_GZIP_WBITS = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 1 << 20
"""Text that is inflated at a time."""
_MIN_SLICE_BYTES = 1 << 10
_MAX_SLICE_BYTES = 1 << 18
_PADDING = re.compile(rb"\0*+")


class Decompressor(Protocol):
    """What `zlib.decompressobj` returns, and isal's and zlib-ng's twins of it."""

    @property
    def eof(self) -> bool:
        """Whether the end of a member was reached."""

    @property
    def unused_data(self) -> bytes:
        """The bytes behind the member."""

    @property
    def unconsumed_tail(self) -> bytes:
        """The bytes that are still to be inflated, where a length stopped it."""

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        """Inflates up to a length; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class Codec:
    """An implementation of zlib: its decompressor and the error it raises for damaged data."""

    decompressobj: Callable[..., Decompressor]
    error: type[Exception]


ZLIB = Codec(zlib.decompressobj, zlib.error)


class DamagedGzipError(Exception):
    """Gzip that is damaged, cut short, or nested too deep. The text says which, and where."""


class TextTooLargeError(Exception):
    """Text that is larger than its limit once inflated."""


@dataclass(frozen=True, slots=True)
class Inflated:
    """The text of a whole file; `damage` says why it ends early, where it does.

    `padding_bytes` counts the NUL bytes between and behind members, which are left out.
    """

    text: bytes
    damage: str | None = None
    padding_bytes: int = 0


def inflate(data: bytes, *, max_bytes: int, codec: Codec = ZLIB) -> Inflated:
    """Returns the text of a file, gzip or not.

    It holds at most `max_bytes` of text and one piece more. Raises TextTooLargeError past that.
    """
    if GZIP_MAGIC not in data:
        if len(data) > max_bytes:
            raise TextTooLargeError
        return Inflated(data)
    parts: list[bytes] = []
    damage = None
    room = max_bytes
    inflater = Inflater(codec=codec, piece_bytes=min(_PIECE_BYTES, max_bytes + 1))
    try:
        for text in inflater.feed_all(data):
            room -= len(text)
            if room < 0:
                raise TextTooLargeError
            parts.append(text)
    except DamagedGzipError as error:
        if codec is not ZLIB:
            # Only zlib tells exactly how far the text is sound.
            return inflate(data, max_bytes=max_bytes)
        damage = str(error)
    text = parts[0] if len(parts) == 1 else b"".join(parts)
    return Inflated(text, damage, inflater.padding_bytes)


class Inflater:
    """Turns the bytes of a file into its text, piece by piece, in whatever pieces they arrive.

    Plain text passes through. A member of gzip may begin anywhere in it. With zlib, the text
    before damage is exactly what was compressed, down to the last byte that can be told.
    """

    def __init__(
        self, *, codec: Codec = ZLIB, piece_bytes: int = _PIECE_BYTES, layer: int = 1
    ) -> None:
        self._codec = codec
        self._piece_bytes = piece_bytes
        self._layer = layer
        self._member: Decompressor | None = None
        self._inner: Inflater | None = None
        self._has_inflated = False
        self._is_behind_member = False
        self._held = b""
        self._position = 0
        self._padding_bytes = 0

    @property
    def padding_bytes(self) -> int:
        """NUL bytes between and behind members, which are left out."""
        return self._padding_bytes + (self._inner.padding_bytes if self._inner is not None else 0)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the text that more bytes of the file hold. Has to be read to its end.

        Raises DamagedGzipError; what was yielded before is sound.
        """
        if self._held:
            data, self._held = self._held + data, b""
        start = 0
        while start < len(data):
            before = start
            if self._member is not None:
                start = yield from self._inflate(data, start)
            elif data.startswith(GZIP_MAGIC, start):
                self._begin_member()
                continue
            else:
                start = yield from self._pass(data, start)
            self._position += start - before - len(self._held)

    def finish(self) -> Iterator[bytes]:
        """Yields the rest of the text. Raises DamagedGzipError where a member is cut short."""
        held, self._held = self._held, b""
        if held:
            yield held
        if self._inner is not None:
            yield from self._inner.finish()
        if self._member is not None:
            raise DamagedGzipError(f"gzip that is cut short at byte {self._position}")

    def feed_all(self, data: bytes) -> Iterator[bytes]:
        """Yields the text of a whole file."""
        yield from self.feed(data)
        yield from self.finish()

    def _begin_member(self) -> None:
        if self._layer > MAX_LAYERS:
            raise DamagedGzipError(f"gzip inside gzip more than {MAX_LAYERS} times")
        self._member = self._codec.decompressobj(wbits=_GZIP_WBITS)

    def _pass(self, data: bytes, start: int) -> Generator[bytes, None, int]:
        """Yields plain text up to the next member; returns where it ends."""
        end = data.find(GZIP_MAGIC, start)
        if end < 0:
            end = len(data)
            # A member may begin in the last bytes, and its magic end in the next ones.
            for length in (2, 1):
                if data.endswith(GZIP_MAGIC[:length]) and end - length >= start:
                    end -= length
                    self._held = data[end:]
                    break
        if self._is_behind_member:
            # Tapes and block stores pad with zeros, which are no text of the file.
            padding = _PADDING.match(data, start, end)
            if padding is not None:
                self._padding_bytes += len(padding[0])
                start = padding.end()
        if start < end:
            self._is_behind_member = False
            yield data[start:end]
        return end + len(self._held)

    def _inflate(self, data: bytes, start: int) -> Generator[bytes, None, int]:
        """Yields text of a member; returns the place behind it, or the end of the bytes."""
        member = self._member
        assert member is not None  # noqa: S101 - it has begun
        offset = self._position - start
        view = memoryview(data)
        # Slices grow, because all bytes of one that follow a member are copied at its end.
        slice_bytes = _MIN_SLICE_BYTES if self._has_inflated else _MAX_SLICE_BYTES
        while start < len(data):
            piece: bytes | memoryview = view[start : start + slice_bytes]
            start += len(piece)
            slice_bytes = min(slice_bytes * 2, _MAX_SLICE_BYTES)
            while True:
                # Faster twins of zlib cannot be copied.
                sound = member.copy() if hasattr(member, "copy") else None
                try:
                    text = member.decompress(piece, self._piece_bytes)
                except self._codec.error:
                    sound_bytes = 0
                    if sound is not None:
                        sound_bytes = yield from self._salvage(sound, piece)
                    where = offset + start - len(piece) + sound_bytes
                    raise DamagedGzipError(f"damaged gzip at byte {where}") from None
                yield from self._hand_on(text)
                piece = member.unconsumed_tail
                if member.eof or (not piece and len(text) < self._piece_bytes):
                    break
            if member.eof:
                self._member = None
                self._has_inflated = self._is_behind_member = True
                return start - len(member.unused_data)
        return start

    def _salvage(
        self, member: Decompressor, piece: bytes | memoryview
    ) -> Generator[bytes, None, int]:
        """Yields the text before damage; returns how many bytes of the piece were sound."""
        for position in range(len(piece)):
            try:
                text = member.decompress(piece[position : position + 1], 0)
            except self._codec.error:
                return position
            yield from self._hand_on(text)
        return len(piece)

    def _hand_on(self, text: bytes) -> Iterator[bytes]:
        """Yields text that was inflated, inflated once more where it is gzip itself."""
        if self._inner is None:
            self._inner = Inflater(
                codec=self._codec, piece_bytes=self._piece_bytes, layer=self._layer + 1
            )
        return self._inner.feed(text)

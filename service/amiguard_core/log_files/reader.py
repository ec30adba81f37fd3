"""Takes a log file apart into its records, as a stream, without changing a byte of any record.

A file may hold several documents, one behind the other. A document is a record, an envelope of
records (`{"Records": [...]}` and its like), or an array of either. Extents are found by strings and
brackets alone: what is wrong inside one record is left to the decoder of that record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from amiguard_core.log_files.extents import ObjectExtent, Step, end_of_scalar, is_plain_object
from amiguard_core.log_files.forms import MIN_BYTES, other_form, starts_like_utf_16
from amiguard_core.log_files.inflate import DamagedGzipError, Inflater

_MAX_ENVELOPES: Final = 4
"""Envelopes of records inside each other that are taken apart."""
_MAX_GUESS_BYTES: Final = 64 * 1024
"""Longest record whose end is guessed, which is some times faster."""
_MAX_KEY_BYTES: Final = 256
"""Bytes in front of an array that can hold its name."""
_PIECE_BYTES: Final = 1 << 20
"""Text that is read at a time, and so what records are held of it."""
_FREE_RESCAN_BYTES: Final = 1 << 20
_MAX_RESCANS: Final = 1
"""How often text is read again at most, on average, to find where sound text goes on."""

_HARMLESS = re.compile(rb"(?:[\s,\x1e]++|\0++|\xef\xbb\xbf)*+")
"""What may stand between documents: white space, commas, record separators, padding, BOMs."""
_ENVELOPE = re.compile(rb'[{,]\s*"(Records|Events|events|logEvents)"\s*:\s*\Z')
_HOLDS_MESSAGES = frozenset({b"events", b"logEvents"})
"""Envelopes of CloudWatch Logs, whose elements have a record as JSON text: `message`."""
_CONTROL_TYPE = re.compile(rb'"messageType"\s*:\s*"CONTROL_MESSAGE"')
_CONTROL_TEXT = "CWL CONTROL MESSAGE"
_TIME = re.compile(
    rb"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:?\d\d)?[ \t]+(?:[^\s{\"]+[ \t]+)?(?=\{)"
)
"""What AWS's command line and CloudWatch's exports write before a message."""

# Where sound text may go on behind unsound text. A string of JSON can hold none of these.
_KNOWN_START = rb'(?=\{"Records":\[|\{"eventVersion":)'
_RESUME_AT_DOCUMENT = re.compile(rb"\n(?=[{\[])|" + _KNOWN_START)
_RESUME_AT_LINE = re.compile(rb"\n|" + _KNOWN_START)
_RESUME_AFTER_PROLOGUE = re.compile(rb"\n\s*(?=[{\[]|\d{4}-\d\d-\d\dT)|" + _KNOWN_START)

_FILE_START: Final = b'{"Records":['
_RECORD_START: Final = b'{"eventVersion":'
_RESUME_BYTES: Final = len(_RECORD_START)
"""Bytes behind white space by which it is told at most that sound text goes on."""
_NEXT_IN_ARRAY: Final = b"}," + _RECORD_START
_NEXT_DOCUMENT: Final = b"}" + _RECORD_START
_OPENERS: Final = b"{["
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a file that is not read: the JSON path and the reason.

    `message` says what was got and what was wanted.
    """

    message: str
    path: str = "$"


Item: TypeAlias = bytes | Unreadable
"""A record as it stands in the file, sound or not, or a part that is not read."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """An array that records are read from; without a name no object is around it."""

    name: bytes = b""
    is_control: bool = False


class LogReader:
    """Reads one file: `feed` it bytes as they come, then `finish`. Read both to their end.

    What it yields depends on the bytes alone, not on the pieces in which they come. It holds one
    record of at most `max_record_bytes`, and one piece of text.
    """

    def __init__(self, *, max_record_bytes: int) -> None:
        self._max_record_bytes = max_record_bytes
        self._inflater = Inflater()
        self._items: list[Item] = []
        self._text = bytearray()
        self._position = 0
        self._dropped_bytes = 0
        self._rescanned_bytes = 0
        self._padding_bytes = 0
        self._has_documents = False
        self._has_records = False
        self._has_unsound = False
        self._is_over = False
        self._envelopes: list[_Envelope] = []
        # White space before the record that is read, where a line begins with it.
        self._indent: bytes | None = None
        # The object that is read, where it begins, and how far unsound text was searched. What is
        # too long and not kept begins in front of the text that is there.
        self._extent: ObjectExtent | None = None
        self._start = 0
        self._scan = 0
        self._is_kept = True
        self._is_rest = False
        self._may_be_envelope = True
        # What ends the unsound text that is skipped.
        self._resume: re.Pattern[bytes] | None = None

    @property
    def padding_bytes(self) -> int:
        """NUL bytes between documents and between members of gzip, which are left out."""
        return self._padding_bytes + self._inflater.padding_bytes

    @property
    def is_blank(self) -> bool:
        """Whether nothing but white space has come."""
        is_untouched = not (self._has_documents or self._has_unsound or self.padding_bytes)
        return is_untouched and not self._text[self._position :].strip()

    @property
    def held_bytes(self) -> int:
        """Text of a record whose end has not come."""
        return len(self._text) - self._position

    def feed(self, data: bytes) -> Iterator[Item]:
        """Yields the records that end within more bytes of the file."""
        yield from self._read(self._inflater.feed(data), is_end=False)

    def finish(self) -> Iterator[Item]:
        """Yields what is left at the end of the file."""
        yield from self._read(self._inflater.finish(), is_end=True)

    def read(self, pieces: Iterable[bytes]) -> Iterator[Item]:
        """Yields all records of a file."""
        for piece in pieces:
            yield from self.feed(piece)
        yield from self.finish()

    def _read(self, texts: Iterator[bytes], *, is_end: bool) -> Iterator[Item]:
        damage = None
        try:
            while not self._is_over and (text := next(texts, None)) is not None:
                for start in range(0, len(text), _PIECE_BYTES):
                    self._take(text[start : start + _PIECE_BYTES])
                    yield from self._hand_out()
        except DamagedGzipError as error:
            damage = error
        if (is_end or damage is not None) and not self._is_over:
            self._end(damage)
            yield from self._hand_out()

    def _hand_out(self) -> list[Item]:
        items, self._items = self._items, []
        return items

    def _take(self, text: bytes) -> None:
        self._text += text
        self._advance(is_end=False)
        self._forget()

    def _end(self, damage: DamagedGzipError | None) -> None:
        # Of gzip that is damaged the last record is not unsound, but a part of what is missing.
        if damage is None:
            self._advance(is_end=True)
        if self._is_over:
            return
        self._is_over = True
        if damage is not None:
            self._items.append(damaged_gzip(str(damage)))
        elif self._envelopes and (self._has_records or not self._has_unsound):
            self._items.append(Unreadable("got a file that is cut short, wanted all of it"))
        elif not self._has_documents and not self._has_unsound:
            self._items.append(Unreadable("got a file without any record, wanted a log file"))

    def _advance(self, *, is_end: bool) -> None:
        """Reads what can be told of the text that is there."""
        goes_on = True
        while goes_on and not self._is_over:
            if self._resume is not None:
                goes_on = self._skip(self._resume, is_end=is_end)
            elif self._extent is not None:
                goes_on = self._read_object(self._extent, is_end=is_end)
            elif self._envelopes:
                goes_on = self._read_between_records(is_end=is_end)
            else:
                goes_on = self._read_between_documents(is_end=is_end)

    def _forget(self) -> None:
        """Lets go of text that is done with."""
        done = self._position
        if self._resume is not None:
            done = self._start if self._is_kept else self._scan
        elif self._extent is not None:
            done = self._start
            if not self._is_kept:
                # What stands before the next bracket tells what it opens.
                extent = self._extent
                done = max(done, min(extent.run - 1, extent.place), extent.place - _MAX_KEY_BYTES)
        del self._text[:done]
        self._dropped_bytes += done
        self._position = max(0, self._position - done)
        self._start -= done
        self._scan -= done
        if self._extent is not None:
            self._extent.drop(done)

    # Between documents, and between the records of an envelope.

    def _skip_harmless(self) -> None:
        match = _HARMLESS.match(self._text, self._position)
        found = match[0] if match is not None else b""
        self._position += len(found)
        self._padding_bytes += found.count(0)
        _, newline, rest = found.rpartition(b"\n")
        if newline:
            self._indent = bytes(rest)
        elif self._indent is not None:
            self._indent += rest

    def _read_between_documents(self, *, is_end: bool) -> bool:
        """Finds the next document; says whether more can be told."""
        self._skip_harmless()
        start = bytes(self._text[self._position : self._position + MIN_BYTES])
        if not start or (not is_end and len(start) < len(_BOM)):
            return False
        is_other = not self._has_documents and starts_like_utf_16(start)
        if start[0] in _OPENERS and not is_other:
            return self._begin_document(is_end=is_end)
        if not is_end and len(start) < MIN_BYTES and b"\n" not in start:
            return False
        return self._read_other_text(start)

    def _begin_document(self, *, is_end: bool) -> bool:
        self._has_documents = True
        self._indent = None
        if self._text[self._position] == ord("["):
            self._envelopes.append(_Envelope())
            self._position += 1
            return True
        return self._read_record(is_end=is_end)

    def _read_other_text(self, start: bytes) -> bool:
        """Reads text between documents that is not harmless, or the time in front of one."""
        timed = _TIME.match(self._text, self._position)
        if timed is not None:
            self._position = timed.end()
            return True
        form = other_form(start, is_first=not self._has_documents)
        if form is not None:
            self._is_over = True
            self._items.append(Unreadable(f"{form}; the rest of the file is not read"))
            return False
        # What stands before the first document is one part, however many lines it has.
        self._resume = _RESUME_AT_LINE if self._has_documents else _RESUME_AFTER_PROLOGUE
        self._start = self._scan = self._position
        self._is_kept = True
        return True

    def _read_between_records(self, *, is_end: bool) -> bool:
        """Finds the next record of an envelope, or its end; says whether more can be told."""
        self._skip_harmless()
        text, position = self._text, self._position
        if position == len(text):
            return False
        mark = text[position]
        if mark == ord("]"):
            self._position += 1
            if self._envelopes[-1].name:
                self._begin_object(is_rest=True)
            else:
                self._envelopes.pop()
            return True
        if mark == ord("[") and len(self._envelopes) < _MAX_ENVELOPES:
            self._envelopes.append(_Envelope())
            self._position += 1
            return True
        if mark in _OPENERS:
            return self._read_record(is_end=is_end)
        if mark == ord("}"):
            self._position += 1
            self._envelopes.pop()
            self._items.append(Unreadable("got an array of records without its end"))
            return True
        return self._read_scalar(is_end=is_end)

    def _read_scalar(self, *, is_end: bool) -> bool:
        """Reads what stands in the place of a record and is no object."""
        text, position = self._text, self._position
        end, may_go_on = end_of_scalar(text, position)
        if may_go_on and not is_end and len(text) - position <= self._max_record_bytes:
            return False
        if end == position or end - position > self._max_record_bytes:
            self._start = position
            self._is_kept = True
            self._fail(end)
            return True
        self._hand_over(bytes(text[position:end]).strip())
        self._position = end
        return True

    # Records.

    def _read_record(self, *, is_end: bool) -> bool:
        """Reads the record that begins here, if its end is there already."""
        beginning = self._text[self._position : self._position + len(_RECORD_START)]
        if (
            len(beginning) < len(_RECORD_START)
            and not is_end
            and _RECORD_START.startswith(beginning)
        ):
            return False
        end = self._guess_end()
        if end is not None:
            self._hand_over(bytes(self._text[self._position : end]))
            self._position = end
            self._indent = None
            return True
        self._begin_object(is_rest=False)
        return True

    def _guess_end(self) -> int | None:
        """Returns the end of the record that begins here, where it is easy to find.

        Records of CloudTrail begin alike, and stand one behind the other or each in its line.
        """
        text, start = self._text, self._position
        if not text.startswith(_RECORD_START, start):
            return None
        most = start + min(_MAX_GUESS_BYTES, self._max_record_bytes)
        if self._envelopes:
            end = text.find(_NEXT_IN_ARRAY, start, most) + 1
        else:
            end = text.find(b"\n", start, most)
            if end < 0:
                end = text.find(_NEXT_DOCUMENT, start, most) + 1
        record = bytes(text[start:end]).rstrip(b"\r\t ,") if end > 0 else b""
        return start + len(record) if is_plain_object(record) else None

    def _begin_object(self, *, is_rest: bool) -> None:
        """Begins to read an object: a record, or the rest of one around an envelope."""
        self._is_rest = is_rest
        self._is_kept = not is_rest
        # The bracket in front of it tells what may follow.
        self._start = self._position - is_rest
        self._may_be_envelope = not self._text.startswith(_RECORD_START, self._start)
        self._extent = ObjectExtent(self._text, self._start)

    def _read_object(self, extent: ObjectExtent, *, is_end: bool) -> bool:
        """Goes on to the end of an object; says whether more can be told."""
        step = extent.advance()
        if step is Step.ARRAY:
            self._enter_envelope(extent)
        elif step is Step.END:
            self._end_object(extent)
        elif step is Step.BROKEN:
            self._fail(extent.place - 1)
        elif is_end and self._is_rest:
            # The file is cut short, which is said at its end.
            self._extent = None
            self._is_rest = False
            self._position = len(self._text)
            return False
        elif is_end:
            self._fail(len(self._text))
        else:
            if len(self._text) - self._start > self._max_record_bytes:
                self._is_kept = False
            return False
        return True

    def _enter_envelope(self, extent: ObjectExtent) -> None:
        """Begins to read records where the array that begins here holds them."""
        place = extent.place - 1
        start = max(extent.array_start, place - _MAX_KEY_BYTES)
        match = _ENVELOPE.search(self._text, start, place) if self._may_be_envelope else None
        if match is None or (len(self._envelopes) >= _MAX_ENVELOPES and not self._is_rest):
            return
        is_control = _CONTROL_TYPE.search(self._text, self._start, place) is not None
        if self._is_rest:
            self._envelopes.pop()
        self._envelopes.append(_Envelope(bytes(match[1]), is_control=is_control))
        self._extent = None
        self._position = place + 1

    def _end_object(self, extent: ObjectExtent) -> None:
        self._extent = None
        self._position = extent.place
        self._indent = None
        if self._is_rest:
            self._is_rest = False
            self._envelopes.pop()
        elif self._is_kept:
            self._hand_over(bytes(self._text[self._start : extent.place]))
        else:
            self._items.append(self._too_long())

    def _hand_over(self, record: bytes) -> None:
        """Reads a record, or the text of the message that it is the envelope of."""
        self._has_records = True
        if len(record) > self._max_record_bytes:
            self._items.append(self._too_long())
            return
        envelope = self._envelopes[-1] if self._envelopes else None
        if envelope is None or envelope.name not in _HOLDS_MESSAGES:
            self._items.append(record)
            return
        message = _message_of(record)
        if message is None:
            self._items.append(record)
        elif not envelope.is_control and not message.startswith(_CONTROL_TEXT):
            self._items.append(message.encode(errors="replace"))

    def _too_long(self) -> Unreadable:
        return Unreadable(
            f"got a record over the limit, wanted at most {self._max_record_bytes} bytes"
        )

    # Unsound text.

    def _fail(self, place: int) -> None:
        """Begins to skip the value that is read, because it is no JSON at a place."""
        self._extent = None
        if self._is_rest:
            self._envelopes.pop()
        self._is_kept = self._is_kept and place - self._start <= self._max_record_bytes
        self._scan = max(self._start + 1, place)
        if self._is_kept:
            self._rescanned_bytes += place - self._start
            read_bytes = self._dropped_bytes + place
            if self._rescanned_bytes <= _FREE_RESCAN_BYTES + _MAX_RESCANS * read_bytes:
                self._scan = self._start + 1
        self._resume = _RESUME_AT_DOCUMENT
        if self._indent is not None and self._envelopes:
            beginning = rb"\n" + re.escape(self._indent) + rb"(?=\{)"
            self._resume = re.compile(beginning + rb"|" + _RESUME_AT_DOCUMENT.pattern)

    def _skip(self, resume: re.Pattern[bytes], *, is_end: bool) -> bool:
        """Reads unsound text as one item; says whether more can be told."""
        text = self._text
        match = resume.search(text, self._scan)
        if match is not None and not is_end:
            following = text[match.end() : match.end() + len(_FILE_START)]
            if len(following) < len(_FILE_START) and _FILE_START.startswith(following):
                return False
        if match is None and not is_end:
            self._scan = max(self._scan, len(text[:-_RESUME_BYTES].rstrip()))
            if self._scan - self._start > self._max_record_bytes:
                self._is_kept = False
            return False
        end = match.end() if match is not None else len(text)
        is_long = end - self._start > self._max_record_bytes
        junk = bytes(text[self._start : end]).strip(b", \t\r\n")
        self._resume = None
        self._position = end
        self._has_unsound = True
        if match is not None and self._begins_document(match):
            self._envelopes.clear()
        if self._is_rest:
            self._is_rest = False
            self._items.append(
                Unreadable("got text that is no JSON behind records, wanted the end of a file")
            )
        elif is_long or not self._is_kept:
            self._items.append(self._too_long())
        else:
            self._items.append(junk)
        return True

    def _begins_document(self, match: re.Match[bytes]) -> bool:
        """Says whether a document goes on behind unsound text, rather than a record like it."""
        if match.string[match.end() : match.end() + len(_FILE_START)] == _FILE_START:
            return True
        if self._indent is not None and match[0] == b"\n" + self._indent:
            return False
        return match[0] == b"\n"


def damaged_gzip(damage: str) -> Unreadable:
    """Tells that a file is not read from where its gzip is damaged."""
    return Unreadable(f"got {damage}, wanted whole gzip; the rest of the file is not read")


def _message_of(record: bytes) -> str | None:
    """Returns the text of an event of CloudWatch Logs; None where there is none."""
    try:
        event = json.loads(record.decode())
    except (ValueError, RecursionError):
        return None
    message = event.get("message") if isinstance(event, dict) else None
    return message if isinstance(message, str) else None

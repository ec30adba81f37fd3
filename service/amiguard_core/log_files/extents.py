"""Finds where a JSON object ends, as its text comes in, by its strings and brackets alone."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

_STRING: Final = rb'"(?:[^"\\\n]++|\\[^\n])*+"'
_FLAT: Final = rb'[^"{}\[\]]++|' + _STRING
_OPENS: Final = rb"(?:(?<!\s)|(?<=: ))"
"""What stands before a bracket that opens in the line of its name."""
_LEAF: Final = rb"%b\{(?:%b|%b\[(?:%b)*+\])*+\}" % (_OPENS, _FLAT, _OPENS, _FLAT)
_BRANCH: Final = rb"%b\{(?:%b|%b|%b\[(?:%b|%b)*+\])*+\}" % (
    *(_OPENS, _FLAT, _LEAF),
    *(_OPENS, _FLAT, _LEAF),
)
_RUN = re.compile(rb"(?:%b|%b)*+" % (_FLAT, _BRANCH))
"""Everything up to the next bracket that does not close again soon, or to a string without end."""
_SCALAR = re.compile(rb'(?:[^"{}\[\],\n]++|%b)*+' % _STRING)
"""What stands between two commas of an array and is no object."""
_STRING_REST = re.compile(rb'(?:[^"\\\n]++|\\[^\n])*+')

_CLOSER_OF: Final = {ord("{"): ord("}"), ord("["): ord("]")}
_NO_MARKS: Final = bytes(set(range(256)).difference(b'{}[]"\\\n'))
_MAX_PLAIN_DEPTH: Final = 32


class Step(Enum):
    """How far an object could be followed."""

    MORE = "more text is needed"
    END = "it has ended"
    ARRAY = "an array begins that is a member of the object itself"
    BROKEN = "it is no JSON here"


class ObjectExtent:
    """Follows one object from behind its first bracket.

    `place` is how far it was followed, `run` where the text since its last bracket begins, both in
    a text that the owner adds to, and from the front of which it drops what is done.
    """

    def __init__(self, text: bytearray, first_bracket: int) -> None:
        self._text = text
        self._closers = bytearray(b"}")
        self._is_in_string = False
        self.place = self.run = first_bracket + 1
        self.array_start = 0
        """After ARRAY, where the text in front of the array begins; it ends before `place`."""

    def drop(self, count: int) -> None:
        """Takes in that so many bytes were dropped from the front of the text."""
        self.place -= count
        self.run = max(0, self.run - count)

    def advance(self) -> Step:
        """Follows the object as far as it goes. After ARRAY it goes on into the array."""
        text = self._text
        step: Step | None = None
        while step is None:
            if self._is_in_string:
                step = self._end_string()
                continue
            self.place = place = end_of(_RUN, text, self.place)
            if place == len(text):
                return Step.MORE
            self.place += 1
            if text[place] == ord('"'):
                self._is_in_string = True
            else:
                step = self._take_bracket(text[place], place)
                self.run = self.place
        return step

    def _end_string(self) -> Step | None:
        """Goes to the end of a string, which is in its line; None where it was there."""
        text = self._text
        self.place = place = end_of(_STRING_REST, text, self.place)
        if text[place : place + 1] == b'"':
            self._is_in_string = False
            self.place += 1
            return None
        is_open = place + 1 >= len(text) and text[place : place + 1] != b"\n"
        return Step.MORE if is_open else Step.BROKEN

    def _take_bracket(self, mark: int, place: int) -> Step | None:
        closers = self._closers
        if mark in _CLOSER_OF:
            if not self._may_open(place):
                return Step.BROKEN
            closers.append(_CLOSER_OF[mark])
            self.array_start = max(0, self.run - 1)
            is_member = len(closers) == len(b"}]") and mark == ord("[")
            return Step.ARRAY if is_member else None
        if mark != closers.pop():
            return Step.BROKEN
        return None if closers else Step.END

    def _may_open(self, place: int) -> bool:
        """Says whether a bracket may open here.

        Where one begins a line, no comma or colon in front of it tells that the line before is
        cut short, and that this is a document of its own.
        """
        before = self._text[max(0, self.run - 1) : place]
        sound = before.rstrip()
        return sound.endswith((b":", b",", b"[")) or b"\n" not in before[len(sound) :]


def end_of_scalar(text: bytearray, start: int) -> tuple[int, bool]:
    """Returns where a value of an array that is no object ends, and whether it may go on there."""
    end = end_of(_SCALAR, text, start)
    if text[end : end + 1] == b'"':
        return end, end_of(_STRING_REST, text, end + 1) >= len(text) - 1
    return end, end == len(text)


def end_of(pattern: re.Pattern[bytes], text: bytearray, start: int) -> int:
    """Returns where a pattern that matches everywhere, if only nothing, ends."""
    match = pattern.match(text, start)
    return match.end() if match is not None else start


def is_plain_object(text: bytes) -> bool:
    """Says whether a text is one object, all in one line; no where that is not easy to tell."""
    if not text.startswith(b"{") or not text.endswith(b"}"):
        return False
    marks = text.translate(None, _NO_MARKS).replace(b'""', b"")[1:-1]
    for _ in range(_MAX_PLAIN_DEPTH):
        if not marks:
            return True
        fewer = marks.replace(b"{}", b"").replace(b"[]", b"")
        if len(fewer) == len(marks):
            return False
        marks = fewer
    return False

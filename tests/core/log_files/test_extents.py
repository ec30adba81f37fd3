"""Laws of where an object ends: exact places, whatever the cuts of the text."""

from __future__ import annotations

import pytest

from amiguard_core.log_files.extents import (
    ObjectExtent,
    Step,
    end_of_scalar,
    is_plain_object,
)


def ends(text: bytes, start: int = 0) -> tuple[Step, int]:
    """Returns the last step and its place in a text that is there as a whole."""
    extent = ObjectExtent(bytearray(text), start)
    while (step := extent.advance()) is Step.ARRAY:
        pass
    return step, extent.place


def ends_bytewise(whole: bytes) -> tuple[Step, int]:
    """Returns the same of a text that comes byte by byte and is dropped where it is done."""
    text = bytearray(whole[:1])
    extent = ObjectExtent(text, 0)
    step, dropped = Step.MORE, 0
    for byte in whole[1:]:
        if step not in {Step.MORE, Step.ARRAY}:
            break
        text.append(byte)
        while (step := extent.advance()) is Step.ARRAY:
            pass
        done = max(0, min(extent.run - 1, extent.place))
        del text[:done]
        extent.drop(done)
        dropped += done
    return step, dropped + extent.place


OBJECTS = [
    b"{}",
    b"[]",
    b'{"a":1}',
    b'{"a":[]}',
    b'{"a": {"b": [1, {"c": []}]}}',
    b'{"a":"}","b":"]"}',
    b'{"a":"\\"}"}',
    b'{"a":"\\\\"}',
    b'{"a":{"b":{"c":{"d":[[[{}]]]}}}}',
    b'[\n{"a":1},\n{"b":2}\n]',
    b'{"a":\n{"b":\n[\n{}\n]}\n}',
    b'{"a" {"b":1}}',
    b'{"a"\t[1]}',
    b"[\n{}]",
    b"[\n[\n{}]]",
    b'{"a":1,\n{}}',
]


@pytest.mark.parametrize("whole", OBJECTS)
def test_an_object_ends_behind_its_last_bracket(whole: bytes) -> None:
    """What is inside, and what follows, does not move the end."""
    expected = (Step.END, len(whole))

    assert [ends(whole), ends(whole + b'}]"x{'), ends_bytewise(whole)] == [expected] * 3
    assert ends(b"{[" + whole + b"}", 2) == (Step.END, len(whole) + 2)


@pytest.mark.parametrize("whole", OBJECTS)
def test_an_object_without_its_end_needs_more(whole: bytes) -> None:
    """No beginning of an object is broken, and none has ended."""
    for length in range(1, len(whole)):
        step, place = ends(whole[:length])

        assert step is Step.MORE
        assert place <= length


BROKEN = [
    (b"{]", 2),
    (b"[}", 2),
    (b'{"a":[1}', 8),
    (b'{"a":1\n{', 8),
    (b"{\n{", 3),
    (b'{"a"\n [', 7),
    (b'{"a":"b\n', 7),
    (b'{"a":"b\\\n', 7),
    (b'[{"a":1}\n{', 10),
    (b'{"a":[1]\n  {', 12),
]


@pytest.mark.parametrize(("text", "place"), BROKEN)
def test_text_is_broken_at_the_bracket_or_string_that_cannot_be(text: bytes, place: int) -> None:
    """A bracket of another kind, a string over a line, and a line cut short are no JSON."""
    assert [ends(text), ends(text + b"1}]"), ends_bytewise(text)] == [(Step.BROKEN, place)] * 3
    assert ends(text[:-1])[0] is Step.MORE


def test_only_an_array_of_the_object_itself_is_a_step() -> None:
    """Where its name stands is told; arrays deeper down may hold no records."""
    text = bytearray(b'{"a":{"b":[1]},"Records":[{"c":[2]},[3]],"x":[]}')
    extent = ObjectExtent(text, 0)
    found = []
    while (step := extent.advance()) is Step.ARRAY:
        found.append(bytes(text[extent.array_start : extent.place]))

    assert step is Step.END
    assert [name.rpartition(b',"')[2] for name in found] == [b'Records":[', b'x":[']


def test_the_name_of_an_array_is_told_with_the_bracket_before_it() -> None:
    """A name counts where a bracket or a comma stands in front of it."""
    text = bytearray(b' {"Records" : [')
    extent = ObjectExtent(text, 1)

    assert extent.advance() is Step.ARRAY
    assert bytes(text[extent.array_start :]) == b'{"Records" : ['
    assert (extent.place, extent.run) == (15, 15)


def test_dropped_text_moves_every_place() -> None:
    """Places are those of the text that is left, and none is before it."""
    text = bytearray(b'{"a":[1],"bcd"')
    extent = ObjectExtent(text, 0)
    while extent.advance() is Step.ARRAY:
        pass
    assert (extent.place, extent.run) == (14, 8)

    del text[:7]
    extent.drop(7)
    assert (extent.place, extent.run) == (7, 1)

    del text[:6]
    extent.drop(6)
    assert (extent.place, extent.run) == (1, 0)
    text += b":[\n{}]}"
    assert [extent.advance(), extent.advance()] == [Step.ARRAY, Step.END]
    assert extent.place == len(text)


@pytest.mark.parametrize(
    "members",
    [
        b'"a":"b","c":5',
        b'"a":{"b":"}","c":[1,"]"]},"d',
        b'"a": {"b": {"c": 1}, "d": [1, 2], "e": []}, "f": {}, "g": "h"',
        b'"a":{},"b":{"c":[{"d":"e"},{}]},"f":5',
        b'"a":{"b":[{"c":[5,"\\""]}]},"d":"\\\\"',
    ],
)
def test_what_closes_again_soon_is_passed_in_one_run(members: bytes) -> None:
    """Objects of a few levels cost no step of their own, which is fast."""
    extent = ObjectExtent(bytearray(b"{" + members), 0)

    assert extent.advance() is Step.MORE
    assert extent.run == 1


@pytest.mark.parametrize(
    ("inner", "brackets"),
    [(b"", 0), (b"5", 0), (b'"a"', 0), (b'{"a":1}', 1), (b"[[]]", 2), (b'{"a":[{"b":[]}]}', 4)],
)
def test_the_depth_of_brackets_is_bounded(inner: bytes, brackets: int) -> None:
    """So many brackets inside brackets are followed, and not one more, however they come."""
    depth = 10_000 - brackets
    most = b"[" * depth + inner + b"]" * depth

    assert ends(most) == (Step.END, len(most))
    assert ends(b"[" + most + b"]")[0] is Step.BROKEN


@pytest.mark.parametrize(
    ("text", "start", "end", "may_go_on"),
    [
        (b"5,", 0, 1, False),
        (b"5", 0, 1, True),
        (b"[5]", 1, 2, False),
        (b"5\n", 0, 1, False),
        (b"{5}", 0, 0, False),
        (b'"a,b",', 0, 5, False),
        (b'"ab"', 0, 4, True),
        (b'"a,b', 0, 0, True),
        (b'5 "a,b', 0, 2, True),
        (b'"a,b\\', 0, 0, True),
        (b'"a\\",b', 0, 0, True),
        (b'"ab\n,', 0, 0, False),
        (b'x"a\n,"', 0, 1, False),
        (b"", 0, 0, True),
    ],
)
def test_a_scalar_ends_at_the_next_mark(
    text: bytes, start: int, end: int, *, may_go_on: bool
) -> None:
    """Commas, brackets and lines end it, but for those of a string, whose end may be to come."""
    assert end_of_scalar(bytearray(text), start) == (end, may_go_on)


PLAIN = [
    b"{}",
    b'{"a":1}',
    b'{"a":[]}',
    b'{"a":{}}',
    b'{"a":[[],[{}]],"b":{"c":[]}}',
    b'{"a":"","b":"\x00\xff"}',
    b"{" * 32 + b"}" * 32,
    b"{" + b"[" * 31 + b"]" * 31 + b"}",
    b"{" + b"[{" * 31 + b"}]" * 31 + b"}",
]
NOT_PLAIN = [
    b"",
    b"[]",
    b"{}x",
    b"x{}",
    b"{",
    b"}",
    b'{"a":"}"}',
    b'{"a":"b}',
    b'{"a":"\\n"}',
    b'{"a":\n1}',
    b'{"a":[}]}',
    b'{"a":{]}',
    b'{"a":1}{"b":2}',
    b'{"a":1},{"b":2}',
    b"{" * 33 + b"}" * 33,
    b"{" + b"[" * 32 + b"]" * 32 + b"}",
]


@pytest.mark.parametrize("text", PLAIN)
def test_an_object_in_a_line_is_plain(text: bytes) -> None:
    """Brackets inside brackets are matched to a depth that records have."""
    assert is_plain_object(text) is True


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_surely_one_object_is_not_plain(text: bytes) -> None:
    """Two objects, brackets in strings, escapes and lines are left to whoever follows them."""
    assert is_plain_object(text) is False

"""Laws of `order_by`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiguard.v1 import finding_pb2
from amiguard_service.ordering import (
    DEFAULT_ORDER,
    ORDER_FIELDS,
    TIE_BREAK,
    OrderKey,
    OrderSyntaxError,
    parse_order_by,
)

spaces = st.text(" \t\r\n", max_size=3)
words = st.sampled_from([*ORDER_FIELDS, "desc", "asc", "name", "DESC", "é", ",", "  ", "-"])


@pytest.mark.parametrize("text", ["", " ", "\t\r\n "])
def test_blank_order_is_newest_change_first(text: str) -> None:
    """Without an order the finding that changed last comes first, ties by name."""
    assert parse_order_by(text) == (OrderKey("update_time", descending=True), OrderKey("name"))
    assert parse_order_by(text) == DEFAULT_ORDER


def test_fields_keep_their_order_and_direction() -> None:
    """Fields weigh in the order written; ascending unless they say desc; the name comes last."""
    order = parse_order_by("likelihood_score desc, occurrence_count,create_time asc")

    assert order == (
        OrderKey("likelihood_score", descending=True),
        OrderKey("occurrence_count"),
        OrderKey("create_time"),
        OrderKey("name"),
    )


@settings(deadline=None)
@given(
    keys=st.lists(
        st.builds(OrderKey, st.sampled_from(ORDER_FIELDS), descending=st.booleans()),
        min_size=1,
        unique_by=lambda key: key.field,
    ),
    before=spaces,
    after=spaces,
)
def test_written_order_parses_to_its_keys(keys: list[OrderKey], before: str, after: str) -> None:
    """White space around a field or a comma means nothing."""
    text = ",".join(
        f"{before}{key.field}{' ' + after + 'desc' if key.descending else ''}{after}"
        for key in keys
    )

    assert parse_order_by(text) == (*keys, TIE_BREAK)


@settings(deadline=None)
@given(text=st.text() | st.lists(words).map("".join) | st.lists(words).map(" ".join))
def test_any_text_parses_or_is_refused_at_a_place(text: str) -> None:
    """Whatever is not an order is an OrderSyntaxError with an offset inside the text."""
    outcome = parsed(text)

    if isinstance(outcome, OrderSyntaxError):
        assert text.startswith(text.encode()[: outcome.offset].decode())
        assert outcome.expected
        assert outcome.got
    else:
        assert outcome[-1] == TIE_BREAK
        assert len({key.field for key in outcome}) == len(outcome)


@pytest.mark.parametrize(
    ("text", "offset", "expected", "got"),
    [
        ("name", 0, "one of create_time, ", "'name'"),
        ("confidence", 0, "one of create_time, ", "'confidence'"),
        ("create_time,", 12, "one of create_time, ", "the end"),
        (",create_time", 0, "one of create_time, ", "',create_time'"),
        ("create_time,,update_time", 12, "one of create_time, ", "',update_time'"),
        ("create_time DESC", 12, "'desc', 'asc', ',' or the end", "'DESC'"),
        ("create_time descending", 12, "'desc', 'asc', ',' or the end", "'descending'"),
        ("create_time desc desc", 17, "',' or the end", "'desc'"),
        ("create_time é, update_time", 12, "',' or the end", "'é,'"),
        ("create_time,é", 12, "one of create_time, ", "'é'"),
        ("create_time, update_time, create_time", 26, "each field at most once", "'create_time'"),
        ("create_time asc, create_time desc", 17, "each field at most once", "'create_time'"),
        ("\ud800", 0, "one of create_time, ", r"'\ud800'"),
        ("x" * 1_000, 0, "one of create_time, ", "'" + "x" * 40 + "'..."),
    ],
)
def test_refusal_says_where_and_what(text: str, offset: int, expected: str, got: str) -> None:
    """A refusal holds the byte offset, what stands there, shortened, and what should."""
    with pytest.raises(OrderSyntaxError) as caught:
        parse_order_by(text)

    assert (caught.value.offset, caught.value.got) == (offset, got)
    assert caught.value.expected.startswith(expected)
    assert str(caught.value) == f"offset {offset}: got {got}, expected {caught.value.expected}"


def test_order_fields_are_fields_of_a_finding() -> None:
    """Everything findings are ordered by can be read on the finding."""
    assert set(ORDER_FIELDS) <= set(finding_pb2.Finding.DESCRIPTOR.fields_by_name)


def parsed(text: str) -> tuple[OrderKey, ...] | OrderSyntaxError:
    """The keys, or the refusal."""
    try:
        return parse_order_by(text)
    except OrderSyntaxError as error:
        return error

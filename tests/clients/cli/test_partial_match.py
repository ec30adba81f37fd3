"""What is expected of a finding in part, and which finding fulfils which expectation."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_client.cli.partial_match import assign, differences, plain_of
from tests.clients.messages import finding_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from("abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=8,
)
VALUES = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=3)


@given(JSON)
def test_everything_is_what_it_is(value: Any) -> None:
    """A value fulfils the expectation of itself."""
    assert differences(value, value) == []


@given(st.dictionaries(st.sampled_from("xyz"), JSON), st.sets(st.sampled_from("xyz")))
def test_part_of_a_mapping_is_enough(value: dict[str, Any], kept: set[str]) -> None:
    """Keys that are not expected do not matter."""
    part = {key: value[key] for key in kept & value.keys()}

    assert differences(part, value) == []


@given(st.lists(JSON, min_size=1, max_size=5), st.data())
def test_some_items_in_their_order_are_enough(value: list[Any], data: st.DataObject) -> None:
    """Of a list some items can be expected, in their order."""
    kept = data.draw(st.lists(st.booleans(), min_size=len(value), max_size=len(value)))
    part = [item for item, keep in zip(value, kept, strict=True) if keep] or value

    assert differences(part, value) == []


@pytest.mark.parametrize(
    ("expected", "actual", "difference"),
    [
        ({"a": 1}, {}, "a: got nothing, wanted 1"),
        ({"a": 1}, {"a": 2}, "a: got 2, wanted 1"),
        ({"a": 1}, {"a": "1"}, 'a: got "1", wanted 1'),
        ({"a": True}, {"a": 1}, "a: got 1, wanted true"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b: got 2, wanted 1"),
        ({"a": {"b": 1}}, {"a": 2}, 'a: got 2, wanted {"b": 1}'),
        ({"a": []}, {"a": [1]}, "a: got [1], wanted nothing"),
        ({"a": [2, 1]}, {"a": [1, 2]}, "a[1]: got [1, 2], wanted 1 in it"),
        ({"a": [1, 1]}, {"a": [1]}, "a[1]: got [1], wanted 1 in it"),
        ({"a": None}, {"a": "x"}, 'a: got "x", wanted nothing'),
    ],
)
def test_difference_says_where_and_what(expected: Any, actual: Any, difference: str) -> None:
    """What is not as expected is told by its path, what is there and what was wanted."""
    assert differences(expected, actual) == [difference]


@pytest.mark.parametrize("actual", [{}, {"a": ""}, {"a": []}, {"a": None}])
def test_null_is_what_is_absent(actual: Any) -> None:
    """Null is expected of what is not there or empty."""
    assert differences({"a": None}, actual) == []


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_as_many_expectations_as_possible_are_fulfilled(
    expected: list[Any], actual: list[Any]
) -> None:
    """Each value fulfils one expectation, and no other choice would fulfil more of them."""
    assigned = assign(expected, actual)

    slots = [*range(len(actual)), *[None] * len(expected)]
    most = max(
        sum(
            index is not None and not differences(wanted, actual[index])
            for wanted, index in zip(expected, choice, strict=True)
        )
        for choice in permutations(slots, len(expected))
    )
    assert len(assigned) == most
    assert len(set(assigned.values())) == len(assigned)
    assert all(not differences(expected[w], actual[i]) for w, i in assigned.items())


def test_finding_is_written_as_in_filters() -> None:
    """States and likelihoods have no prefix, counts are numbers, and what is empty is there."""
    message = finding_message()
    message.ClearField("suppression")

    plain = plain_of(message)

    assert (plain["state"], plain["likelihood"]) == ("CLOSED", "HIGH")
    assert (plain["occurrence_count"], plain["rule_revision"]) == (7, 3)
    assert plain["suppression"] == ""
    assert plain["recent_occurrences"][0]["gap"] == "42s"

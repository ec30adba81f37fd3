"""Laws of what a filter is true of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiguard_service.filters import (
    FINDING_FIELDS,
    UNSPECIFIED,
    Comparison,
    FieldValue,
    Operator,
    TextPattern,
    evaluate,
    parse_filter,
    terms,
)

NOON = datetime(2025, 2, 28, 12, tzinfo=UTC)

Model = Callable[[Mapping[str, Any]], bool]
Modeled = tuple[str, Model]

few_texts = st.sampled_from(["", "a", "b", "ab", "aba", "ba", "é", "*"])
few_times = st.integers(-1, 1).map(lambda hours: NOON + timedelta(hours=hours))
findings = st.fixed_dictionaries(
    {
        "state": st.sampled_from(["OPEN", "CLOSED", "SUPPRESSED"]),
        "disposition": st.sampled_from([None, UNSPECIFIED, "TRUE_POSITIVE", "RISK_ACCEPTED"]),
        "confidence": st.none() | st.integers(-1, 1),
        "client": few_texts,
        "assignee": st.none() | few_texts,
        "name_patterns": st.none() | st.lists(few_texts) | st.lists(few_texts).map(tuple),
        "last_launch_time": st.none() | few_times,
        "labels": st.none() | st.dictionaries(few_texts, few_texts, max_size=2),
    }
)


def escaped(text: str) -> str:
    """The text as it stands between quotes where `*` is itself."""
    return text.replace("*", r"\*")


def orders(left: Any, operator: str, right: Any) -> bool:
    """What an operator means, in Python's own words."""
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
        case ">=":
            return bool(left >= right)
        case "!=":
            return bool(left != right)
        case _:
            return bool(left == right)


@st.composite
def modeled_terms(draw: st.DrawFn) -> Modeled:
    """A term as text, and what it says about a finding."""
    operator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
    text, other, part = draw(few_texts), draw(few_texts), draw(few_texts.filter(bool))
    number, time = draw(st.integers(-1, 1)), draw(few_times)
    choices: list[Modeled] = [
        (f"client {operator} '{escaped(text)}'", lambda f: orders(f["client"], operator, text)),
        (
            f"assignee {operator} '{escaped(text)}'",
            lambda f: orders(f["assignee"] or "", operator, text),
        ),
        (f"client = '{escaped(part)}*'", lambda f: f["client"].startswith(part)),
        (f"client:'*{escaped(part)}'", lambda f: f["client"].endswith(part)),
        (
            f"client != '{escaped(part)}*{escaped(other)}'",
            lambda f: not re.fullmatch(f"{re.escape(part)}.*{re.escape(other)}", f["client"]),
        ),
        ("assignee:*", lambda f: f["assignee"] not in {None, ""}),
        (
            f"confidence {operator} {number}",
            lambda f: orders(f["confidence"] or 0, operator, number),
        ),
        ("confidence:*", lambda f: f["confidence"] not in {None, 0}),
        ("state:STATE_CLOSED", lambda f: f["state"] == "CLOSED"),
        ("state != OPEN", lambda f: f["state"] != "OPEN"),
        ("disposition:*", lambda f: f["disposition"] not in {None, UNSPECIFIED}),
        ("disposition = UNSPECIFIED", lambda f: f["disposition"] in {None, UNSPECIFIED}),
        ("disposition != RISK_ACCEPTED", lambda f: f["disposition"] != "RISK_ACCEPTED"),
        (
            f"last_launch_time {operator} {time.isoformat()}",
            lambda f: (
                operator == "!="
                if f["last_launch_time"] is None
                else orders(f["last_launch_time"], operator, time)
            ),
        ),
        ("last_launch_time:*", lambda f: f["last_launch_time"] is not None),
        (f"name_patterns:'{text}'", lambda f: text in (f["name_patterns"] or [])),
        ("name_patterns:*", lambda f: bool(f["name_patterns"])),
        ("labels:*", lambda f: bool(f["labels"])),
        (f"labels:'{text}'", lambda f: text in (f["labels"] or {})),
        (f"labels.'{text}'", lambda f: text in (f["labels"] or {})),
        (
            f"labels.'{text}' {operator} '{escaped(other)}'",
            lambda f: (
                orders(f["labels"][text], operator, other)
                if text in (f["labels"] or {})
                else operator == "!="
            ),
        ),
    ]
    return draw(st.sampled_from(choices))


def every(models: list[Model]) -> Model:
    """True where all are."""
    return lambda finding: all(model(finding) for model in models)


def some(models: list[Model]) -> Model:
    """True where one is."""
    return lambda finding: any(model(finding) for model in models)


def negated(modeled: Modeled, sign: str) -> Modeled:
    """The opposite."""
    text, model = modeled
    return f"{sign}{text}", lambda finding: not model(finding)


@st.composite
def modeled_expressions(draw: st.DrawFn, simple: st.SearchStrategy[Modeled]) -> Modeled:
    """An expression in brackets: alternatives of OR, joined by AND or nothing."""
    signs = st.sampled_from(["", "NOT ", "-"])
    written, models = [], []
    for _ in range(draw(st.integers(1, 3))):
        alternatives = [
            negated(term, sign) if sign else term
            for term, sign in draw(st.lists(st.tuples(simple, signs), min_size=1, max_size=3))
        ]
        written.append(" OR ".join(text for text, _ in alternatives))
        models.append(some([model for _, model in alternatives]))
    return f"({draw(st.sampled_from([' AND ', ' '])).join(written)})", every(models)


modeled_filters = st.recursive(modeled_terms(), modeled_expressions, max_leaves=6)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(modeled=modeled_filters, finding=findings)
def test_evaluator_agrees_with_model(modeled: Modeled, finding: dict[str, FieldValue]) -> None:
    """A filter is true of a finding exactly where its text, read by the grammar, says so."""
    text, model = modeled

    result = evaluate(parse_filter(text, FINDING_FIELDS), finding.__getitem__)

    assert result == model(finding)


@settings(deadline=None)
@given(modeled=modeled_filters, finding=findings)
def test_unequal_is_exactly_not_equal(modeled: Modeled, finding: dict[str, FieldValue]) -> None:
    """`!=` is true where `=` is not, also of what is absent."""
    condition = parse_filter(modeled[0], FINDING_FIELDS)

    both = [
        [
            evaluate(Comparison(term.field, operator, term.value, term.key), finding.__getitem__)
            for operator in (Operator.EQUAL, Operator.NOT_EQUAL)
        ]
        for term in terms(condition)
        if isinstance(term, Comparison)
    ]

    assert all(sorted(pair) == [False, True] for pair in both)


small_texts = st.text("ab\n*.", max_size=8)


@settings(deadline=None, max_examples=500)
@given(parts=st.lists(small_texts, min_size=1, max_size=4).map(tuple), text=small_texts)
def test_pattern_matches_as_regular_expression_does(parts: tuple[str, ...], text: str) -> None:
    """Between two parts any run of characters may stand, line ends included."""
    wanted = re.fullmatch(".*".join(map(re.escape, parts)), text, re.DOTALL) is not None

    assert TextPattern(parts).matches(text) == wanted


def test_absent_time_is_neither_before_nor_after() -> None:
    """A time that is not set equals nothing, comes before nothing and after nothing."""
    truths = {
        operator: evaluate(
            Comparison(FINDING_FIELDS["last_launch_time"], operator, NOON), lambda _: None
        )
        for operator in Operator
    }

    assert truths == {operator: operator is Operator.NOT_EQUAL for operator in Operator}


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("client:*", 1, "client: got int, expected a value of string"),
        ("state:*", 1, "state: got int, expected a value of enum"),
        ("confidence:*", "1", "confidence: got str, expected a value of integer"),
        ("create_time:*", "2025", "create_time: got str, expected a value of time"),
        (
            "create_time:*",
            NOON.replace(tzinfo=None),
            "create_time: got datetime, expected a value of time",
        ),
        ("image_ids:a", "ami", "image_ids: got str, expected a value of repeated string"),
        ("labels:a", ("a",), "labels: got tuple, expected a value of map of strings"),
    ],
)
def test_value_of_another_type_is_an_error(text: str, value: FieldValue, message: str) -> None:
    """A reader that gives another type than the field has is a fault, not a filter's no."""
    condition = parse_filter(text, FINDING_FIELDS)

    with pytest.raises(TypeError) as caught:
        evaluate(condition, lambda _: value)

    assert str(caught.value) == message

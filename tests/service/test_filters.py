"""Laws of the filter language: what a text means, and which texts are refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amiguard_service.filters import (
    FINDING_FIELDS,
    MAX_FILTER_BYTES,
    MAX_FILTER_DEPTH,
    MAX_FILTER_TERMS,
    UNSPECIFIED,
    And,
    Comparison,
    Condition,
    Field,
    Filter,
    FilterSyntaxError,
    Has,
    Kind,
    MatchAll,
    Not,
    Operator,
    Or,
    TextPattern,
    evaluate,
    mentions,
    parse_filter,
    terms,
    write_filter,
)

NOON = datetime(2025, 2, 28, 12, tzinfo=UTC)
ORDERINGS = [operator for operator in Operator if operator.is_ordering]
EQUALITIES = [Operator.EQUAL, Operator.NOT_EQUAL]
STATE, CLIENT, LABELS = (FINDING_FIELDS[name] for name in ("state", "client", "labels"))

special_characters = st.sampled_from([*"*\\\"' ().:,=<>!-\n", "é", "🦆", "AND", "OR", "NOT"])
texts = st.lists(
    special_characters | st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    max_size=5,
).map("".join)
patterns = st.one_of(
    texts.map(lambda text: TextPattern((text,))),
    st.tuples(texts, st.lists(texts.filter(bool), max_size=2), texts)
    .map(lambda parts: TextPattern((parts[0], *parts[1], parts[2])))
    .filter(lambda pattern: pattern.parts != ("", "")),
)
times = st.datetimes(timezones=st.just(UTC))
fields = st.sampled_from(list(FINDING_FIELDS.values()))


def comparisons(field: Field) -> st.SearchStrategy[Comparison | Has]:
    """Every term about the field that a filter can hold."""
    key: st.SearchStrategy[str | None] = st.none()
    presence = st.just(Has(field))
    every, equality = st.sampled_from(Operator), st.sampled_from(EQUALITIES)
    match field.kind:
        case Kind.ENUM:
            return presence | st.builds(
                Comparison, st.just(field), equality, st.sampled_from(field.values)
            )
        case Kind.INTEGER:
            numbers = st.integers(-(2**63), 2**63 - 1)
            return presence | st.builds(Comparison, st.just(field), every, numbers)
        case Kind.TIME:
            return presence | st.builds(Comparison, st.just(field), every, times)
        case Kind.STRING_LIST:
            return presence | st.builds(Has, st.just(field), texts)
        case Kind.STRING_MAP:
            presence, key = presence | st.builds(Has, st.just(field), texts), texts
        case Kind.STRING:
            pass
    plain = texts.map(lambda text: TextPattern((text,)))
    return st.one_of(
        presence,
        st.builds(Comparison, st.just(field), equality, patterns, key),
        st.builds(Comparison, st.just(field), st.sampled_from(ORDERINGS), plain, key),
    )


def combined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Conditions one level above the parts."""
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, parts) | st.builds(And, several) | st.builds(Or, several)


single_terms: st.SearchStrategy[Condition] = fields.flatmap(comparisons)
conditions = st.recursive(single_terms, combined, max_leaves=10)


@settings(deadline=None)
@given(condition=conditions)
def test_written_filter_parses_to_equal_filter(condition: Condition) -> None:
    """Each filter has a spelling that means just it."""
    text = write_filter(condition)

    assert parse_filter(text, FINDING_FIELDS) == condition


def test_blank_filter_matches_all() -> None:
    """A filter of white space alone asks for everything, and so does the one it is written as."""
    assert parse_filter(" \t\r\n", FINDING_FIELDS) == MatchAll()
    assert parse_filter(write_filter(MatchAll()), FINDING_FIELDS) == MatchAll()
    assert evaluate(MatchAll(), lambda _: None)


pieces = st.one_of(
    st.sampled_from([*FINDING_FIELDS, *"()-:.*=<>!\"'\\, \n", "AND", "OR", "NOT", "and", "OPEN"]),
    st.sampled_from(["!=", "<=", "2025-02-28T12:00:00Z", "70", "labels.env", "\0", "\ud800"]),
    special_characters,
)
garbage = st.text() | st.lists(pieces).map("".join) | st.lists(pieces).map(" ".join)


@settings(deadline=None, max_examples=500)
@given(text=garbage)
def test_any_text_parses_or_is_refused_at_a_place(text: str) -> None:
    """Whatever is not a filter is a FilterSyntaxError with an offset inside the text."""
    outcome = parsed(text)

    assert_filter_or_placed_refusal(outcome, text)


@settings(deadline=None)
@given(condition=conditions, data=st.data())
def test_damaged_filter_parses_or_is_refused_at_a_place(
    condition: Condition, data: st.DataObject
) -> None:
    """A filter with a piece cut out or put in is another filter or a FilterSyntaxError."""
    text = write_filter(condition)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(start + 3, len(text))))
    damaged = text[:start] + data.draw(st.just("") | pieces) + text[stop:]

    outcome = parsed(damaged)

    assert_filter_or_placed_refusal(outcome, damaged)


@settings(deadline=None)
@given(condition=conditions, data=st.data())
def test_what_parses_can_be_written_within_the_limits(
    condition: Condition, data: st.DataObject
) -> None:
    """Brackets that mean nothing go when a filter is written, and none are added."""
    around = data.draw(st.integers(0, 3))
    text = "(" * around + write_filter(condition) + ")" * around

    written = write_filter(parse_filter(text, FINDING_FIELDS))

    assert written == write_filter(condition)
    assert written.count("(") <= text.count("(")


@pytest.mark.parametrize(
    ("text", "bracketed"),
    [
        (
            "state = OPEN AND region = a OR region = b",
            "state = OPEN AND (region = a OR region = b)",
        ),
        (
            "region = a OR region = b AND state = OPEN",
            "(region = a OR region = b) AND state = OPEN",
        ),
        ("state = OPEN region = a", "state = OPEN AND region = a"),
        ("state = OPEN region = a OR region = b", "state = OPEN AND (region = a OR region = b)"),
        ("region = a OR region = b state = OPEN", "(region = a OR region = b) AND state = OPEN"),
        ("NOT region = a OR region = b", "(NOT region = a) OR region = b"),
        ("-region = a AND region = b", "(NOT region = a) AND region = b"),
        ("-(region = a region = b)", "NOT (region = a AND region = b)"),
        ("NOT(region=a)OR(region=b)AND(state=OPEN)", "(NOT region=a OR region=b) AND state=OPEN"),
        ("(region = a)(region = b)", "region = a AND region = b"),
        ("\n( ( state\t:\rOPEN ) )", "state = OPEN"),
    ],
)
def test_precedence_is_that_of_aip_160(text: str, bracketed: str) -> None:
    """NOT binds tightest, then OR, then AND and adjacency."""
    assert parse_filter(text, FINDING_FIELDS) == parse_filter(bracketed, FINDING_FIELDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("state = OPEN", Comparison(STATE, Operator.EQUAL, "OPEN")),
        ("state != STATE_OPEN", Comparison(STATE, Operator.NOT_EQUAL, "OPEN")),
        ("state:'STATE_OPEN'", Comparison(STATE, Operator.EQUAL, "OPEN")),
        (
            "disposition = DISPOSITION_UNSPECIFIED",
            Comparison(FINDING_FIELDS["disposition"], Operator.EQUAL, UNSPECIFIED),
        ),
        (
            "likelihood_score >= -70",
            Comparison(FINDING_FIELDS["likelihood_score"], Operator.GREATER_OR_EQUAL, -70),
        ),
        (
            'confidence < "+007"',
            Comparison(FINDING_FIELDS["confidence"], Operator.LESS, 7),
        ),
        ("client = boto3", Comparison(CLIENT, Operator.EQUAL, TextPattern(("boto3",)))),
        ("client = ''", Comparison(CLIENT, Operator.EQUAL, TextPattern(("",)))),
        ("client = aws-*", Comparison(CLIENT, Operator.EQUAL, TextPattern(("aws-", "")))),
        ("client = '**i'", Comparison(CLIENT, Operator.EQUAL, TextPattern(("", "i")))),
        ("client : a**b*", Comparison(CLIENT, Operator.EQUAL, TextPattern(("a", "b", "")))),
        (r"client = '\*'", Comparison(CLIENT, Operator.EQUAL, TextPattern(("*",)))),
        (r"client > '\*'", Comparison(CLIENT, Operator.GREATER, TextPattern(("*",)))),
        (r'client = "\"\\\'"', Comparison(CLIENT, Operator.EQUAL, TextPattern(("\"\\'",)))),
        ("client = 'AND'", Comparison(CLIENT, Operator.EQUAL, TextPattern(("AND",)))),
        (
            "actor_arn = arn:aws:iam::012345678901:role/*",
            Comparison(
                FINDING_FIELDS["actor_arn"],
                Operator.EQUAL,
                TextPattern(("arn:aws:iam::012345678901:role/", "")),
            ),
        ),
        ("client:*", Has(CLIENT)),
        ("image_ids:ami-1", Has(FINDING_FIELDS["image_ids"], "ami-1")),
        ("image_ids:*", Has(FINDING_FIELDS["image_ids"])),
        ("name_patterns:'*'", Has(FINDING_FIELDS["name_patterns"], "*")),
        ("name_patterns:ubuntu/*", Has(FINDING_FIELDS["name_patterns"], "ubuntu/*")),
        ("labels:*", Has(LABELS)),
        ("labels:env", Has(LABELS, "env")),
        ("labels:app.io/name", Has(LABELS, "app.io/name")),
        ("labels.env", Has(LABELS, "env")),
        ("labels.AND:*", Has(LABELS, "AND")),
        ("labels.'app.io/name'", Has(LABELS, "app.io/name")),
        (
            "labels.cost-center = 4*",
            Comparison(LABELS, Operator.EQUAL, TextPattern(("4", "")), "cost-center"),
        ),
        ("labels.env:prod", Comparison(LABELS, Operator.EQUAL, TextPattern(("prod",)), "env")),
    ],
)
def test_term_is_read_in_the_type_of_its_field(text: str, expected: Filter) -> None:
    """What a term means depends on the type of its field."""
    assert parse_filter(text, FINDING_FIELDS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-02-28T12:00:00Z", NOON),
        ("2025-02-28t12:00:00z", NOON),
        ('"2025-02-28T12:00:00Z"', NOON),
        ("2025-02-28T13:30:00+01:30", NOON),
        ("2025-02-28T08:00:00-04:00", NOON),
        ("2025-02-28T12:00:00-00:00", NOON),
        ("2025-02-28T12:00:00.5Z", NOON + timedelta(milliseconds=500)),
        ("2025-02-28T12:00:00.000001000Z", NOON + timedelta(microseconds=1)),
        ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_time_is_rfc_3339(text: str, expected: datetime) -> None:
    """A time may have any offset and becomes UTC."""
    condition = parse_filter(f"create_time = {text}", FINDING_FIELDS)

    assert condition == Comparison(FINDING_FIELDS["create_time"], Operator.EQUAL, expected)


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-28",
        "2025-02-28T12:00:00",
        "2025-02-28T12:00Z",
        "'2025-02-28 12:00:00Z'",
        "2025-02-29T12:00:00Z",
        "2025-13-01T12:00:00Z",
        "2025-02-28T24:00:00Z",
        "2025-02-28T23:59:60Z",
        "2025-02-28T12:00:00.Z",
        "2025-02-28T12:00:00.0000001Z",
        "2025-02-28T12:00:00+24:00",
        "2025-02-28T12:00:00+01:60",
        "2025-02-28T12:00:00+0100",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00Z",
        "٢٠٢٥-02-28T12:00:00Z",
        "1740747600",
        "*Z",
        "''",
    ],
)
def test_other_time_is_refused(text: str) -> None:
    """A time that is none, or finer than what is stored, is refused at its first character."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(f"create_time = {text}", FINDING_FIELDS)

    assert caught.value.offset == len("create_time = ")
    assert caught.value.expected.startswith("an RFC 3339 time")


@pytest.mark.parametrize(
    ("text", "offset", "got", "expected"),
    [
        ("OPEN", 0, "'OPEN'", "'(' or a field: state, "),
        ('"state" = OPEN', 0, "'\"state\"'", "'(' or a field: state, "),
        ("severity = 1", 0, "'severity'", "'(' or a field: state, "),
        ("search.client = boto3", 0, "'search.client'", "'(' or a field: state, "),
        ("state", 5, "the end", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("state OPEN", 6, "'OPEN'", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("state.x = OPEN", 5, "'.x'", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("state ~ OPEN", 6, "'~'", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("state\u00a0= OPEN", 5, r"'\xa0'", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("state =", 7, "the end", "a value, in quotes if"),
        ("state == OPEN", 7, "'='", "a value, in quotes if"),
        ("state = AND", 8, "'AND'", "a value, in quotes if"),
        ("state = (OPEN OR CLOSED)", 8, "'(OPEN'", "a value, in quotes if"),
        ("state = NEW", 8, "'NEW'", "one of OPEN, ACKNOWLEDGED, CLOSED, SUPPRESSED"),
        ("state = open", 8, "'open'", "one of OPEN, ACKNOWLEDGED, CLOSED, SUPPRESSED"),
        ("state = O*", 8, "'O*'", "one of OPEN, ACKNOWLEDGED, CLOSED, SUPPRESSED"),
        ("state = UNSPECIFIED", 8, "'UNSPECIFIED'", "one of OPEN, "),
        ("state = STATE_STATE_OPEN", 8, "'STATE_STATE_OPEN'", "one of OPEN, "),
        ("state = LIKELIHOOD_LOW", 8, "'LIKELIHOOD_LOW'", "one of OPEN, "),
        ("likelihood >= MEDIUM", 11, "'>='", "'=', '!=' or ':' after an enum"),
        ("confidence > 1.5", 13, "'1.5'", "an integer of at most 64 bits"),
        ("confidence = 1_0", 13, "'1_0'", "an integer of at most 64 bits"),
        ("confidence = ٣", 13, "'٣'", "an integer of at most 64 bits"),
        ("confidence = 9223372036854775808", 13, "'9223372036854775808'", "an integer of at most"),
        ("client = *", 9, "'*'", "text besides '*'"),
        ("client != '**'", 10, "\"'**'\"", "text besides '*'"),
        ("client : '*'", 9, "\"'*'\"", "text besides '*'"),
        ("client >= a*", 10, "'a*'", "text without '*' after '>='"),
        ("image_ids = ami-1", 10, "'='", "':' after a repeated string"),
        ("image_ids != ami-1", 10, "'!='", "':' after a repeated string"),
        ("labels = env", 7, "'='", "'.' and a key, or ':' after a map of strings"),
        ("labels", 6, "the end", "'=', '!=', '<', '<=', '>', '>=' or ':'"),
        ("labels. = x", 7, "' '", "a key, in quotes if"),
        ("labels.a.b = x", 8, "'.b'", "a key, in quotes if"),
        ("labels.a* = x", 8, "'*'", "a key, in quotes if"),
        ("client = 'x", 11, "the end", "a closing quote"),
        ("client = 'x\"", 12, "the end", "a closing quote"),
        (r"client = 'a\q'", 11, '"\\\\q\'"', "one of the escapes"),
        ("client = 'a\\", 11, r"'\\'", "one of the escapes"),
        ("client = 'a\0'", 11, '"\\x00\'"', "text without NUL"),
        ("client = a\0", 10, r"'\x00'", "white space, ')' or the end after a term"),
        ("client = 'x'region = y", 12, "'region'", "white space, ')' or the end after a term"),
        ("client = x(region = y)", 10, "'(region'", "white space, ')' or the end after a term"),
        ("client = x,y", 10, "',y'", "white space, ')' or the end after a term"),
        ("client = x!", 10, "'!'", "white space, ')' or the end after a term"),
        ("()", 1, "')'", "'(' or a field: state, "),
        ("(client = x", 11, "the end", "AND, OR, another term or ')'"),
        ("client = x)", 10, "')'", "AND, OR, another term or the end"),
        ("client = x AND", 14, "the end", "'(' or a field: state, "),
        ("client = x OR AND region = y", 14, "'AND'", "'(' or a field: state, "),
        ("AND client = x", 0, "'AND'", "'(' or a field: state, "),
        ("client = x and region = y", 11, "'and'", "AND in capital letters"),
        ("not client = x", 0, "'not'", "NOT in capital letters"),
        ("NOT NOT client = x", 4, "'NOT'", "'(' or a field: state, "),
        ("--client = x", 1, "'-client'", "'(' or a field: state, "),
        ("- client = x", 1, "' '", "'(' or a field: state, "),
        ("client = é AND assignee = 🦆 AND x", 36, "'x'", "'(' or a field: state, "),
        ("client = é\ud800", 11, r"'\ud800'", "UTF-8"),
        ("x" * 100, 0, "'" + "x" * 40 + "'...", "'(' or a field: state, "),
    ],
)
def test_refusal_says_where_and_what(text: str, offset: int, got: str, expected: str) -> None:
    """A refusal holds the byte offset, what stands there, shortened, and what should."""
    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(text, FINDING_FIELDS)

    assert (caught.value.offset, caught.value.got) == (offset, got)
    assert caught.value.expected.startswith(expected)
    assert str(caught.value) == f"offset {offset}: got {got}, expected {caught.value.expected}"


def test_filter_of_most_bytes_is_read_and_one_more_is_refused() -> None:
    """The limit is on bytes of UTF-8, not on characters."""
    longest = "client = '" + "é" * ((MAX_FILTER_BYTES - 12) // 2) + "a'"
    longest += " " * (MAX_FILTER_BYTES - len(longest.encode()))

    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(longest + " ", FINDING_FIELDS)

    assert isinstance(parse_filter(longest, FINDING_FIELDS), Comparison)
    assert caught.value.offset == MAX_FILTER_BYTES
    assert (caught.value.got, caught.value.expected) == ("4097 bytes", "at most 4096 bytes")


def test_filter_of_most_brackets_is_read_and_one_more_is_refused() -> None:
    """Brackets inside brackets are bounded; brackets side by side are not."""
    deepest = "(" * MAX_FILTER_DEPTH + "state=OPEN" + ")" * MAX_FILTER_DEPTH

    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(f"region=a ({deepest})", FINDING_FIELDS)

    assert parse_filter(f"{deepest} {deepest}", FINDING_FIELDS) == parse_filter(
        "state=OPEN state=OPEN", FINDING_FIELDS
    )
    assert caught.value.offset == len("region=a ") + MAX_FILTER_DEPTH
    assert caught.value.expected == "at most 32 nested brackets"


def test_filter_of_most_terms_is_read_and_one_more_is_refused() -> None:
    """Terms are counted over the whole filter."""
    most = " OR ".join(["(state=OPEN)", *["state=OPEN"] * (MAX_FILTER_TERMS - 1)])

    with pytest.raises(FilterSyntaxError) as caught:
        parse_filter(f"{most} labels.x", FINDING_FIELDS)

    assert len(list(terms(parse_filter(most, FINDING_FIELDS)))) == MAX_FILTER_TERMS
    assert caught.value.offset == len(most) + 1
    assert caught.value.expected == "at most 100 terms"


@pytest.mark.parametrize("unit", ["(", "-", "NOT ", "'", '"', "\\", "labels.", "é", ")", "state="])
def test_repetition_to_the_limit_is_refused(unit: str) -> None:
    """No repetition of a piece exhausts the stack."""
    text = unit * (MAX_FILTER_BYTES // len(unit.encode()))

    with pytest.raises(FilterSyntaxError):
        parse_filter(text, FINDING_FIELDS)


def test_deepest_and_widest_filter_is_written_and_evaluated() -> None:
    """The bounds on the text bound the tree too: whatever parses can be walked."""
    text = "state=OPEN"
    for _ in range(MAX_FILTER_DEPTH):
        text = f"region=a region=b OR -({text})"

    condition = parse_filter(text, FINDING_FIELDS)

    assert parse_filter(write_filter(condition), FINDING_FIELDS) == condition
    assert mentions(condition, "state")
    assert not evaluate(condition, {"region": "c", "state": "OPEN"}.__getitem__)


@settings(deadline=None)
@given(condition=conditions)
def test_filter_mentions_the_fields_in_its_text(condition: Condition) -> None:
    """A field is mentioned wherever it is named, negated or not."""
    unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', '""', write_filter(condition), flags=re.DOTALL)
    named = set(re.findall(r"[a-z_]{2,}", unquoted))

    assert {name for name in FINDING_FIELDS if mentions(condition, name)} == named
    assert not any(mentions(MatchAll(), name) for name in FINDING_FIELDS)


def parsed(text: str) -> Filter | FilterSyntaxError:
    """The filter, or the refusal."""
    try:
        return parse_filter(text, FINDING_FIELDS)
    except FilterSyntaxError as error:
        return error


def assert_filter_or_placed_refusal(outcome: Filter | FilterSyntaxError, text: str) -> None:
    """A filter that can be written and read again, or an offset between two characters."""
    if isinstance(outcome, FilterSyntaxError):
        head = text.encode(errors="surrogatepass")[: outcome.offset]

        assert text.startswith(head.decode(errors="surrogatepass"))
        assert outcome.expected
        assert outcome.got
    else:
        assert parse_filter(write_filter(outcome), FINDING_FIELDS) == outcome

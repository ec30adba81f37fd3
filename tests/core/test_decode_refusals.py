"""Laws of refusing records: by their exact path, one by one, and never fatally."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core._json import replace_lone_surrogates
from amiguard_core.decode import decode_log_file, decode_records
from tests.core.specimens import (
    ALL_PATHS,
    DEEP,
    IRRELEVANT,
    LAUNCH,
    NOISE,
    SEARCH,
    changed,
    counts,
    one_search,
    refusal,
    without,
)
from tests.data.launch_paths import (
    create_fleet,
    create_launch_configuration,
    create_launch_template,
    create_launch_template_version,
    request_spot_fleet,
    request_spot_instances,
    template_tags,
)
from tests.data.records import run_instances
from tests.data.shapes import Record, encode

FLEET = "requestParameters.CreateFleetRequest.LaunchTemplateConfigs"
WRONG_IN_BOTH: list[tuple[str, object]] = [
    ("userIdentity", "text"),
    ("userIdentity", []),
    ("userIdentity.arn", 5),
    ("userIdentity.arn", "x" * 2_049),
    ("userIdentity.arn", "猫" * 683),
    ("userIdentity.arn", "a\0b"),
    ("recipientAccountId", 111122223333),
    ("recipientAccountId", "not an account"),
    ("recipientAccountId", "1111222233334"),
    ("recipientAccountId", "١١١١٢٢٢٢٣٣٣٣"),
    ("recipientAccountId", ["111122223333"]),
    ("eventTime", 1_772_442_000),
    ("eventTime", None),
    ("eventTime", ""),
    ("eventTime", "yesterday"),
    ("eventTime", "2026-03-02"),
    ("eventTime", "2026-02-30T00:00:00Z"),
    ("eventTime", "0001-01-01T00:00:00+23:59"),
    ("eventTime", "2026-03-02T09:00:00Z "),
    ("eventTime", "x" * 65),
    ("awsRegion", None),
    ("awsRegion", ""),
    ("awsRegion", 5),
    ("awsRegion", "x" * 65),
    ("eventID", 5),
    ("eventID", {}),
    ("eventID", "x" * 129),
    ("errorCode", 5),
    ("errorCode", {}),
    ("userAgent", 5),
    ("sourceIPAddress", ["203.0.113.17"]),
    ("requestParameters", "text"),
    ("requestParameters", []),
    ("requestParameters", 5),
    ("requestParameters.omitted", "perhaps"),
    ("requestParameters.omitted", 1),
]
WRONG_IN_SEARCHES: list[tuple[str, object]] = [
    ("requestParameters.filterSet", 5),
    ("requestParameters.filterSet", []),
    ("requestParameters.ownersSet", ""),
    ("requestParameters.ownersSet", ["self"]),
    ("requestParameters.imagesSet", "ami-1"),
    ("requestParameters.executableBySet", True),
    ("requestParameters.filterSet.items", "text"),
    ("requestParameters.filterSet.items.0", "text"),
    ("requestParameters.filterSet.items.0", [1]),
    ("requestParameters.filterSet.items.1.name", 5),
    ("requestParameters.filterSet.items.1.name", None),
    ("requestParameters.filterSet.items.1.name", "x" * 256),
    ("requestParameters.filterSet.items.0.valueSet", "text"),
    ("requestParameters.filterSet.items.0.valueSet.items", 5),
    ("requestParameters.filterSet.items.0.valueSet.items.0", "text"),
    ("requestParameters.filterSet.items.0.valueSet.items.0.value", 5),
    ("requestParameters.filterSet.items.0.valueSet.items.0.value", ["a"]),
    ("requestParameters.filterSet.items.0.valueSet.items.0.value", "x" * 300),
    ("requestParameters.ownersSet.items.0", "self"),
    ("requestParameters.ownersSet.items.0.owner", 111122223333),
    ("requestParameters.imagesSet.items.0.imageId", 5),
    ("requestParameters.executableBySet.items.0.user", {}),
    ("requestParameters.executableBySet.items.0.user", "x" * 513),
    ("requestParameters.includeDeprecated", "yes"),
    ("requestParameters.includeDeprecated", 1),
    ("requestParameters.includeDisabled", []),
]
WRONG_IN_LAUNCHES: list[tuple[str, object]] = [
    ("userIdentity.sessionContext", "text"),
    ("userIdentity.sessionContext.sessionIssuer", []),
    ("userIdentity.sessionContext.sessionIssuer.arn", 5),
    ("requestParameters.instancesSet", []),
    ("requestParameters.instancesSet.items", "text"),
    ("requestParameters.instancesSet.items.0", 5),
    ("requestParameters.instancesSet.items.0.imageId", 5),
    ("requestParameters.instancesSet.items.0.imageId", "x" * 513),
    ("responseElements", "text"),
    ("responseElements.instancesSet", "text"),
    ("responseElements.instancesSet.items", 5),
    ("responseElements.instancesSet.items.1", "text"),
    ("responseElements.instancesSet.items.1.imageId", ["ami-1"]),
    ("responseElements.instancesSet.items.1.instanceId", 5),
    ("responseElements.instancesSet.items.1.tagSet", "text"),
    ("responseElements.instancesSet.items.1.tagSet.items", 5),
]
MADE = "responseElements.CreateLaunchTemplateResponse.launchTemplate"
TAGGED = "responseElements.instancesSet.items.0.tagSet.items"
WRONG_ELSEWHERE: list[tuple[Record, str, object]] = [
    (create_launch_template(), "requestParameters.CreateLaunchTemplateRequest", "text"),
    (
        create_launch_template(),
        "requestParameters.CreateLaunchTemplateRequest.LaunchTemplateData.ImageId",
        5,
    ),
    (
        create_launch_template_version(),
        "requestParameters.CreateLaunchTemplateVersionRequest.LaunchTemplateData",
        [],
    ),
    *(
        (create_launch_template(), f"{MADE}.{field}", value)
        for field, value in (
            ("launchTemplateId", 5),
            ("launchTemplateId", "x" * 513),
            ("latestVersionNumber", True),
            ("latestVersionNumber", 1.5),
            ("latestVersionNumber", 0),
            ("latestVersionNumber", 2**63),
            ("latestVersionNumber", "x" * 513),
        )
    ),
    (create_launch_template(), MADE, "text"),
    (
        create_launch_template_version(),
        "responseElements.CreateLaunchTemplateVersionResponse.launchTemplateVersion.versionNumber",
        [],
    ),
    (run_instances(tags=template_tags()), f"{TAGGED}.0.value", 5),
    (run_instances(tags=template_tags()), f"{TAGGED}.1.value", ["1"]),
    (request_spot_instances(), "requestParameters.launchSpecification.imageId", 5),
    (request_spot_fleet(), "requestParameters.spotFleetRequestConfig.launchSpecifications", "text"),
    (
        request_spot_fleet(),
        "requestParameters.spotFleetRequestConfig.launchSpecifications.items.0.imageId",
        5,
    ),
    (create_fleet(image_ids=["ami-1", "ami-2"]), f"{FLEET}.Overrides.1.ImageId", 5),
    (create_fleet(), f"{FLEET}.Overrides", "text"),
    (create_fleet(), FLEET, 5),
    (create_launch_configuration(), "requestParameters.imageId", {}),
]
WRONG: list[tuple[Record, str, object]] = [
    *((whole, *wrong) for whole in (SEARCH, LAUNCH) for wrong in WRONG_IN_BOTH),
    *((SEARCH, *wrong) for wrong in WRONG_IN_SEARCHES),
    *((LAUNCH, *wrong) for wrong in WRONG_IN_LAUNCHES),
    *WRONG_ELSEWHERE,
]


def json_path(dotted: str) -> str:
    """Writes a dotted path as a JSON path."""
    return "$" + "".join(
        f"[{step}]" if step.isdigit() else f".{step}" for step in dotted.split(".")
    )


class TestRefused:
    """What is malformed is rejected with the JSON path, never guessed, never fatal."""

    @pytest.mark.parametrize(("whole", "path", "value"), WRONG)
    def test_a_wrong_value_is_refused_by_its_path(
        self, whole: Record, path: str, value: object
    ) -> None:
        """Every field that is read is refused by its exact path when it is of a wrong kind."""
        bad = changed(whole, path, value)

        assert json_path(path) == refusal(encode(bad))

    @pytest.mark.parametrize("field", ["eventTime", "awsRegion"])
    def test_a_field_without_which_nothing_is_known_must_be_there(self, field: str) -> None:
        """A search or launch without a time or a region cannot be placed."""
        assert refusal(encode(without(SEARCH, field))) == f"$.{field}"

    @pytest.mark.parametrize("whole", [SEARCH, NOISE], ids=["relevant", "irrelevant"])
    @pytest.mark.parametrize("field", ["eventName", "eventSource"])
    @pytest.mark.parametrize("value", [None, "", 5, ["x"]])
    def test_the_call_must_be_named(self, whole: Record, field: str, value: object) -> None:
        """Whether a record matters cannot be told without its call, so it is not passed over."""
        assert refusal(encode(changed(whole, field, value))) == f"$.{field}"

    @pytest.mark.parametrize("whole", [SEARCH, NOISE], ids=["relevant", "irrelevant"])
    @pytest.mark.parametrize("field", ["eventName", "eventSource"])
    def test_a_missing_call_is_refused(self, whole: Record, field: str) -> None:
        """A record that does not say which call it is of is rejected."""
        assert refusal(encode(without(whole, field))) == f"$.{field}"

    def test_the_account_of_the_caller_must_be_text_too(self) -> None:
        """A numeric account id has lost its leading zeros."""
        bad = changed(without(SEARCH, "recipientAccountId"), "userIdentity.accountId", 12345678901)

        assert refusal(encode(bad)) == "$.userIdentity.accountId"

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"  ",
            b"oops",
            b"{",
            encode(SEARCH)[:-1],
            encode(SEARCH) + b"}",
            encode(NOISE)[:-1],
            b'{"eventName":"x","eventSource":"y","z":01}',
            b'{"eventName":"x","eventSource":"y","z":nul}',
            b'{"eventName":"x","eventSource":"y","z":"\n"}',
            b'{"eventName":"x","eventSource":"y","z":"\\x"}',
            b'{"eventName":"x","eventSource":"y",}',
            b"{'eventName':'x','eventSource':'y'}",
        ],
    )
    def test_what_is_no_json_is_refused_as_a_whole(self, raw: bytes) -> None:
        """Malformed JSON has no part that could be named."""
        assert refusal(raw) == "$"

    @pytest.mark.parametrize("whole", [SEARCH, NOISE], ids=["relevant", "irrelevant"])
    @pytest.mark.parametrize("byte", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
    def test_text_that_is_not_utf8_is_refused(self, whole: Record, byte: bytes) -> None:
        """A record is UTF-8 in all its parts, read or not."""
        raw = encode({**whole, "requestID": "@"}).replace(b"@", byte)

        assert refusal(raw) == "$"

    @pytest.mark.parametrize("whole", [SEARCH, NOISE], ids=["relevant", "irrelevant"])
    def test_bottomless_nesting_is_refused(self, whole: Record) -> None:
        """No depth is fatal."""
        raw = encode({**whole, "x": "@"}).replace(b'"@"', DEEP)

        assert refusal(raw) == "$"

    def test_bottomless_nesting_inside_an_envelope_is_refused(self) -> None:
        """No depth is fatal, inside a JSON string either."""
        (rejection,) = decode_records([encode({"CloudTrailEvent": DEEP.decode()})]).rejections

        assert rejection.path in {"$", "$.CloudTrailEvent"}

    @pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 5_000])
    def test_a_number_out_of_range_is_refused_by_a_path(self, number: bytes) -> None:
        """The path is that of the value, or of the record where the value cannot be named."""
        raw = encode({**SEARCH, "requestParameters": {"maxResults": "@"}}).replace(b'"@"', number)

        assert refusal(raw) in {"$", "$.requestParameters.maxResults"}

    @pytest.mark.parametrize("number", [b"18446744073709551616", b"-9223372036854775809"])
    def test_numbers_of_any_size_are_read_where_they_do_not_matter(self, number: bytes) -> None:
        """What the rule does not read cannot have a record refused for its size."""
        nameless = encode({**without(SEARCH, "eventID"), "x": "@"}).replace(b'"@"', number)

        assert counts(decode_records([nameless])) == (1, 0, 0, 1)

    def test_a_refusal_says_what_was_got_and_what_was_wanted(self) -> None:
        """The message says what was got and what was wanted."""
        (rejection,) = decode_records([encode(changed(SEARCH, "eventTime", 5))]).rejections

        assert rejection.message == "$.eventTime: got a number, wanted a string"

    @pytest.mark.parametrize(("whole", "path", "value"), WRONG)
    def test_a_refusal_never_echoes_the_record(
        self, whole: Record, path: str, value: object
    ) -> None:
        """What a record holds is never in a message; only the input itself holds it."""
        secret = "hunter2"
        bad = changed(whole, "requestParameters", {**whole["requestParameters"], secret: secret})
        bad = changed(bad, path, f"{secret}\0" if isinstance(value, str) else [secret])
        raw = encode(bad)

        decoded = decode_records([raw], launch_paths=ALL_PATHS)

        assert all(secret not in each.message for each in decoded.rejections)
        assert all(raw == each.raw for each in decoded.rejections)

    @pytest.mark.parametrize(
        "bad",
        [
            b"",
            b"oops",
            b"\xff",
            DEEP,
            encode(changed(SEARCH, "eventTime", 5)),
            encode(SEARCH)[:-1],
            IRRELEVANT % b'"\xff"',
            IRRELEVANT % DEEP,
            b'{"Records":[1,2]}',
        ],
    )
    def test_a_refusal_never_touches_its_neighbours(self, bad: bytes) -> None:
        """A bad record is rejected under its own index and fails no other."""
        alone = decode_records([encode(SEARCH), encode(LAUNCH)])

        decoded = decode_records([bad, encode(SEARCH), bad, encode(LAUNCH), bad])

        assert {each.index for each in decoded.rejections} == {0, 2, 4}
        assert (alone.searches, alone.launches) == (decoded.searches, decoded.launches)


@pytest.mark.parametrize("half", [r"\ud83d", r"\udc00", r"\ud83d\ud83d", r"x\ud83dx"])
@pytest.mark.parametrize("as_file", [False, True])
def test_half_a_character_at_the_end_of_a_text_hides_nothing(half: str, *, as_file: bool) -> None:
    """A text cut after so many UTF-16 units can end in half a pair; the record is read."""
    cut = encode(changed(SEARCH, "userAgent", "@")).replace(b"@", half.encode())

    if as_file:
        decoded = decode_log_file(b'{"Records":[' + cut + b"," + encode(LAUNCH) + b"]}")
    else:
        decoded = decode_records([cut])

    assert decoded.rejections == []
    (search,) = decoded.searches
    assert "\N{REPLACEMENT CHARACTER}" in search.origin.user_agent


@pytest.mark.parametrize("whole", [r"\ud83d\ude00", r"\\ud83d", r"\\\ud83d\ude00"])
def test_whole_characters_are_left_alone(whole: str) -> None:
    """Only an escape without its other half is replaced."""
    text = b'{"a":"' + whole.encode() + b'"}'

    assert replace_lone_surrogates(text) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "value", "arn", "omitted", "eventName", "Records", "detail"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def places(value: object, path: str = "") -> list[str]:
    """Returns the dotted path of every value inside."""
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = [(str(name), member) for name, member in value.items() if "." not in name]
    if isinstance(value, list):
        inner = [(str(index), member) for index, member in enumerate(value)]
    found = []
    for name, member in inner:
        here = f"{path}.{name}" if path else name
        found += [here, *places(member, here)]
    return found


ALL_KINDS = [
    SEARCH,
    LAUNCH,
    run_instances(tags=template_tags()),
    create_fleet(),
    request_spot_fleet(),
    create_launch_template(),
]


@given(st.sampled_from(ALL_KINDS), st.data())
def test_no_value_anywhere_is_fatal(whole: Record, data: st.DataObject) -> None:
    """Whatever stands wherever, a record is read or refused, and its neighbour is read."""
    place = data.draw(st.sampled_from(places(whole)))
    bad = encode(changed(whole, place, data.draw(json_values)))

    decoded = decode_records([bad, encode(SEARCH)], launch_paths=ALL_PATHS)

    assert {each.index for each in decoded.rejections} <= {0}
    assert decoded.record_count + len(decoded.rejections) == 2
    assert one_search(encode(SEARCH)) in decoded.searches
    assert all(each.path.startswith("$") for each in decoded.rejections)


@given(st.binary(max_size=50) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_input_is_fatal(raw: bytes) -> None:
    """Whatever comes, it is read or refused, and what is refused is kept."""
    as_record, as_file = decode_records([raw]), decode_log_file(raw)

    assert all(each.index == 0 for each in as_record.rejections)
    assert all(each.raw for each in as_record.rejections) or not raw
    assert as_record.searches == as_file.searches == []
    assert as_record.launches == as_file.launches == []


@given(st.sampled_from(ALL_KINDS), st.integers(0, 2_000), st.binary(min_size=1, max_size=1))
def test_no_damaged_byte_is_fatal(whole: Record, position: int, byte: bytes) -> None:
    """A record with a byte changed is read or refused; the other line of its file is read."""
    raw = encode(whole)
    position %= len(raw)
    bad = raw[:position] + byte + raw[position + 1 :]
    if byte in b"\r\n":
        bad = raw

    decoded = decode_log_file(encode(SEARCH) + b"\n" + bad, launch_paths=ALL_PATHS)

    assert one_search(encode(SEARCH)) in decoded.searches
    assert decoded.record_count + len(decoded.rejections) == 2

"""Laws of where reading ends: each bound holds exactly, and each refusal says what was wrong."""

from __future__ import annotations

from typing import Final

import pytest

from amiguard_core.decode import decode_records
from amiguard_core.events import TemplateVersion
from tests.core.specimens import (
    DEEP,
    IRRELEVANT,
    LAUNCH,
    NOISE,
    SEARCH,
    changed,
    counts,
    one_launch,
    one_search,
    refusal,
    without,
)
from tests.data.launch_paths import create_launch_template, request_spot_fleet, template_tags
from tests.data.records import run_instances
from tests.data.shapes import Json, encode
from tests.data.variations import insight

MADE: Final = "responseElements.CreateLaunchTemplateResponse.launchTemplate"
UNKNOWN: Final = (
    "got an object of another kind, wanted a CloudTrail record, an EventBridge envelope,"
    " a LookupEvents item or a log file"
)


def message(raw: bytes) -> str:
    """Returns what the refusal of an input says."""
    (rejection,) = decode_records([raw]).rejections
    return rejection.message


class TestReasons:
    """A refusal says why, so that whoever sends the record can put it right."""

    @pytest.mark.parametrize(
        ("raw", "said"),
        [
            (b"", "$: got Input data was truncated, wanted JSON of a record"),
            (
                b"oops",
                "$: got JSON is malformed: invalid character (byte 0), wanted JSON of a record",
            ),
            (DEEP, "$: got nesting too deep to read, wanted a record"),
            (IRRELEVANT % DEEP, "$: got nesting too deep to read, wanted a record"),
            (IRRELEVANT % b'"\xff"', "$: got an invalid byte at offset 79, wanted UTF-8"),
            (b"[5]", "$[0]: got a number, wanted a JSON object"),
            (b'"text"', "$: got a string, wanted a JSON object"),
            (b"5", "$: got a number, wanted a JSON object"),
            (b"true", "$: got a boolean, wanted a JSON object"),
            (b"null", "$: got nothing, wanted a JSON object"),
            (b"{}", f"$: {UNKNOWN}"),
            (b'{"Records":null}', "$.Records: got nothing, wanted an array"),
            (b'{"Records":5}', "$.Records: got a number, wanted an array"),
            (b'{"detail":5}', "$.detail: got a number, wanted a JSON object"),
            (
                b'{"CloudTrailEvent":5}',
                "$.CloudTrailEvent: got a number, wanted a record as a JSON string",
            ),
            (
                b'{"CloudTrailEvent":"no JSON"}',
                "$.CloudTrailEvent: got text that is no JSON, wanted a record as a JSON string",
            ),
            (
                b'{"eventName":"RunInstances"}',
                "$.eventSource: got nothing, wanted the call that was made",
            ),
            (
                b'{"eventSource":"ec2.amazonaws.com"}',
                "$.eventName: got nothing, wanted the call that was made",
            ),
        ],
    )
    def test_input_that_is_no_record_is_told_what_it_is(self, raw: bytes, said: str) -> None:
        """Each way of not being a record has words of its own."""
        assert message(raw) == said

    @pytest.mark.parametrize(
        ("path", "value", "said"),
        [
            ("eventTime", None, "got nothing, wanted an RFC 3339 time"),
            ("eventTime", "now", "got another text, wanted an RFC 3339 time"),
            (
                "eventTime",
                "2026-02-30T00:00:00Z",
                "got a time that does not exist, wanted an RFC 3339 time",
            ),
            ("eventTime", "x" * 65, "got 65 characters, wanted at most 64 characters"),
            ("awsRegion", None, "got nothing, wanted the region of the call"),
            ("eventID", "é" * 65, "got 130 bytes, wanted at most 128 bytes in UTF-8"),
            ("userIdentity.arn", "a\0b", "got a NUL character, wanted text"),
            ("userIdentity", [], "got an array, wanted an object"),
            ("recipientAccountId", "me", "got another text, wanted an account id of 12 digits"),
            ("requestParameters.omitted", 1, "got a number, wanted true or false"),
            ("requestParameters.filterSet.items", True, "got a boolean, wanted an array"),
            (
                "requestParameters.filterSet.items.0.name",
                None,
                "got nothing, wanted the name of the filter",
            ),
        ],
    )
    def test_field_that_cannot_be_read_is_told_what_it_holds(
        self, path: str, value: object, said: str
    ) -> None:
        """The message gives the place, the kind of what stands there, and what belongs there."""
        told = message(encode(changed(SEARCH, path, value)))

        _, _, reason = told.partition(": ")
        assert reason == said


class TestBounds:
    """What is just within a bound is read; what is just past it is refused by its path."""

    @pytest.mark.parametrize(
        ("path", "most"),
        [
            ("eventID", 128),
            ("userIdentity.arn", 2_048),
            ("awsRegion", 64),
            ("eventName", 256),
            ("eventSource", 256),
            ("requestParameters.ownersSet.items.0.owner", 512),
            ("requestParameters.filterSet.items.0.name", 255),
            ("requestParameters.filterSet.items.0.valueSet.items.0.value", 255),
        ],
    )
    def test_longest_text_is_read_and_no_longer_one(self, path: str, most: int) -> None:
        """A bound is the length of the longest text that is read."""
        longest, too_long = (
            encode({"detail": changed(SEARCH, path, "x" * length)}) for length in (most, most + 1)
        )

        assert decode_records([longest]).rejections == []
        assert refusal(too_long).startswith("$.detail.")
        assert message(too_long).endswith(
            f": got {most + 1} characters, wanted at most {most} characters"
        )

    def test_longest_error_code_is_read_and_no_longer_one(self) -> None:
        """The error of a call is read as its name is."""
        within, past = (encode(changed(SEARCH, "errorCode", "x" * length)) for length in (256, 257))

        assert decode_records([within]).failed_count == 1
        assert refusal(past) == "$.errorCode"

    @pytest.mark.parametrize(("field", "most"), [("userAgent", 1_024), ("sourceIPAddress", 256)])
    def test_text_for_people_is_cut_and_not_refused(self, field: str, most: int) -> None:
        """Nothing is decided by its end."""
        origin = one_search(encode(changed(SEARCH, field, "x" * (most + 1)))).origin

        read = origin.user_agent if field == "userAgent" else origin.source_ip_address
        assert read == "x" * most

    def test_longest_key_is_counted_in_bytes(self) -> None:
        """A text in another script is read as long as its UTF-8 fits."""
        longest = encode(changed(SEARCH, "eventID", "é" * 64))

        assert one_search(longest).origin.event_id == "é" * 64
        assert refusal(encode(changed(SEARCH, "eventID", "é" * 64 + "x"))) == "$.eventID"

    @pytest.mark.parametrize("field", ["userAgent", "sourceIPAddress"])
    def test_text_for_people_that_is_absent_is_empty(self, field: str) -> None:
        """Some services call without saying by what, or from where."""
        origin = one_search(encode(without(SEARCH, field))).origin

        read = origin.user_agent if field == "userAgent" else origin.source_ip_address
        assert read == ""

    @pytest.mark.parametrize("number", [1, 2**63 - 1])
    def test_every_version_number_that_ec2_can_give_is_read(self, number: int) -> None:
        """Versions are counted from 1, in 64 bits."""
        made = changed(create_launch_template(), f"{MADE}.latestVersionNumber", number)
        template_id = made["responseElements"]["CreateLaunchTemplateResponse"]["launchTemplate"][
            "launchTemplateId"
        ]

        assert one_launch(made).template == TemplateVersion(template_id, str(number))

    @pytest.mark.parametrize("tag_count", [0, 1, 2])
    def test_template_is_known_by_both_tags_or_not_at_all(self, tag_count: int) -> None:
        """An id without its version says nothing that could be joined."""
        started = run_instances(tags=dict([*template_tags().items()][:tag_count]))

        assert (one_launch(started).template is None) is (tag_count < 2)

    @pytest.mark.parametrize("tag", ["id", "version"])
    def test_template_without_its_id_or_its_version_is_none(self, tag: str) -> None:
        """An empty tag says as little as one that is absent."""
        tags = {**template_tags(), f"aws:ec2launchtemplate:{tag}": ""}

        assert one_launch(run_instances(tags=tags)).template is None

    def test_four_envelopes_are_opened_and_no_more(self) -> None:
        """A record may stand in three envelopes; nobody wraps one oftener."""
        held: list[Json] = [SEARCH]
        for _ in range(4):
            held.append({"detail": held[-1]})

        assert one_search(encode(held[3])) == one_search(encode(SEARCH))
        assert message(encode(held[4])) == f"$.detail.detail.detail.detail: {UNKNOWN}"


class TestCounts:
    """Every record that was read is counted once, whatever it is."""

    @pytest.mark.parametrize("event_type", ["AwsCloudTrailInsight", "AwsVpceEvent"])
    def test_what_is_no_call_is_a_record_too(self, event_type: str) -> None:
        """Insights and records of VPC endpoints are neither searches nor launches, yet read."""
        other = {**insight(), "eventType": event_type}
        named = {**LAUNCH, "eventType": event_type}

        decoded = decode_records([encode({"detail": other}), encode({"Records": [named, NOISE]})])

        assert counts(decoded) == (0, 0, 0, 3)

    def test_searches_without_their_parameters_are_counted(self) -> None:
        """They are searches, of which all but the parameters is known."""
        omitted = encode(changed(SEARCH, "requestParameters", {"omitted": True}))

        decoded = decode_records([omitted, encode(SEARCH), omitted])

        assert (len(decoded.searches), decoded.omitted_count) == (3, 2)

    def test_records_inside_a_record_of_records_are_refused(self) -> None:
        """Else a few bytes could stand for more records than one input may hold."""
        held = {"Records": [{"Records": [SEARCH, SEARCH]}, LAUNCH]}

        decoded = decode_records([encode(held)])

        assert counts(decoded) == (0, 1, 1, 1)
        assert decoded.rejections[0].message == f"$.Records[0]: {UNKNOWN}"

    @pytest.mark.parametrize("parameter", [0, 1])
    def test_one_image_by_parameter_makes_a_launch_through_a_parameter(
        self, parameter: int
    ) -> None:
        """A call that names several images names one of them so, wherever it stands."""
        images = ["ami-1", "ami-2"]
        images[parameter] = "resolve:ssm:/golden"

        assert one_launch(request_spot_fleet(image_ids=images)).through_parameter
        assert not one_launch(request_spot_fleet(image_ids=["ami-1", "ami-2"])).through_parameter

    def test_fleet_that_names_a_template_alone_is_a_launch_without_images(self) -> None:
        """RequestSpotFleet has `launchSpecifications` or templates, never both."""
        by_template = request_spot_fleet()
        config = by_template["requestParameters"]["spotFleetRequestConfig"]
        del config["launchSpecifications"]
        config["launchTemplateConfigs"] = [{"launchTemplateSpecification": {"version": "1"}}]

        assert one_launch(by_template).image_ids == ()

"""Laws of what is a call, what is only passed over, and what is named as of another kind."""

from __future__ import annotations

import json

import pytest

from amiguard_core.decode import decode_log_file, decode_records
from tests.core.specimens import LAUNCH, NOISE, SEARCH, changed, counts
from tests.data.records import describe_images
from tests.data.shapes import Json, encode

WAYS = ["record", "file", "lines"]


def decode(value: Json, way: str, *, beside: bytes = encode(NOISE)) -> tuple[int, int, int, int]:
    """Counts what is decoded of a value beside a record the rule has no interest in."""
    raw = encode(value)
    match way:
        case "record":
            return counts(decode_records([raw, beside]))
        case "file":
            return counts(decode_log_file(b'{"Records":[' + raw + b"," + beside + b"]}"))
        case _:
            return counts(decode_log_file(raw + b"\n" + beside))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("record", [SEARCH, LAUNCH], ids=["search", "launch"])
@pytest.mark.parametrize(
    ("field", "value", "is_call"),
    [
        ("eventCategory", "Management", True),
        ("eventCategory", None, True),
        ("eventCategory", "", True),
        ("eventCategory", "Data", False),
        ("eventCategory", "Insight", False),
        ("eventCategory", "NetworkActivity", False),
        ("eventCategory", "Aggregated", False),
        ("eventCategory", "management", False),
        ("eventType", "AwsApiCall", True),
        ("eventType", None, True),
        ("eventType", "AwsServiceEvent", True),
        ("eventType", "AwsCloudTrailInsight", False),
        ("eventType", "AwsVpceEvent", False),
        ("eventType", "AwsVpceEvents", False),
    ],
)
def test_category_and_type_say_what_is_a_call(
    record: Json, field: str, value: str | None, way: str, *, is_call: bool
) -> None:
    """Only management events are calls; all others are read, counted and passed over."""
    found = decode(changed(record, field, value), way)

    assert sum(found[:2]) == int(is_call)
    assert found[2:] == (0, 2)


@pytest.mark.parametrize("way", WAYS)
def test_an_aggregated_event_is_passed_over(way: str) -> None:
    """An aggregated event has no name of a call, and is no fault."""
    aggregated = {
        "eventVersion": "1.11",
        "accountId": "111122223333",
        "eventId": "a",
        "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent",
        "timeWindow": {"windowStart": "2026-03-01T11:00:00Z"},
        "summary": {"primaryDimension": {}, "details": []},
    }

    assert decode(aggregated, way) == (0, 0, 0, 2)


@pytest.mark.parametrize("field", ["eventCategory", "eventType"])
def test_a_category_or_type_that_is_no_text_is_rejected(field: str) -> None:
    """What is malformed is rejected with its path, never guessed."""
    (rejection,) = decode_records([encode(changed(SEARCH, field, 5))]).rejections

    assert rejection.path == f"$.{field}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"class_uid": 6003, "metadata": {}, "api": {"operation": "RunInstances"}}, "OCSF"),
        ({"awsAccountId": "1", "digestS3Bucket": "b", "logFiles": []}, "digest"),
        (
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "awsRegion": "eu-west-1",
                "s3": {"bucket": {"name": "trail"}, "object": {"key": "a.json.gz"}},
            },
            "S3 notification",
        ),
    ],
)
def test_known_objects_of_another_kind_are_named(value: Json, named: str, way: str) -> None:
    """What people take for a log file is named, with a command that helps."""
    assert decode(value, way) == (0, 0, 1, 1)
    (rejection,) = decode_records([encode(value)]).rejections
    assert named in rejection.message
    assert "amiguardctl submit" in rejection.message


@pytest.mark.parametrize("way", WAYS)
def test_a_text_of_a_record_is_the_record(way: str) -> None:
    """A record that was printed as a JSON text, as queries for one field do, is opened."""
    texts = [json.dumps(SEARCH), json.dumps(LAUNCH)]
    content = json.dumps(texts) if way == "file" else "\n".join(texts)
    found = decode_log_file(content.encode())

    assert counts(found) == (1, 1, 0, 2)


@pytest.mark.parametrize("name", ["Events", "events", "logEvents"])
@pytest.mark.parametrize("way", WAYS)
def test_a_record_with_the_name_of_an_envelope_in_it_is_a_record(name: str, way: str) -> None:
    """What begins as CloudTrail's records do is one, whatever its members are called."""
    assert decode({**SEARCH, name: [5]}, way) == (1, 0, 0, 2)


@pytest.mark.parametrize(("count", "is_read"), [(200, True), (201, False)])
def test_a_filter_has_as_many_values_as_ec2_takes(count: int, *, is_read: bool) -> None:
    """EC2 refuses a call with more values, so such a record is of no search that succeeded."""
    raw = encode(describe_images(filters={"name": [f"acme-{n}-*" for n in range(count)]}))

    decoded = decode_records([raw])

    assert len(decoded.searches) == int(is_read)
    assert [r.path for r in decoded.rejections] == (
        [] if is_read else ["$.requestParameters.filterSet.items[0].valueSet"]
    )


def test_a_filter_given_twice_has_no_more_values_than_one() -> None:
    """Values that are spread over filters of one name count together."""
    record = describe_images(filters={"name": [f"acme-{n}-*" for n in range(150)]})
    filters = record["requestParameters"]["filterSet"]["items"]
    more = describe_images(filters={"name": [f"other-{n}-*" for n in range(150)]})
    filters += more["requestParameters"]["filterSet"]["items"]

    (rejection,) = decode_records([encode(record)]).rejections

    assert rejection.path == "$.requestParameters.filterSet.items[1].valueSet"

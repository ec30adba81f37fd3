"""What the messages of a queue say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from amiguard_client.forward.errors import BadObjectError
from amiguard_client.forward.notifications import (
    LogObjects,
    ObjectAt,
    OneRecord,
    PassedOver,
    SetupTest,
    read_message,
)
from amiguard_client.left_out import Reason
from amiguard_client.log_names import reason_to_leave_out
from tests.clients.forward.cloud import BUCKET, s3_event, sns
from tests.data.records import describe_images
from tests.data.variations import eventbridge

DAY = "AWSLogs/123456789012/CloudTrail/eu-west-1/2026/03/02"
NAME = "123456789012_CloudTrail_eu-west-1_20260302T0905Z_abcdefghijklmnop.json.gz"
KEY = f"{DAY}/{NAME}"
TEST_EVENT = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-03-02T09:05:12.000Z",
    "Bucket": BUCKET,
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR",
}
CREATED = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Object Created",
    "source": "aws.s3",
    "detail": {"version": "0", "bucket": {"name": BUCKET}, "object": {"key": KEY, "size": 5}},
}


def objects_of(message: dict[str, Any]) -> list[str]:
    """Returns the keys of the log files that a message names, all in the bucket."""
    notice = read_message(json.dumps(message))
    assert isinstance(notice, LogObjects)
    assert {at.bucket for at in notice.objects} <= {BUCKET}
    return [at.key for at in notice.objects]


@pytest.mark.parametrize(
    "message",
    [
        s3_event(KEY),
        s3_event(KEY, name="s3:ObjectCreated:CompleteMultipartUpload"),
        {"s3Bucket": BUCKET, "s3ObjectKey": [KEY]},
        CREATED,
    ],
    ids=["s3", "s3-minio", "cloudtrail", "eventbridge"],
)
@pytest.mark.parametrize("envelopes", [0, 1, 2])
def test_every_form_names_its_objects(message: dict[str, Any], envelopes: int) -> None:
    """Each form of notification is read, as it is, through one SNS topic and through two."""
    for _ in range(envelopes):
        message = sns(message)

    assert objects_of(message) == [KEY]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("trail+of+acme/a.json.gz", "trail of acme/a.json.gz"),
        ("a%2Bb%3D%26%25.json.gz", "a+b=&%.json.gz"),
        ("caf%C3%A9.json", "café.json"),
    ],
)
def test_keys_of_s3_are_form_encoded_and_no_others(written: str, key: str) -> None:
    """`+` and `%` of an S3 notification are decoded; those of other forms are the key's own."""
    created = {**CREATED, "detail": {"bucket": {"name": BUCKET}, "object": {"key": written}}}

    assert objects_of(s3_event(written)) == [key]
    assert objects_of({"s3Bucket": BUCKET, "s3ObjectKey": [written]}) == [written]
    assert objects_of(created) == [written]


def test_all_objects_of_a_message_are_named() -> None:
    """A message may name several objects; only those of other feeds are passed over."""
    digest = KEY.replace("CloudTrail", "CloudTrail-Digest")

    notice = read_message(
        json.dumps({"s3Bucket": BUCKET, "s3ObjectKey": [KEY, digest, "b.json", "c.parquet"]})
    )

    assert notice == LogObjects(
        (ObjectAt(BUCKET, KEY), ObjectAt(BUCKET, "b.json"), ObjectAt(BUCKET, "c.parquet")),
        ((Reason.OTHER_FEED, ObjectAt(BUCKET, digest)),),
    )


def test_removed_objects_are_passed_over() -> None:
    """Only the making of an object tells of records."""
    notice = read_message(json.dumps(s3_event(KEY, KEY, name="ObjectRemoved:Delete")))

    assert notice == LogObjects((), ((Reason.NO_NEW_OBJECT, ObjectAt(BUCKET, KEY)),) * 2)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(TEST_EVENT),
        json.dumps(sns(TEST_EVENT)),
        "CloudTrail validation message.",
        json.dumps({**sns({}), "Message": "CloudTrail validation message."}),
    ],
)
def test_what_setting_up_sends_is_known(body: str) -> None:
    """The messages that AWS sends to try a notification out are no mistakes."""
    assert isinstance(read_message(body), SetupTest)


def test_records_stay_as_they_were_written() -> None:
    """A record comes in its EventBridge envelope or bare, and its text is not written anew."""
    record = describe_images()
    for inner in (eventbridge(record), dict(record)):
        text = json.dumps(inner, indent=1)

        assert read_message(text) == OneRecord(text)
        assert read_message(json.dumps({**sns({}), "Message": text})) == OneRecord(text)


def test_calls_of_s3_are_records_and_its_other_events_are_not() -> None:
    """`aws.s3` is the source of records of its calls too; events of other kinds hold none."""
    call = {**CREATED, "detail-type": "AWS API Call via CloudTrail"}

    assert isinstance(read_message(json.dumps(call)), OneRecord)
    for other in (
        {**CREATED, "detail-type": "Object Deleted"},
        {**CREATED, "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"},
    ):
        assert isinstance(read_message(json.dumps(other)), PassedOver)


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("", "text that is no JSON"),
        ("{", "text that is no JSON"),
        ("[" * 100_000, "text that is no JSON"),
        ("[]", "JSON that is no object"),
        ('"s3://bucket/key"', "JSON that is no object"),
        ("{}", "another object"),
        ('{"Records": []}', "another object"),
        ('{"Records": {}}', "another object"),
        ('{"Records": [{"eventSource": "aws:s3"}]}', "Records of another kind"),
        ('{"Records": [1]}', "Records of another kind"),
        ('{"s3Bucket": "b", "s3ObjectKey": [1]}', "another object"),
        ('{"s3Bucket": "b", "s3ObjectKey": "k"}', "another object"),
        ('{"detail-type": "Object Created", "source": "aws.s3", "detail": {}}', "without bucket"),
        ('{"Type": "SubscriptionConfirmation", "TopicArn": "a", "Message": "m"}', "subscription"),
    ],
)
def test_anything_else_is_refused_with_what_was_got(body: str, got: str) -> None:
    """A message of no known form is refused in one line, whatever is in it."""
    with pytest.raises(BadObjectError, match=got) as caught:
        read_message(body)

    assert "\n" not in str(caught.value)


def test_envelopes_have_an_end() -> None:
    """A message that is nothing but envelopes is refused."""
    message: dict[str, Any] = s3_event(KEY)
    for _ in range(4):
        message = sns(message)

    with pytest.raises(BadObjectError, match="envelopes"):
        read_message(json.dumps(message))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (KEY, None),
        (f"some/prefix/{KEY}", None),
        (KEY.replace("AWSLogs/", "o-exampleorgid/AWSLogs/o-exampleorgid/"), None),
        ("copies/2026-03-02.ndjson", None),
        ("firehose/stream-1-2026-03-01-11-05-00-abc", None),
        ("firehose/stream-1-2026-03-01-11-05-00-abc.gz", None),
        (KEY.replace("CloudTrail/", "CloudTrail-Digest/"), Reason.OTHER_FEED),
        (KEY.replace("CloudTrail/", "CloudTrail-Insight/"), Reason.OTHER_FEED),
        (KEY.replace("CloudTrail/", "CloudTrail-Aggregated/"), Reason.OTHER_FEED),
        ("copies/" + NAME.replace("CloudTrail", "CloudTrail-Digest"), Reason.OTHER_FEED),
        ("copies/" + NAME.replace("CloudTrail", "CloudTrail-Insight"), Reason.OTHER_FEED),
        ("copies/" + NAME.replace("CloudTrail", "CloudTrail-NetworkActivity"), Reason.OTHER_FEED),
        ("copies/" + NAME.replace("CloudTrail", "CloudTrail-Aggregated"), Reason.OTHER_FEED),
        (KEY.replace("CloudTrail/", "Config/"), Reason.OTHER_SERVICE),
        (f"{DAY}/", Reason.FOLDER_MARK),
        ("copies/2026-03-02.parquet", Reason.OTHER_NAME),
        ("copies/.hidden.json", Reason.OTHER_NAME),
        ("copies/.hidden/a.json", Reason.OTHER_NAME),
    ],
)
def test_keys_of_log_files_are_told_from_others(key: str, expected: Reason | None) -> None:
    """Below AWSLogs only the folder CloudTrail holds log files; elsewhere the name decides."""
    assert reason_to_leave_out(key) is expected

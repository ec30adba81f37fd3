"""What errors of AWS mean to a forwarder."""

from __future__ import annotations

import pytest
from botocore import exceptions as botocore

from amiguard_client.forward.aws import aws_errors, open_client, queue_region
from amiguard_client.forward.errors import (
    AwayError,
    BadObjectError,
    ObjectFaultError,
    SetupError,
)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-west-1.amazonaws.com/123456789012/trail", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/trail", "cn-north-1"),
        ("https://us-east-2.queue.amazonaws.com/123456789012/trail", "us-east-2"),
        ("http://127.0.0.1:5000/123456789012/trail", None),
    ],
)
def test_a_queue_says_its_region(url: str, region: str | None) -> None:
    """The URL of a queue names its region, where AWS made it."""
    assert queue_region(url) == region


def refusal(code: str, status: int = 400) -> botocore.ClientError:
    """Makes what boto3 raises for an answer of AWS."""
    answer = {
        "Error": {"Code": code, "Message": "said\nAWS"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return botocore.ClientError(answer, "GetObject")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (refusal("SlowDown", 503), AwayError),
        (refusal("InternalError", 500), AwayError),
        (refusal("ThrottlingException"), AwayError),
        (refusal("KMS.ThrottlingException"), AwayError),
        (refusal("TooManyRequests", 429), AwayError),
        (refusal("ExpiredToken"), AwayError),
        (botocore.EndpointConnectionError(endpoint_url="http://x"), AwayError),
        (botocore.ReadTimeoutError(endpoint_url="http://x"), AwayError),
        (botocore.IncompleteReadError(actual_bytes=1, expected_bytes=2), AwayError),
        (botocore.ResponseStreamingError(error="reset"), AwayError),
        (refusal("NoSuchKey", 404), BadObjectError),
        (refusal("NoSuchBucket", 404), BadObjectError),
        (botocore.ParamValidationError(report="bad bucket"), BadObjectError),
        (refusal("AccessDenied", 403), ObjectFaultError),
        (refusal("InvalidObjectState", 403), ObjectFaultError),
        (botocore.NoCredentialsError(), SetupError),
        (botocore.NoRegionError(), SetupError),
    ],
    ids=str,
)
def test_an_error_means_what_can_be_done_about_it(
    error: Exception, meaning: type[Exception]
) -> None:
    """What may pass is waited for, what is an object's fault costs that one alone."""
    with pytest.raises(meaning) as caught, aws_errors("s3://bucket/key"):
        raise error

    assert type(caught.value) is meaning
    assert str(caught.value).startswith("s3://bucket/key: ")
    assert "\n" not in str(caught.value)


def test_an_endpoint_that_is_none_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What boto3 cannot take from the environment is a mistake of the setup."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nowhere")

    with pytest.raises(SetupError, match="nowhere"):
        open_client("sqs", region="eu-west-1")

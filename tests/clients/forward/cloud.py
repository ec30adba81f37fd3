"""moto's AWS on a loopback port, and a gate before it that notes, holds back and fails calls."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl
from urllib.request import Request, urlopen

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BUCKET = "example-trail"
REGION = "eu-west-1"
WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Call:
    """One call of AWS: the SQS action and its parameters, or method, path and query of S3."""

    action: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Gate:
    """Notes every call before moto sees it; `act` may wait, and answers in its place a status."""

    application: WSGIApplication
    act: Callable[[Call], int | None] = lambda _call: None
    calls: list[Call] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers as moto does, unless it is told otherwise."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        call = _call_of(environ, body)
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()
        status = self.act(call)
        if status is not None:
            start_response(f"{status} Scripted", [("Content-Length", "0")])
            return [b""]
        return self.application(environ, start_response)

    def count(self, action: str) -> int:
        """Returns how often something was called."""
        with self.changed:
            return sum(call.action == action for call in self.calls)

    def wait_for(self, action: str, count: int = 1) -> None:
        """Returns once something was called so often."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.count(action) >= count, WAIT_SECONDS), (
                f"{action} was called {self.count(action)} times, not {count}"
            )


def _call_of(environ: WSGIEnvironment, body: bytes) -> Call:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target.startswith("AmazonSQS."):
        return Call(target.removeprefix("AmazonSQS."), json.loads(body or b"{}"))
    query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
    return Call(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", query)


@dataclass
class Cloud:
    """AWS as a test sees it: one bucket, and queues as they are made."""

    url: str
    gate: Gate
    environment: dict[str, str]
    """What leads the clients of a process there."""

    def client(self, service: str) -> Any:
        """Returns a client of boto3."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )

    def reset(self) -> None:
        """Begins anew with one empty bucket."""
        self.gate.act = lambda _call: None
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):  # noqa: S310 - ours
            pass
        self.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        self.gate.calls.clear()

    def make_queue(self, name: str = "trail", **attributes: str) -> str:
        """Makes a queue and returns its URL."""
        made = self.client("sqs").create_queue(QueueName=name, Attributes=attributes)
        return str(made["QueueUrl"])

    def put(self, key: str, content: bytes, *, bucket: str = BUCKET) -> str:
        """Puts an object and returns its key."""
        self.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        return key

    def send(self, queue_url: str, *bodies: str | dict[str, Any]) -> None:
        """Sends messages."""
        sqs = self.client("sqs")
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        for start in range(0, len(texts), 10):
            entries = [
                {"Id": str(number), "MessageBody": text}
                for number, text in enumerate(texts[start : start + 10])
            ]
            assert not sqs.send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed")

    def notify(self, queue_url: str, way: str) -> None:
        """Has the bucket tell of its objects, by `sqs`, `sns`, `sns-raw` or `eventbridge`."""
        sqs, s3 = self.client("sqs"), self.client("s3")
        names = ["QueueArn"]
        queue = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
        arn = queue["Attributes"]["QueueArn"]
        configuration: dict[str, Any] = {"EventBridgeConfiguration": {}}
        if way == "sqs":
            target = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
            configuration = {"QueueConfigurations": [target]}
        elif way == "eventbridge":
            events = self.client("events")
            pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"]}
            events.put_rule(Name="created", EventPattern=json.dumps(pattern), State="ENABLED")
            events.put_targets(Rule="created", Targets=[{"Id": "queue", "Arn": arn}])
        else:
            sns = self.client("sns")
            topic = sns.create_topic(Name="trail")["TopicArn"]
            raw = {"RawMessageDelivery": "true"} if way == "sns-raw" else {}
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
            target = {"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}
            configuration = {"TopicConfigurations": [target]}
        s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration=configuration
        )

    def depth(self, queue_url: str) -> tuple[int, int]:
        """Returns how many messages of a queue can be seen, and how many are hidden."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = self.client("sqs").get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=list(names)
        )
        visible, hidden = (int(answer["Attributes"][name]) for name in names)
        return visible, hidden

    def messages(self, queue_url: str) -> list[Any]:
        """Returns the messages of a queue that can be seen, with their attributes."""
        found: list[Any] = []
        while True:
            answer = self.client("sqs").receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=10,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]


@contextmanager
def serving_cloud() -> Iterator[Cloud]:
    """Serves AWS until the end of the block."""
    gate = Gate(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, gate, threaded=True, request_handler=MotoRequestHandler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "NO_PROXY": "127.0.0.1",
    }
    try:
        yield Cloud(url, gate, environment)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def s3_event(*keys: str, bucket: str = BUCKET, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Returns what S3 sends of objects, whose keys are encoded already."""
    return {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-west-1",
                "eventTime": "2026-03-02T09:05:12.000Z",
                "eventName": name,
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "to-the-queue",
                    "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
                    "object": {"key": key, "size": 1024, "eTag": "d41d8cd98f", "sequencer": "00"},
                },
            }
            for key in keys
        ]
    }


def sns(message: dict[str, Any]) -> dict[str, Any]:
    """Returns what an SNS topic makes of a message without raw delivery."""
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:trail",
        "Subject": "Amazon S3 Notification",
        "Message": json.dumps(message),
        "Timestamp": "2026-03-02T09:05:13.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
    }

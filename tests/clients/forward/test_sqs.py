"""Forwarding what the messages of a queue name or hold."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote_plus

import pytest

from amiguard_client import Client
from amiguard_client.forward.dead_letters import FolderOfDeadLetters
from amiguard_client.left_out import Reason
from tests.clients.forward.cloud import BUCKET, Cloud, s3_event, sns
from tests.clients.forward.scene import OTHER, committed, log_file, scene
from tests.clients.live_server import Live
from tests.clients.scripted_server import ScriptedServer
from tests.data.log_files import deliver
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.data.variations import eventbridge
from tests.robustness.operators import Tuned
from tests.robustness.oracle import ServerView, find_differences


def test_whatever_the_form_every_record_arrives_once(
    cloud: Cloud, live: Live, live_client: Client, tmp_path: Path
) -> None:
    """Log files and records come by every way, some twice, and make the findings of the rule."""
    records = scenario(7, searches=40, launches=40, noise=40)
    files = deliver(records[: len(records) // 2], seed=7)
    loose = records[len(records) // 2 :]
    queue = cloud.make_queue()
    for number, file in enumerate(files):
        key = cloud.put(f"trail of acme/a+b=%/{file.key()}", file.content())
        event = s3_event(quote_plus(key))
        own = {"s3Bucket": BUCKET, "s3ObjectKey": [key]}
        forms = (event, sns(event), own, sns(own))
        cloud.send(queue, forms[number % 4], *([event] if number % 10 == 0 else []))
    for number, record in enumerate(loose):
        cloud.send(queue, sns(eventbridge(record)) if number % 3 else eventbridge(record))

    with scene(live.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path / "dead")))

    assert here.said == []
    assert cloud.depth(queue) == (0, 0)
    tuned = Tuned()
    assert find_differences(ServerView(live_client), map(encode, records), tuned) == []
    assert here.counted()["messages deleted"] == len(loose) + len(files) + (len(files) + 9) // 10


@pytest.mark.parametrize("way", ["sqs", "sns", "sns-raw", "eventbridge"])
def test_what_aws_itself_sends_is_understood(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path, way: str
) -> None:
    """Notifications that the bucket sends, by each way it can, lead to its new objects."""
    queue = cloud.make_queue()
    cloud.notify(queue, way)
    cloud.put("trail of acme/a+b=%é.json.gz", log_file(OTHER))
    cloud.put("AWSLogs/123456789012/Config/eu-west-1/2026/3/2/a.json.gz", b"")

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert committed(server) == [OTHER]
    assert here.said == []
    assert cloud.depth(queue) == (0, 0)
    assert here.counted()["objects passed_over"] == 1


def test_what_is_known_to_be_no_log_file_is_passed_over_and_deleted(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """Digests, other services' objects, removals and test events are counted and told."""
    queue = cloud.make_queue()
    key = cloud.put("a.json.gz", log_file(OTHER))
    digest = "AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/2026/03/02/d.json.gz"
    cloud.send(
        queue,
        s3_event(digest),
        s3_event("AWSLogs/123456789012/Config/eu-west-1/2026/3/2/a.json.gz"),
        s3_event(key, name="ObjectRemoved:Delete"),
        s3_event(key, digest),
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET},
    )

    with scene(server.target) as here:
        source = here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path))
        here.forwarder.run(source)

    assert committed(server) == [OTHER]
    assert cloud.depth(queue) == (0, 0)
    assert here.said == []
    told = {
        Reason.OTHER_FEED: 2,
        Reason.OTHER_SERVICE: 1,
        Reason.NO_NEW_OBJECT: 1,
        Reason.TEST_EVENT: 1,
    }
    assert {reason: source.left_out.count(reason) for reason in told} == told
    assert len(source.left_out.lines()) == len(told)
    assert here.counted() == {
        "objects forwarded": 1,
        "objects passed_over": 4,
        "records accepted": 1,
        "messages deleted": 4,
        "messages test_event": 1,
    }

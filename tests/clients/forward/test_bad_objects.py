"""What cannot be forwarded: it costs no other, and is not lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import grpc
import pytest

from amiguard_client.forward.aws import open_client
from amiguard_client.forward.counts import DEAD_LETTERS
from amiguard_client.forward.dead_letters import FolderOfDeadLetters, QueueOfDeadLetters
from tests.clients.forward.cloud import BUCKET, Cloud, s3_event
from tests.clients.forward.scene import OTHER, committed, letters, log_file, scene
from tests.clients.live_server import Live
from tests.clients.scripted_server import Act, Fault, ScriptedServer, reason, serve
from tests.data.log_files import deliver
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.data.variations import eventbridge

SEARCH = b'{"eventName":"DescribeImages"}'
GARBAGE = "no notification at all"

BAD_OBJECTS = {
    "missing": (None, "NoSuchKey"),
    "empty": (b"", "got an empty object, wanted a log file"),
    "truncated": (log_file(*[SEARCH] * 50)[:-30], "gzip"),
    "not-gzip": (b"\x1f\x8bno gzip at all", "gzip"),
    "no-records": (gzip.compress(b'{"configurationItems":[]}'), "wanted"),
    "text": (b"hello\nthere\n", "wanted"),
}


@pytest.mark.parametrize("kind", BAD_OBJECTS)
def test_a_bad_object_costs_no_other(cloud: Cloud, live: Live, tmp_path: Path, kind: str) -> None:
    """What cannot be forwarded becomes a dead letter with the reason; the others are forwarded."""
    queue = cloud.make_queue()
    content, why = BAD_OBJECTS[kind]
    (file,) = deliver(scenario(1, searches=1, launches=0, noise=0), seed=1)
    if content is not None:
        cloud.put("bad.json.gz", content)
    cloud.put("good.json.gz", file.content())
    cloud.send(queue, s3_event("bad.json.gz"), s3_event("good.json.gz"))

    with scene(live.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path / "dead")))

    (path,) = letters(tmp_path / "dead")
    letter = json.loads(path.read_text())
    assert why in letter["reason"]
    assert f"s3://{BUCKET}/bad.json.gz" in letter["reason"]
    assert json.loads(letter["body"]) == s3_event("bad.json.gz")
    assert letter["source"] == queue
    assert cloud.depth(queue) == (0, 0)
    assert here.counted()["objects forwarded"] == here.counted()["objects bad"] == 1
    assert here.counted()["messages dead_lettered"] == here.counts.get(DEAD_LETTERS) == 1
    assert [text for text in here.said if why in text] == here.said


def test_dead_letters_can_go_to_a_queue_as_they_came(cloud: Cloud, server: ScriptedServer) -> None:
    """A queue of dead letters gets the message unchanged, the reason beside it."""
    queue, dead = cloud.make_queue(), cloud.make_queue("dead")
    cloud.send(queue, GARBAGE)

    with scene(server.target) as here:
        there = QueueOfDeadLetters(open_client("sqs"), dead, here.forwarder.patience)
        here.forwarder.run(here.sqs(queue, dead_letters=there))

    (message,) = cloud.messages(dead)
    assert message["Body"] == GARBAGE
    attributes = message["MessageAttributes"]
    assert "no JSON" in attributes["amiguard-reason"]["StringValue"]
    assert attributes["amiguard-source"]["StringValue"] == queue
    assert cloud.depth(queue) == (0, 0)


def test_without_dead_letters_the_queue_keeps_what_is_bad(
    cloud: Cloud, server: ScriptedServer
) -> None:
    """A bad message is told of, counted and left to the redrive policy of the queue."""
    dead = cloud.make_queue("dead")
    arn = cloud.client("sqs").get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": "1"}
    queue = cloud.make_queue(RedrivePolicy=json.dumps(redrive))
    cloud.send(queue, GARBAGE)

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue))

    assert cloud.depth(queue) == (0, 1)
    assert here.counted() == {"objects bad": 1, "messages left": 1}
    assert ["no JSON" in text for text in here.said] == [True]


def test_a_queue_that_would_give_bad_messages_for_ever_is_told_of(
    cloud: Cloud, server: ScriptedServer
) -> None:
    """Without a place for dead letters, here or at the queue, the operator is warned."""
    with scene(server.target) as here:
        here.forwarder.run(here.sqs(cloud.make_queue()))

    assert ["no redrive policy" in text for text in here.said] == [True]


def test_where_dead_letters_cannot_be_written_nothing_is_deleted(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """A message that is no dead letter yet stays in the queue."""
    (tmp_path / "dead").write_text("a file, not a folder")
    queue = cloud.make_queue()
    cloud.send(queue, GARBAGE)

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path / "dead")))

    assert cloud.depth(queue) == (0, 1)
    assert here.counted()["messages left"] == 1


def test_one_bad_object_of_a_message_sets_the_message_aside(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """The good objects of a message are forwarded though another of them is bad."""
    queue = cloud.make_queue()
    cloud.put("a.json.gz", log_file(SEARCH))
    cloud.put("c.json.gz", log_file(OTHER))
    cloud.send(queue, {"s3Bucket": BUCKET, "s3ObjectKey": ["a.json.gz", "b.json", "c.json.gz"]})

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert committed(server) == sorted([SEARCH, OTHER])
    (letter,) = letters(tmp_path)
    assert "b.json" in json.loads(letter.read_text())["reason"]


def test_a_rejected_record_in_a_message_is_a_dead_letter_of_its_own(
    cloud: Cloud, live: Live, tmp_path: Path
) -> None:
    """Of messages that are received together, only the one with a bad record is set aside."""
    queue = cloud.make_queue()
    good, bad = scenario(3, searches=1, launches=0, noise=1)
    bad["eventTime"] = "yesterday"  # the record of a search or not, this is no time
    bad["eventSource"], bad["eventName"] = "ec2.amazonaws.com", "DescribeImages"
    cloud.send(queue, eventbridge(good), dict(bad))

    with scene(live.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    (letter,) = letters(tmp_path)
    assert "eventTime" in json.loads(letter.read_text())["reason"]
    assert here.counted()["messages deleted"] == 1


def test_a_log_file_with_some_bad_records_is_forwarded(
    cloud: Cloud, live: Live, tmp_path: Path
) -> None:
    """The server keeps the records it rejects; the log file is named, and is no dead letter."""
    queue = cloud.make_queue()
    good, bad = map(encode, scenario(3, searches=1, launches=0, noise=1))
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(good, b'{"eventName":1}', bad))))

    with scene(live.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert letters(tmp_path) == []
    assert cloud.depth(queue) == (0, 0)
    (said,) = here.said
    assert said.startswith("s3://example-trail/a.json.gz: 1 of 3 records were rejected: record 1: ")


def test_a_huge_object_goes_in_pieces_and_one_over_the_limit_not_at_all(
    cloud: Cloud, live: Live, tmp_path: Path
) -> None:
    """What is larger than the memory for it is forwarded from disk, up to a limit."""
    queue = cloud.make_queue()
    records = [*map(encode, scenario(2, searches=10, launches=10, noise=10))]
    padding = b" " * 700_000
    content = b'{"Records":[' + b",".join(padding + record for record in records) + b"]}"
    cloud.put("huge.json", content)
    cloud.put("larger.json", content + b" ")
    cloud.send(queue, s3_event("huge.json"), s3_event("larger.json"))

    with scene(
        live.target, in_flight=1, max_bytes_in_flight=16 * 1024**2, max_object_bytes=len(content)
    ) as here:
        assert here.settings.spool_bytes < len(content)
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert here.counted()["records accepted"] == len(records)
    (letter,) = letters(tmp_path)
    assert "wanted at most" in json.loads(letter.read_text())["reason"]


def test_objects_of_other_buckets_are_not_read(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """Where buckets are named, a message about another one is set aside without a look at it."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event("secrets.json", bucket="somebody-elses"))

    with scene(server.target) as here:
        here.forwarder.run(
            here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path), buckets=(BUCKET,))
        )

    (letter,) = letters(tmp_path)
    assert "got another bucket, wanted example-trail" in json.loads(letter.read_text())["reason"]
    assert not any("somebody-elses" in call.action for call in cloud.gate.calls)


@pytest.mark.parametrize(
    ("bucket", "key"), [("not a bucket!", "a.json"), ("arn:aws:s3:::b", "a.json")]
)
def test_a_message_that_names_no_possible_object_is_bad(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path, bucket: str, key: str
) -> None:
    """What the AWS client itself refuses is the message's fault, and is not tried for ever."""
    queue = cloud.make_queue()
    cloud.send(queue, {"s3Bucket": bucket, "s3ObjectKey": [key]})

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert len(letters(tmp_path)) == 1


def test_a_forbidden_object_is_tried_a_few_times(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """A missing permission may be given a moment later, and else sets the object aside."""
    queue = cloud.make_queue()
    cloud.put("a.json.gz", log_file(OTHER))
    cloud.send(queue, s3_event("a.json.gz"))
    cloud.gate.act = lambda call: 403 if call.action.startswith("GET /example-trail/") else None

    with scene(server.target, max_attempts=3) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert cloud.gate.count("GET /example-trail/a.json.gz") == 3
    (letter,) = letters(tmp_path)
    assert "403" in json.loads(letter.read_text())["reason"]


def test_what_the_server_fails_at_costs_no_other(cloud: Cloud, tmp_path: Path) -> None:
    """An object over which the server fails again and again is set aside after some attempts."""
    queue = cloud.make_queue()
    cloud.put("a.json.gz", log_file(OTHER))
    cloud.send(queue, s3_event("a.json.gz"))
    failing = Act(Fault.BREAK, code=grpc.StatusCode.INTERNAL)
    with serve() as server:
        server.ingest.script = [failing] * 10  # the library itself tries five times

        with scene(server.target, max_attempts=2) as here:
            here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    (letter,) = letters(tmp_path)
    assert "scripted INTERNAL" in json.loads(letter.read_text())["reason"]


def test_what_the_server_refuses_is_found_among_others(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """Records that were refused together are tried one by one, and only the culprit set aside."""
    queue = cloud.make_queue()
    bodies = [json.dumps(eventbridge(record)) for record in scenario(1, searches=3, launches=0)[:3]]
    cloud.send(queue, *bodies)
    refused = Act(
        Fault.BREAK,
        code=grpc.StatusCode.INVALID_ARGUMENT,
        details=(reason("MOSTLY_MALFORMED", record_count="1", rejected_count="1"),),
    )
    server.ingest.script = [refused, Act(), refused, Act()]

    with scene(server.target, in_flight=1) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert len(letters(tmp_path)) == 1
    assert len(committed(server)) == 2

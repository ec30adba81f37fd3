"""Forwarding what the messages of a queue name or hold."""

from __future__ import annotations

import gzip
import json
import threading
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote_plus

import grpc
import pytest

from amiguard_client import Client, RetryPolicy
from amiguard_client.errors import PermissionDeniedError, UnauthenticatedError
from amiguard_client.forward.aws import open_client
from amiguard_client.forward.counts import DEAD_LETTERS, RETRIES, S3, SERVER, SQS, UP
from amiguard_client.forward.dead_letters import FolderOfDeadLetters, QueueOfDeadLetters
from amiguard_client.forward.errors import AwayError, SetupError
from amiguard_service.identity import Role
from tests.clients.forward.cloud import BUCKET, Call, Cloud, s3_event, sns
from tests.clients.forward.scene import letters, log_file, scene
from tests.clients.live_server import Live, live_server, people
from tests.clients.scripted_server import Act, Fault, ScriptedServer, reason, serve
from tests.data.log_files import deliver
from tests.data.scenario import scenario
from tests.data.shapes import encode
from tests.data.variations import eventbridge
from tests.robustness.operators import Tuned
from tests.robustness.oracle import find_differences

SEARCH = b'{"eventName":"DescribeImages"}'
OTHER = b'{"eventName":"GetUser"}'
GARBAGE = "no notification at all"


def committed(server: ScriptedServer) -> list[bytes]:
    """Returns every record that was committed."""
    return sorted(record for batch in server.ingest.committed for record in batch)


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
    assert find_differences(live_client, map(encode, records), tuned) == []
    assert here.counted()["messages deleted"] == len(loose) + len(files) + (len(files) + 9) // 10


@pytest.mark.parametrize("way", ["sqs", "sns", "sns-raw", "eventbridge"])
def test_what_aws_itself_sends_is_understood(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path, way: str
) -> None:
    """Notifications that the bucket sends, by each way it can, lead to its new objects."""
    queue = cloud.make_queue()
    cloud.notify(queue, way)
    cloud.put("trail of acme/a+b=%é.json.gz", log_file(OTHER))
    cloud.put("report.parquet", b"")

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert committed(server) == [OTHER]
    assert here.said == []
    assert cloud.depth(queue) == (0, 0)
    assert here.counted()["objects passed_over"] == 1


def test_what_is_no_log_file_is_passed_over_and_deleted(
    cloud: Cloud, server: ScriptedServer, tmp_path: Path
) -> None:
    """Digests, other objects, removals and test events are counted, and are no mistakes."""
    queue = cloud.make_queue()
    key = cloud.put("a.json.gz", log_file(OTHER))
    digest = "AWSLogs/123456789012/CloudTrail-Digest/eu-west-1/2026/03/02/d.json.gz"
    cloud.send(
        queue,
        s3_event(digest),
        s3_event("report.parquet"),
        s3_event(key, name="ObjectRemoved:Delete"),
        s3_event(key, digest),
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET},
    )

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue, dead_letters=FolderOfDeadLetters(tmp_path)))

    assert committed(server) == [OTHER]
    assert cloud.depth(queue) == (0, 0)
    assert here.said == []
    assert here.counted() == {
        "objects forwarded": 1,
        "objects passed_over": 4,
        "records accepted": 1,
        "messages deleted": 4,
        "messages test_event": 1,
    }


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
        live.target, in_flight=1, max_bytes_in_flight=8 * 1024**2, max_object_bytes=len(content)
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


def test_a_server_that_is_away_is_waited_for(cloud: Cloud) -> None:
    """While the server is gone nothing is lost or deleted; once it is back all is forwarded."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(OTHER))))
    with serve() as gone:
        target = gone.target

    with scene(target, once=False) as here, here.running(here.sqs(queue)):
        here.wait_for_word("cannot be reached")
        assert here.counts.get(UP, SERVER) == 0
        assert cloud.depth(queue) == (0, 1)

        with serve(port=int(target.rpartition(":")[2])) as back:
            cloud.gate.wait_for("DeleteMessageBatch")
            here.wait_for_word("server is back")

    assert here.failure is None
    assert committed(back) == [OTHER]
    assert here.counts.get(RETRIES, SERVER) >= 1
    assert here.counts.get(UP, SERVER) == 1
    # Said once when it began, and once when it was over.
    assert sum("cannot be reached" in text for text in here.said) == 1


def test_aws_that_is_away_is_waited_for(cloud: Cloud, server: ScriptedServer) -> None:
    """Failures of SQS and S3 are waited out, whatever is being done."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(OTHER))))
    failures = {
        action: iter([503, 500, 429])
        for action in ("ReceiveMessage", "DeleteMessageBatch", "GET /example-trail/a.json.gz")
    }
    cloud.gate.act = lambda call: next(failures.get(call.action, iter([])), None)

    with scene(server.target) as here:
        here.forwarder.run(here.sqs(queue))

    assert committed(server) == [OTHER]
    assert cloud.depth(queue) == (0, 0)
    # Of each call the AWS client itself makes a second attempt.
    assert here.counts.get(RETRIES, SQS) >= 2
    assert here.counts.get(RETRIES, S3) >= 1
    assert {text.split(" after ")[0] for text in here.said if " is back " in text} == {
        "sqs is back",
        "s3 is back",
    }


def test_patience_has_the_end_that_is_set(cloud: Cloud, server: ScriptedServer) -> None:
    """Where a time to give up is set, an outage that lasts longer ends the forwarder."""
    queue = cloud.make_queue()
    cloud.gate.act = lambda call: 503 if call.action == "ReceiveMessage" else None

    with (
        scene(
            server.target, retry=RetryPolicy(initial_delay=timedelta(0), give_up_after=timedelta(0))
        ) as here,
        pytest.raises(AwayError, match="503"),
    ):
        here.forwarder.run(here.sqs(queue))


def test_no_such_queue_ends_the_forwarder(cloud: Cloud, server: ScriptedServer) -> None:
    """A queue that is not there will not be there by waiting."""
    with scene(server.target) as here, pytest.raises(SetupError, match="does not exist"):
        here.forwarder.run(here.sqs(f"{cloud.url}/123456789012/no-such-queue"))


@pytest.mark.parametrize(
    ("token", "kind"), [("ada", UnauthenticatedError), ("bob", PermissionDeniedError)]
)
def test_a_token_that_is_not_accepted_ends_the_forwarder(
    cloud: Cloud, migrated_sqlite: Path, tmp_path: Path, token: str, kind: type[Exception]
) -> None:
    """With a wrong token nothing can be forwarded: the messages go back at once."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(OTHER))))
    tokens = people(bob=Role.READ)

    with (
        live_server(migrated_sqlite, tmp_path, authenticator=tokens) as live,
        scene(live.target, token=token) as here,
    ):
        source = here.sqs(queue)
        with pytest.raises(kind):
            here.forwarder.run(source)

    assert cloud.depth(queue) == (1, 0)


def test_visibility_is_extended_while_a_message_is_worked_on(
    cloud: Cloud, server: ScriptedServer
) -> None:
    """However long an object takes, nobody else receives its message meanwhile."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("slow.json.gz", log_file(OTHER))))
    may_go_on = threading.Event()

    def hold_back(call: Call) -> None:
        if call.action == "GET /example-trail/slow.json.gz":
            may_go_on.wait(30)

    cloud.gate.act = hold_back
    with (
        scene(server.target, once=False) as here,
        here.running(here.sqs(queue, visibility_seconds=1)),
    ):
        # Each comes a third of a second after the one before: well past the first second.
        cloud.gate.wait_for("ChangeMessageVisibilityBatch", 5)
        assert cloud.depth(queue) == (0, 1)
        may_go_on.set()
        cloud.gate.wait_for("DeleteMessageBatch")

    extended = [c for c in cloud.gate.calls if c.action == "ChangeMessageVisibilityBatch"]
    assert {entry["VisibilityTimeout"] for c in extended for entry in c.parameters["Entries"]} == {
        1
    }
    assert committed(server) == [OTHER]
    assert cloud.depth(queue) == (0, 0)


def test_a_message_that_comes_again_meanwhile_is_not_worked_on_twice(
    cloud: Cloud, server: ScriptedServer
) -> None:
    """Where extending fails and the queue gives a message again, its new receipt deletes it."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("slow.json.gz", log_file(OTHER))))
    may_go_on = threading.Event()

    def act(call: Call) -> int | None:
        if call.action == "GET /example-trail/slow.json.gz":
            may_go_on.wait(30)
        return 503 if call.action == "ChangeMessageVisibilityBatch" else None

    cloud.gate.act = act
    with (
        scene(server.target, once=False) as here,
        here.running(here.sqs(queue, visibility_seconds=1)),
    ):
        # Of calls that each wait a second, by now one has brought the message again.
        cloud.gate.wait_for("ReceiveMessage", 4)
        may_go_on.set()
        cloud.gate.wait_for("DeleteMessageBatch")

    assert cloud.gate.count("GET /example-trail/slow.json.gz") == 1
    assert committed(server) == [OTHER]
    assert cloud.depth(queue) == (0, 0)


def test_a_stop_finishes_what_is_in_flight_and_gives_the_rest_back(
    cloud: Cloud, server: ScriptedServer
) -> None:
    """After a stop what was begun is settled, and what waits can be received by others at once."""
    queue = cloud.make_queue()
    for name in ("a", "b", "c"):
        cloud.send(queue, s3_event(cloud.put(f"{name}.json.gz", log_file(OTHER))))
    may_go_on = threading.Event()
    first = threading.Event()

    def hold_back(call: Call) -> None:
        if call.action.startswith("GET /example-trail/"):
            first.set()
            may_go_on.wait(30)

    cloud.gate.act = hold_back
    with scene(server.target, once=False, in_flight=1) as here, here.running(here.sqs(queue)):
        assert first.wait(30)
        here.forwarder.stop()
        may_go_on.set()

    assert here.failure is None
    assert len(committed(server)) == 1
    assert here.counted()["messages deleted"] == 1
    assert cloud.depth(queue) == (2, 0)


def test_a_stop_waits_no_longer_than_the_grace(cloud: Cloud) -> None:
    """With the server gone a stop ends all the same, and everything is given back."""
    queue = cloud.make_queue()
    cloud.send(queue, s3_event(cloud.put("a.json.gz", log_file(OTHER))))
    with serve() as server:
        target = server.target

    with (
        scene(target, once=False, grace=timedelta(milliseconds=50)) as here,
        here.running(here.sqs(queue)),
    ):
        here.wait_for_word("cannot be reached")

    assert here.failure is None
    assert cloud.depth(queue) == (1, 0)
    assert here.counted()["messages given_back"] == 1

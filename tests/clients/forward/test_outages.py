"""A server, an AWS, a token that is not there; time that passes; a stop."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from amiguard_client import RetryPolicy
from amiguard_client.errors import PermissionDeniedError, UnauthenticatedError
from amiguard_client.forward.counts import RETRIES, S3, SERVER, SQS, UP
from amiguard_client.forward.errors import AwayError, SetupError
from amiguard_service.identity import Role
from tests.clients.forward.cloud import Call, Cloud, s3_event
from tests.clients.forward.scene import OTHER, committed, log_file, scene
from tests.clients.live_server import live_server, people
from tests.clients.scripted_server import ScriptedServer, serve


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

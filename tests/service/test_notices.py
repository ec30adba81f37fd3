"""Laws of notices, sent through apprise to a server that really answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from amiguard_service.delivery import Event, Outcome, event_of
from amiguard_service.engine import Engine
from amiguard_service.lifecycle import Closure
from amiguard_service.notices import Notices
from amiguard_service.sinks import Sink, SinkKind
from amiguard_service.stored import Disposition
from tests.service.operating import occur
from tests.service.receiving import Answer, Receiver, receiving

# On Python 3.11 and 3.12 apprise imports a module that 3.13 has no more.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
TEST = Event("test.1", datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody's chat."""
    with receiving() as started:
        yield started


def send(receiver: Receiver, event: Event = TEST) -> Outcome:
    """Makes one attempt."""
    url = receiver.url.replace("http:", "json:")

    async def attempt() -> Outcome:
        notices = Notices(Sink("pager", SinkKind.APPRISE, url, ""))
        try:
            return await notices.prepare(event)()
        finally:
            await notices.close()

    return asyncio.run(attempt())


def test_notice_says_what_was_found(engine: Engine, receiver: Receiver) -> None:
    """Who searched for what, where, how likely it is, and under which name it is found."""
    finding_id = occur(engine, name="ubuntu/images/*")
    found = engine.get_finding(finding_id)
    assert found is not None

    outcome = send(receiver, event_of(found))
    notice = receiver.take().event

    assert outcome == Outcome(is_delivered=True, answer="taken")
    assert notice["title"] == "[HIGH] AMI name confusion in 111122223333 eu-west-1 is OPEN"
    assert notice["type"] == "failure"
    for part in ("user/alice", "ubuntu/images/*", "Likelihood 85", f"findings/{finding_id}"):
        assert part in notice["message"]


def test_notice_of_what_is_done_with_is_no_alarm(engine: Engine, receiver: Receiver) -> None:
    """A closed finding is told as a success."""
    closure = Closure(comment="mended", disposition=Disposition.TRUE_POSITIVE)
    found = engine.move_finding(occur(engine), closure, actor="ann")
    assert found is not None

    send(receiver, event_of(found))

    assert receiver.take().event["type"] == "success"


def test_name_that_a_caller_chose_stays_text(engine: Engine, receiver: Receiver) -> None:
    """Line breaks and control characters of a search make no lines of their own, nor long ones."""
    found = engine.get_finding(occur(engine, name="a\n[LOW] all is well\x1b[2J*" + "x" * 200))
    assert found is not None

    send(receiver, event_of(found))
    lines = receiver.take().event["message"].splitlines()

    assert len(lines) == 3
    assert "\x1b" not in lines[0]
    assert len(lines[0]) < 500


@pytest.mark.parametrize("status", [400, 500])
def test_failure_is_told_in_the_words_of_apprise(receiver: Receiver, status: int) -> None:
    """What apprise says of a failure is what an operator reads."""
    receiver.answer = Answer(status)

    outcome = send(receiver)

    assert (outcome.is_delivered, outcome.is_refusal) == (False, False)
    assert str(status) in outcome.answer


def test_redirect_is_not_followed(receiver: Receiver) -> None:
    """A notice goes where the operator said, or nowhere."""
    receiver.answer = Answer(307, headers={"Location": receiver.url + "/elsewhere"})

    outcome = send(receiver)

    assert not outcome.is_delivered
    assert receiver.take().path == "/hook"
    assert receiver.requests.empty()

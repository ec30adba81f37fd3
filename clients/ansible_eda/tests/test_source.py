"""Laws of the event source, over scripted streams and the real server."""

from __future__ import annotations

import asyncio
import json
import logging
import runpy
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from amiguard.v1 import finding_pb2, finding_service_pb2
from amiguard_client import InvalidRequestError, PermissionDeniedError
from amiguard_client.options import OptionError
from ansible_eda.tests.environment import COLLECTION
from tests.clients.live_server import Live
from tests.clients.scripted_server import reason, serve, status
from tests.clients.scripted_watch import Line, ScriptedWatch, line, playing
from tests.robustness.waiting import wait_until

Event: TypeAlias = dict[str, Any]
Source: TypeAlias = Callable[[Any, dict[str, Any]], Coroutine[Any, Any, None]]

SOURCE = COLLECTION / "extensions/eda/plugins/event_source/amiguard_findings.py"
PATIENCE_SECONDS = 60
AWAY = status(grpc.StatusCode.UNAVAILABLE, "restarting")
EXPIRED = status(
    grpc.StatusCode.OUT_OF_RANGE,
    "deleted",
    (reason("CURSOR_EXPIRED", oldest_cursor_time="2026-03-01T10:00:00.000001Z"),),
)


@pytest.fixture
def source() -> Source:
    """The source, loaded as ansible-rulebook does."""
    main: Source = runpy.run_path(str(SOURCE))["main"]
    return main


def names(events: list[Event]) -> list[str]:
    """Returns which findings events are of."""
    return [event["finding"]["name"] for event in events]


async def take(
    source: Source, count: int, args: dict[str, Any], *, queue: asyncio.Queue[Event] | None = None
) -> list[Event]:
    """Returns the first events of a source, which is then cancelled as ansible-rulebook does."""
    events = queue or asyncio.Queue(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        running = asyncio.create_task(source(events, args))
        try:
            return [await first(events.get(), running) for _ in range(count)]
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


async def first(wanted: Awaitable[Event], running: asyncio.Task[None]) -> Event:
    """Returns an event, or raises what the source ended with before there was one."""
    getting = asyncio.ensure_future(wanted)
    await asyncio.wait({getting, running}, return_when=asyncio.FIRST_COMPLETED)
    if not getting.done():
        getting.cancel()
        await running
    return await getting


async def until(condition: Callable[[], bool], what: str) -> None:
    """Returns once a condition holds."""
    await asyncio.to_thread(wait_until, condition, what, seconds=PATIENCE_SECONDS)


def test_changes_become_events(source: Source, live: Live) -> None:
    """An event is the finding as it stands, in its own names and in what JSON can hold."""
    name = live.occur(1)
    args = {"server": live.target, "insecure": True, "start_time": "2020-01-01T00:00:00Z"}

    (event,) = asyncio.run(take(source, 1, args))

    assert json.loads(json.dumps(event)) == event
    assert event["finding"]["name"] == name
    assert event["finding"]["state"] == "OPEN"
    assert event["finding"]["search"]["name_patterns"] == ["team-1-*"]


def test_the_cursor_moves_when_every_event_was_taken(source: Source, tmp_path: Path) -> None:
    """What was not handed over yet is sent again after a restart; the file is read at the start."""
    cursor_file = tmp_path / "cursor"
    played = playing(([line("c1"), line("c2", "a", "b"), line("c3", "c")], None))
    args: dict[str, Any] = {"insecure": True, "cursor_file": str(cursor_file)}

    async def run(target: str) -> list[tuple[str, str]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(1)
        seen = []

        async def look() -> Event:
            event = await queue.get()
            seen.append((event["finding"]["name"], cursor_file.read_text().strip()))
            return event

        async with asyncio.timeout(PATIENCE_SECONDS):
            running = asyncio.create_task(source(queue, {**args, "server": target}))
            await first(look(), running)
            await first(look(), running)
            await first(look(), running)
            await until(lambda: cursor_file.read_text() == "c3\n", "the last cursor is kept")
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return seen

    with serve(findings=played) as server:
        seen = asyncio.run(run(server.target))
    again = playing(([line("c4", "d")], None))
    with serve(findings=again) as server:
        asyncio.run(take(source, 1, {**args, "server": server.target}))

    assert seen[0] == ("findings/a", "c1")
    assert seen[1] == ("findings/b", "c1")
    assert again.opened[0].cursor == "c3"
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]
    assert cursor_file.stat().st_mode & 0o777 == 0o600


def test_with_feedback_the_cursor_waits_for_the_engine(source: Source, tmp_path: Path) -> None:
    """An event counts as handed over once the engine says so, and only then comes the next."""
    cursor_file = tmp_path / "cursor"
    played = playing(([line("c1"), line("c2", "a", "b")], None))

    async def run(target: str) -> tuple[str, bool, str]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        feedback: asyncio.Queue[Event] = asyncio.Queue(1)
        args = {
            "server": target,
            "insecure": True,
            "cursor_file": str(cursor_file),
            "feedback": True,
            "eda_feedback_queue": feedback,
        }
        async with asyncio.timeout(PATIENCE_SECONDS):
            running = asyncio.create_task(source(queue, args))
            event = await first(queue.get(), running)
            # Whatever the source could do without feedback it would have done in these turns.
            for _ in range(100):
                await asyncio.sleep(0)
            before, is_next_there = cursor_file.read_text().strip(), not queue.empty()
            await feedback.put(event)
            await feedback.put(await first(queue.get(), running))
            await until(lambda: cursor_file.read_text() != "c1\n", "the cursor moves on")
            after = cursor_file.read_text().strip()
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        return before, is_next_there, after

    with serve(findings=played) as server:
        assert asyncio.run(run(server.target)) == ("c1", False, "c2")


def test_an_outage_is_said_once_and_waited_out(
    source: Source, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is missed or begun anew: the next stream starts at the last cursor."""
    script = [([line("c1", "a")], AWAY), ([], AWAY), ([line("c2", "b")], None)]
    played = playing(*script)
    main = source.__globals__
    monkeypatch.setitem(main, "_BACKOFF", main["_ONE_ATTEMPT"])

    with serve(findings=played) as server, caplog.at_level(logging.WARNING):
        events = asyncio.run(take(source, 2, {"server": server.target, "insecure": True}))

    said = [each.getMessage() for each in caplog.records if each.name.startswith("amiguard.eda")]
    assert names(events) == ["findings/a", "findings/b"]
    assert [request.cursor for request in played.opened] == ["", "c1", "c1"]
    assert said == [
        f"{server.target} cannot be reached: restarting; trying again until it is back",
        f"{server.target} is back",
    ]


def test_an_expired_cursor_is_an_event_and_watching_goes_on(
    source: Source, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning comes before what follows, which starts at the oldest change there is."""
    cursor_file = tmp_path / "cursor"
    cursor_file.write_text("old\n")
    played = playing(([], EXPIRED), ([line("c9", "a")], None))
    args = {"insecure": True, "cursor_file": str(cursor_file)}

    with serve(findings=played) as server, caplog.at_level(logging.WARNING):
        warning, event = asyncio.run(take(source, 2, {**args, "server": server.target}))

    said = [each.getMessage() for each in caplog.records if each.name.startswith("amiguard.eda")]
    oldest = "2026-03-01T10:00:00.000001Z"
    assert warning["warning"]["code"] == "CURSOR_EXPIRED"
    assert warning["warning"]["oldest_time"] == oldest
    assert said == [f"{server.target}: {warning['warning']['message']}"]
    assert names([event]) == ["findings/a"]
    assert played.opened[0].cursor == "old"
    assert played.opened[1].start_time.ToJsonString() == oldest


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (status(grpc.StatusCode.PERMISSION_DENIED, "no\nrole"), PermissionDeniedError),
        (status(grpc.StatusCode.INVALID_ARGUMENT, "bad filter"), InvalidRequestError),
    ],
)
def test_what_waiting_cannot_mend_ends_the_source(
    source: Source, end: object, error: type[Exception]
) -> None:
    """It raises one line, for ansible-rulebook to say and to end with."""
    with serve(findings=playing(([], end))) as server, pytest.raises(error) as caught:
        asyncio.run(take(source, 1, {"server": server.target, "insecure": True}))

    assert "\n" not in str(caught.value)


def test_a_cursor_of_another_database_names_its_file(
    source: Source, live: Live, tmp_path: Path
) -> None:
    """The reader learns which file to remove to begin anew."""
    cursor_file = tmp_path / "cursor"
    cursor_file.write_text("of-another-one\n")
    args = {"server": live.target, "insecure": True, "cursor_file": str(cursor_file)}

    with pytest.raises(InvalidRequestError) as caught:
        asyncio.run(take(source, 1, args))

    assert f"(from {cursor_file}; without that file it begins anew)" in str(caught.value)


def test_text_that_a_template_engine_would_read_is_broken_up(source: Source) -> None:
    """In no text of an event, a label's name too, is left how a Jinja construct starts."""
    evil = ["{{ 1 }}", "{{{% x %}", "a{#b", "{", "}}", "{{" * 3]
    finding = finding_pb2.Finding(
        name="findings/a",
        labels={f"k{text}": text for text in evil},
        search=finding_pb2.ImageSearch(name_patterns=evil),
    )
    answer: Line = finding_service_pb2.WatchFindingsResponse(findings=[finding], cursor="c1")

    with serve(findings=playing(([answer], None))) as server:
        (event,) = asyncio.run(take(source, 1, {"server": server.target, "insecure": True}))

    text = json.dumps(event["finding"], ensure_ascii=False)
    patterns = event["finding"]["search"]["name_patterns"]
    assert not any(start in value for value in patterns for start in ("{{", "{%", "{#"))
    assert not any(start in text for start in ("{{ 1", "{%", "{#", "k{{"))
    assert [value.replace(" ", "") for value in patterns] == [e.replace(" ", "") for e in evil]


def test_it_can_be_cancelled_while_it_waits(source: Source) -> None:
    """A server that says nothing holds neither the loop nor the end of the program up."""
    played: ScriptedWatch = playing(([line("c1")], None))

    async def run(target: str) -> None:
        running = asyncio.create_task(source(asyncio.Queue(1), {"server": target, **insecure}))
        await until(played.silent.is_set, "the server has said all it says")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    insecure = {"insecure": True}
    with serve(findings=played) as server:
        asyncio.run(asyncio.wait_for(run(server.target), PATIENCE_SECONDS))
        assert played.left.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "server: got none, expected HOST:PORT"),
        ({"server": 7443}, "server: got int, expected HOST:PORT"),
        ({"server": "a:1", "filer": "x"}, "filer: no such option, expected one of server, ca,"),
        ({"server": "a:1", "insecure": True}, "insecure: got it for a:1, expected it for"),
        ({"server": "a:1", "insecure": "yes"}, "insecure: got str, expected true or false"),
        ({"server": "a:1", "token": 123456}, "token: got int, expected a text"),
        ({"server": "a:1", "feedback": True}, "feedback: there is none, expected ansible-rulebook"),
        ({"server": "a:1", "start_time": "soon"}, "start_time: got 'soon', expected such as"),
        ({"server": "a:1", "ca": "/no/file"}, "ca: cannot read /no/file: No such file"),
        ({"server": "a:1", "cursor_file": "/"}, "cursor_file: cannot read /: Is a directory"),
        ({"server": "a:1", "cursor_file": __file__}, "cursor_file: got no cursor in "),
    ],
)
def test_a_wrong_option_is_named(source: Source, args: dict[str, Any], message: str) -> None:
    """The source ends at once with one line that says what was got and what was expected."""
    with pytest.raises(OptionError) as caught:
        asyncio.run(take(source, 1, args))

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_cursor_that_cannot_be_kept_ends_the_source(source: Source, tmp_path: Path) -> None:
    """Going on without keeping the place would break the promise of a restart."""
    args = {"insecure": True, "cursor_file": str(tmp_path / "missing" / "cursor")}

    with (
        serve(findings=playing(([line("c1")], None))) as server,
        pytest.raises(OptionError, match=r"cursor_file: cannot write .*: No such file"),
    ):
        asyncio.run(take(source, 1, {**args, "server": server.target}))

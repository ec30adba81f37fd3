"""Laws of two servers over one database, on each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from threading import Barrier
from time import monotonic
from typing import TypeVar

import grpc
import pytest

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.engine import Engine
from tests.data.launch_paths import create_launch_template
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode
from tests.service.operating import OURS, WHY, call, changes, create, get_entry, update_rule
from tests.service.running import TIMEOUT, Running, refusal, serving
from tests.service.talking import records, submit

T = TypeVar("T")

Servers = tuple[Running, Running]


@pytest.fixture
def servers(database_url: str) -> Iterator[Servers]:
    """Two servers of one database, each with an engine of its own."""
    with ExitStack() as stack:
        running = []
        for _ in range(2):
            engine = Engine.open(database_url)
            stack.callback(engine.close)
            running.append(stack.enter_context(serving(engine)))
        yield running[0], running[1]


def until(found: Callable[[], T]) -> T:
    """Returns what is found in the end; fails where nothing is found in time."""
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        result = found()
        if result:
            return result
    pytest.fail("nothing was found in time")


def append(running: Running, word: str) -> None:
    """Adds to the justification of an entry, which is read again until nobody was faster."""
    while True:
        entry = get_entry(running)
        entry.justification += f" {word}"
        try:
            call(running, wire.UpdateAllowlistEntryRequest(allowlist_entry=entry))
        except grpc.RpcError as error:
            if refusal(error).reason != "ETAG_MISMATCH":
                raise
        else:
            return


def test_racing_operators_lose_no_update(servers: Servers) -> None:
    """Whoever changes an entry at the same time as others, each change is on top of the others."""
    create(servers[0])
    words = {f"change-{number}" for number in range(12)}
    with ThreadPoolExecutor(4) as operators:
        list(operators.map(lambda n: append(servers[n % 2], f"change-{n}"), range(12)))

    said = get_entry(servers[1]).justification.removeprefix(WHY).split()
    assert (len(said), set(said)) == (12, words)
    assert changes(servers[0]).total_count == 13


def test_one_of_two_changes_at_one_etag_is_made(servers: Servers) -> None:
    """Two operators who saw the same entry cannot both have their way."""
    seen = create(servers[0])
    together = Barrier(2)

    def change(number: int) -> str:
        mine = wire.AllowlistEntry(name=OURS, etag=seen.etag, justification=f"mine, {number}")
        together.wait(TIMEOUT)
        try:
            call(servers[number], wire.UpdateAllowlistEntryRequest(allowlist_entry=mine))
        except grpc.RpcError as error:
            return refusal(error).reason
        return "OK"

    with ThreadPoolExecutor(2) as operators:
        outcomes = list(operators.map(change, range(2)))

    assert sorted(outcomes) == ["ETAG_MISMATCH", "OK"]
    assert get_entry(servers[0]).justification == f"mine, {outcomes.index('OK')}"


def test_creations_of_one_request_make_one_entry(servers: Servers) -> None:
    """Retries that overlap, through any server, give the same outcome."""
    request = wire.CreateAllowlistEntryRequest(
        allowlist_entry_id="ours",
        allowlist_entry=wire.AllowlistEntry(organization_pattern="acme-*", justification="ours"),
        request_id="6f1ed002-ab5d-4b2f-8f6f-0c3f1f7f2a10",
    )
    with ThreadPoolExecutor(4) as operators:
        made = list(operators.map(lambda n: call(servers[n % 2], request), range(4)))

    assert made == made[:1] * 4
    assert changes(servers[0]).total_count == 1


def test_entry_is_in_force_everywhere_at_once(servers: Servers) -> None:
    """Records that any server takes in after a change are scored by it."""
    create(servers[0])
    at = NINE_O_CLOCK
    pair = [
        encode(describe_images(at=at, filters={"name": ["acme-base-*"]})),
        encode(run_instances(at=at + timedelta(seconds=10))),
    ]

    (name,) = submit(servers[1].channel, records(*pair)).finding_names

    request = wire.PreviewTuningRequest(deleted_allowlist_entry=OURS)
    (example,) = call(servers[1], request).examples
    assert example.before.name == name
    assert (example.before.likelihood_score, example.after.likelihood_score) == (10, 50)


def test_settings_are_in_force_everywhere_soon(servers: Servers) -> None:
    """A further launch path put in force through one server is read by another."""
    numbers = count()

    def submit_pair() -> list[str]:
        at = NINE_O_CLOCK + timedelta(minutes=next(numbers))
        pair = [
            encode(describe_images(at=at, filters={"name": [f"acme-{at:%H%M}-*"]})),
            encode(create_launch_template(at=at + timedelta(seconds=10))),
        ]
        return list(submit(servers[1].channel, records(*pair)).finding_names)

    before = submit_pair()
    update_rule(servers[0], launch_paths=["RunInstances", "CreateLaunchTemplate"])

    assert before == []
    assert until(submit_pair)

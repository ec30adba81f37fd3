"""Laws of two servers over one database, on each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import count
from threading import Barrier
from time import monotonic
from typing import TypeVar

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard.v1.finding_service_pb2 import GetFindingsRequest
from amiguard_core.policy import EntryKind
from amiguard_service.engine import Engine
from amiguard_service.tuning import EntryDraft
from tests.data.launch_paths import create_launch_template
from tests.data.records import NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode
from tests.service.operating import (
    OURS,
    WHY,
    call,
    changes,
    create,
    entry,
    get_entry,
    occur,
    score,
    update_rule,
)
from tests.service.running import TIMEOUT, Running, refusal, serving
from tests.service.talking import records, submit

T = TypeVar("T")

Engines = tuple[Engine, Engine]
Servers = tuple[Running, Running]


@pytest.fixture
def engines(database_url: str) -> Iterator[Engines]:
    """Two engines on one database."""
    with ExitStack() as stack:
        one, other = (stack.enter_context(closing(Engine.open(database_url))) for _ in range(2))
        yield one, other


@pytest.fixture
def servers(engines: Engines) -> Iterator[Servers]:
    """A server of each."""
    with serving(engines[0]) as one, serving(engines[1]) as other:
        yield one, other


def until(found: Callable[[], T]) -> T:
    """Returns what is found in the end; fails where nothing is found in time."""
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        result = found()
        if result:
            return result
    pytest.fail("nothing was found in time")


def list_findings(running: Running) -> list[str]:
    """Returns the names of the findings that are not set aside."""
    response = running.findings.GetFindings(GetFindingsRequest(), timeout=TIMEOUT)
    return [found.name for found in response.findings]


def append(running: Running, word: str) -> None:
    """Adds to the justification of an entry, which is read again until nobody was faster."""
    while True:
        found = get_entry(running)
        found.justification += f" {word}"
        try:
            call(running, wire.UpdateAllowlistEntryRequest(allowlist_entry=found))
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


def test_what_came_before_a_path_counted_is_found_once_it_does(servers: Servers) -> None:
    """A launch by any path waits, whatever counts where it arrives; it is told of as another."""
    at = NINE_O_CLOCK
    pair = [
        encode(describe_images(at=at, filters={"name": ["acme-base-*"]})),
        encode(create_launch_template(at=at + timedelta(seconds=10))),
    ]

    ack = submit(servers[1].channel, records(*pair))
    again = submit(servers[1].channel, records(*pair))
    update_rule(servers[0], launch_paths=["RunInstances", "CreateLaunchTemplate"])

    assert (ack.accepted_count, ack.relevant_count, list(ack.finding_names)) == (2, 1, [])
    assert again.duplicate_count == 1
    assert until(lambda: list_findings(servers[1]))


def test_entry_that_expires_is_out_of_force_everywhere_soon(
    engines: Engines, servers: Servers
) -> None:
    """Without any call, what an entry calmed is as it was once it has expired."""
    finding_id = occur(engines[0])
    soon = entry(ttl=Duration(nanos=300_000_000))
    create(servers[0], allowlist_entry=soon)

    assert until(lambda: "ExpireAllowlistEntry" in {c.method for c in changes(servers[1]).changes})
    assert until(lambda: score(engines[1], finding_id) == 50)


def test_change_of_a_server_that_died_is_applied_by_another(
    engines: Engines, servers: Servers, database_url: str
) -> None:
    """What is stored follows a change, whoever made it and whether they live."""
    finding_id = occur(engines[0])
    dead = Engine.open(database_url)
    draft = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-*", justification="ours")
    dead.tuning.create_entry("ours", draft, actor="ann")
    dead.close()

    assert until(lambda: score(engines[1], finding_id) == 10)
    assert until(lambda: not call(servers[1], wire.GetTuningProgressRequest()).in_progress)

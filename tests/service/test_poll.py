"""WatchFindings for callers that poll: a stream that ends at the present."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service.engine import Engine
from amiguard_service.feed import PAGE_CHANGES
from tests.service.running import TIMEOUT, Running, refusal, serving
from tests.store.values import batch, launch, origin, search

MORE_THAN_A_PAGE = PAGE_CHANGES + 3


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database without data."""
    opened = Engine.open(database_url)
    yield opened
    opened.close()


@pytest.fixture
def running(engine: Engine) -> Iterator[Running]:
    """A server of the engine."""
    with serving(engine) as started:
        yield started


def find(engine: Engine, name: str) -> str:
    """Commits an occurrence of the finding of a name; returns the finding's name."""
    person = f"arn:aws:iam::111122223333:user/{name}"
    committed = batch(
        search(origin(f"s-{name}", principal=person), name),
        launch(origin(f"l-{name}", 1, principal=person)),
    )
    (outcome,) = engine.commit([committed])
    (finding_id,) = outcome.finding_ids
    return f"findings/{finding_id}"


def poll(
    running: Running,
    cursor: str = "",
    filter: str = "",  # noqa: A002 - the contract's word
    *,
    most: int = 0,
) -> tuple[list[str], str]:
    """Returns the findings of a stream that ends by itself, and its last cursor."""
    request = wire.WatchFindingsRequest(
        cursor=cursor, filter=filter, stop_at_present=True, max_findings=most
    )
    responses = list(running.findings.WatchFindings(request, timeout=TIMEOUT))
    return [f.name for r in responses for f in r.findings], responses[-1].cursor


def test_a_poll_ends_with_what_there_is(engine: Engine, running: Running) -> None:
    """Everything committed since the cursor comes in its order, and the stream ends well."""
    find(engine, "acme-before")
    nothing, cursor = poll(running)
    found = [find(engine, f"acme-{number}") for number in range(MORE_THAN_A_PAGE)]

    seen, later = poll(running, cursor)

    assert nothing == []
    assert seen == found
    assert poll(running, later)[0] == []


def test_a_poll_is_past_what_its_filter_hides(engine: Engine, running: Running) -> None:
    """Changes that do not fulfil the filter are not read again and again."""
    _, cursor = poll(running)
    for number in range(MORE_THAN_A_PAGE):
        find(engine, f"acme-{number}")

    hidden, past = poll(running, cursor, "likelihood = HIGH")
    found = find(engine, "acme-later")

    assert hidden == []
    assert poll(running, past)[0] == [found]


def test_polls_together_miss_nothing(engine: Engine, running: Running) -> None:
    """Who comes back with the last cursor sees each change, whenever it was committed."""
    seen: list[str] = []
    found = []
    _, cursor = poll(running)
    for number in range(5):
        found += [find(engine, f"acme-{number}-{again}") for again in range(number)]
        new, cursor = poll(running, cursor)
        seen += new

    assert seen == found


@pytest.mark.parametrize("most", [1, 7, PAGE_CHANGES, PAGE_CHANGES + 1, MORE_THAN_A_PAGE])
def test_a_poll_sends_at_most_what_it_is_asked_for(
    engine: Engine, running: Running, most: int
) -> None:
    """However many are asked for, no poll gives more, and together they give each once."""
    _, cursor = poll(running)
    found = [find(engine, f"acme-{number}") for number in range(MORE_THAN_A_PAGE)]
    polls = []

    while (given := poll(running, cursor, most=most))[0]:
        polls.append(given[0])
        cursor = given[1]

    assert polls == [found[i : i + most] for i in range(0, len(found), most)]


def test_a_bound_below_zero_is_refused(running: Running) -> None:
    """A number of findings that cannot be is named, whether the stream ends or not."""
    with pytest.raises(grpc.RpcError) as caught:
        poll(running, most=-1)

    assert refusal(caught.value).fields == ("max_findings",)


def test_a_stream_that_does_not_ask_goes_on(engine: Engine, running: Running) -> None:
    """A stream ends at the present for those who ask for that alone."""
    call = running.findings.WatchFindings(wire.WatchFindingsRequest(), timeout=TIMEOUT)
    next(call)

    found = find(engine, "acme-later")

    assert [finding.name for finding in next(call).findings] == [found]
    call.cancel()

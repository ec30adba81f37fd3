"""Law 2 on a server at work: what is stored equals what the pure core makes of the records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from amiguard.v1 import finding_service_pb2, ingest_service_pb2
from amiguard.v1.finding_pb2 import Finding as FindingMessage
from amiguard_core.findings import Finding, Occurrence
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from amiguard_service.engine import Engine
from tests.data.shapes import Record, encode
from tests.data.strategies import ACCOUNTS, deliveries, record_sets
from tests.service.running import TIMEOUT, Running, serving
from tests.service.talking import Talk, log_text, records, submit


@dataclass(frozen=True)
class Seen:
    """What can be told of a finding by those who read it, and by the core alike."""

    name: str
    score: int
    confidence: int
    state: str
    reasons: tuple[str, ...]
    steps: tuple[tuple[str, int], ...]
    image_ids: tuple[str, ...]
    occurrences: tuple[tuple[str, str, int, str], ...]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for every example: each has accounts of its own."""
    path = tmp_path_factory.mktemp("law") / "amiguard.db"
    engine = Engine.open(f"sqlite:///{path}")
    with serving(engine) as started:
        yield started
    engine.close()


@pytest.fixture(scope="module")
def examples() -> Iterator[int]:
    """Numbers the examples."""
    return count()


def moved(record: Record, number: int) -> Record:
    """Returns a record in accounts of an example's own."""
    text = json.dumps(record)
    for place, account in enumerate(ACCOUNTS):
        text = text.replace(account, f"{place + 1}{number:011}")
    moved_record: Record = json.loads(text)
    return moved_record


def accounts(number: int) -> list[str]:
    """The accounts of an example."""
    return [f"{place + 1}{number:011}" for place in range(len(ACCOUNTS))]


def told_by_core(finding: Finding) -> Seen:
    """What the core says."""
    return Seen(
        name=f"findings/{finding.key.finding_id()}",
        score=finding.score,
        confidence=finding.confidence,
        state="STATE_SUPPRESSED" if finding.suppression else "STATE_OPEN",
        reasons=finding.reasons,
        steps=tuple((step.code, step.score) for step in finding.steps),
        image_ids=finding.image_ids,
        occurrences=tuple(sorted(map(_of_core, finding.occurrences))),
    )


def _of_core(occurrence: Occurrence) -> tuple[str, str, int, str]:
    return (
        occurrence.search.origin.event_id,
        occurrence.launch.origin.event_id,
        occurrence.confidence,
        occurrence.suppression or "",
    )


def told_by_server(running: Running, message: FindingMessage) -> Seen:
    """What the server says."""
    occurrences = running.findings.ListOccurrences(
        finding_service_pb2.ListOccurrencesRequest(finding=message.name, page_size=500),
        timeout=TIMEOUT,
    ).occurrences
    assert len(occurrences) == message.occurrence_count
    return Seen(
        name=message.name,
        score=message.likelihood_score,
        confidence=message.confidence,
        state=FindingMessage.State.Name(message.state),
        reasons=tuple(message.search.reasons),
        steps=tuple((step.code, step.score) for step in message.score_steps),
        image_ids=tuple(message.image_ids),
        occurrences=tuple(
            sorted(
                (o.search.event_id, o.launch.event_id, o.confidence, o.suppression)
                for o in occurrences
            )
        ),
    )


def stored(running: Running, number: int) -> list[Seen]:
    """Every finding of an example's accounts."""
    one_of = " OR ".join(f'account_id = "{account}"' for account in accounts(number))
    request = finding_service_pb2.GetFindingsRequest(
        filter=f"({one_of}) AND (state = OPEN OR state != OPEN)", page_size=500
    )
    response = running.findings.GetFindings(request, timeout=TIMEOUT)
    return [told_by_server(running, message) for message in response.findings]


def as_batch(
    batch: list[bytes], *, is_file: bool, sequence: int = 0
) -> ingest_service_pb2.EventBatch:
    """A batch of records one by one, or of one log file."""
    if is_file:
        return ingest_service_pb2.EventBatch(sequence=sequence, log_file=log_text(batch))
    return records(*batch, sequence=sequence)


def send(running: Running, batches: list[ingest_service_pb2.EventBatch]) -> int:
    """Submits batches over a stream and returns how many records were accepted."""
    with Talk(running.channel) as talk:
        talk.open()
        for batch in batches:
            talk.send_batch(batch)
        talk.finish()
        return sum(response.ack.accepted_count for response in talk.rest())


@settings(max_examples=100)
@given(drawn=record_sets(), data=st.data())
def test_what_is_stored_equals_what_the_core_finds(
    shared: Running, examples: Iterator[int], drawn: list[Record], data: DataObject
) -> None:
    """Any order, batching, repetition, form and way in give the findings of the pure core."""
    number = next(examples)
    own = [moved(record, number) for record in drawn]
    batches = data.draw(deliveries(own))
    is_file = data.draw(st.lists(st.booleans(), min_size=len(batches), max_size=len(batches)))
    streamed = data.draw(st.integers(0, len(batches)))

    accepted = send(
        shared,
        [
            as_batch(batch, is_file=kind, sequence=sequence)
            for sequence, (batch, kind) in enumerate(
                zip(batches[:streamed], is_file[:streamed], strict=True), start=1
            )
        ],
    )
    for batch, kind in zip(batches[streamed:], is_file[streamed:], strict=True):
        accepted += submit(shared.channel, as_batch(batch, is_file=kind)).accepted_count

    expected = [told_by_core(finding) for finding in evaluate(map(encode, own), Policy())]
    assert sum(map(len, batches)) == accepted
    assert sorted(expected, key=lambda seen: seen.name) == sorted(
        stored(shared, number), key=lambda seen: seen.name
    )

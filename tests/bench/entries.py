"""What a long allowlist costs ingestion: `python -m tests.bench.entries`.

The same searches and launches, many of which make findings, are committed under the four built-in
entries and under 10,000 organization patterns beside them. The two take turns, each on a SQLite
database of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import median
from time import process_time

from sqlalchemy import Connection

from amiguard_core.policy import EntryKind
from amiguard_service.engine import Batch, Engine
from amiguard_service.store import tuning as store
from amiguard_service.tuned import StoredEntry
from amiguard_service.tuning import EntryDraft
from tests.bench.databases import databases
from tests.bench.figures import Figure, at_least, table
from tests.bench.population import Population
from tests.bench.relevant import BATCH_RECORDS, new_batches

ENTRY_COUNT = 10_000
PRINCIPALS = 2_000
BATCHES_PER_TURN = 4


def measure(*, quick: bool = False) -> Iterator[Figure]:
    """Gives the records that a second of the processor commits, the median of several turns."""
    turns = 6 if quick else 20
    with databases("sqlite") as make_database:
        few, many = Engine.open(make_database()), Engine.open(make_database())
        lengthen(many)
        batches = new_batches(Population(PRINCIPALS), (turns + 1) * BATCHES_PER_TURN, seed=3)
        of_few, of_many = [], []
        for turn in range(turns + 1):
            of_turn = batches[turn * BATCHES_PER_TURN :][:BATCHES_PER_TURN]
            of_few.append(_commit(few, of_turn))
            of_many.append(_commit(many, of_turn))
        few.close()
        many.close()
    count = BATCHES_PER_TURN * BATCH_RECORDS
    # The first turn warms up, and reads the policy.
    yield Figure(
        name=f"commit under {ENTRY_COUNT:,} allowlist entries, against under 4",
        unit="records/s",
        ours=count / median(of_many[1:]),
        baseline=count / median(of_few[1:]),
        ratio=median(f / m for f, m in zip(of_few[1:], of_many[1:], strict=True)),
        wanted=at_least(0.9),
    )


def lengthen(engine: Engine) -> None:
    """Adds entries past the API, which is made for people, and one through it, which takes hold."""
    now = datetime.now(UTC)

    def add(connection: Connection) -> None:
        for number in range(ENTRY_COUNT):
            store.insert_entry(
                connection,
                StoredEntry(
                    entry_id=f"bench-{number}",
                    kind=EntryKind.ORGANIZATION_PATTERN,
                    subject=f"acme-{number:05}-*-{number % 7}",
                    justification="bench",
                    creator="bench",
                    create_time=now,
                    update_time=now,
                ),
            )

    engine._database.write(add)
    draft = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-last-*", justification="bench")
    engine.tuning.create_entry("bench-last", draft, actor="bench")
    engine.refresh_policy()


def _commit(engine: Engine, batches: Sequence[Batch]) -> float:
    started_at = process_time()
    for batch in batches:
        engine.commit([batch])
    return process_time() - started_at


if __name__ == "__main__":
    print(table(measure()))

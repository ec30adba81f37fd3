"""The life of one finding, step by step."""

from __future__ import annotations

from amiguard_service.engine import Engine
from amiguard_service.lifecycle import Closure, Edit, Move, Reopening
from amiguard_service.stored import Disposition, HistoryEntry, State, StoredFinding
from tests.store.values import batch, launch, origin, search

NAME = "acme-base-2026"
PACKER = "Packer/1.9"
DONE = Closure(Disposition.TRUE_POSITIVE, "mended")
AGAIN = Reopening("not mended after all")


def occur(engine: Engine, number: int, *, agent: str = "aws-cli/2.17.32") -> str:
    """Commits a search and its launch, far from those of every other number."""
    seconds = 10_000 * number
    records = (
        search(origin(f"s{number}", seconds, agent=agent), NAME),
        launch(origin(f"l{number}", seconds + 1)),
    )
    (outcome,) = engine.commit([batch(*records)])
    (finding_id,) = outcome.finding_ids
    return finding_id


def get(engine: Engine, finding_id: str) -> StoredFinding:
    """Returns a finding that is there."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found


def move(engine: Engine, finding_id: str, how: Move, *, etag: str | None = None) -> StoredFinding:
    """Moves a finding that is there, as ann."""
    found = engine.move_finding(finding_id, how, actor="ann", etag=etag)
    assert found is not None
    return found


def edit(engine: Engine, finding_id: str, how: Edit, *, etag: str | None = None) -> StoredFinding:
    """Edits a finding that is there."""
    found = engine.update_finding(finding_id, how, etag=etag, actor="tests")
    assert found is not None
    return found


def history(engine: Engine, finding_id: str) -> list[HistoryEntry]:
    """Returns the whole history of a finding that is there."""
    entries = engine.list_finding_history(finding_id, after=0, limit=1_000)
    assert entries is not None
    return entries


def states(engine: Engine, finding_id: str) -> list[tuple[str, State | None, State]]:
    """Returns who moved a finding from where to where."""
    entries = history(engine, finding_id)
    return [(entry.actor, entry.state_before, entry.state_after) for entry in entries]

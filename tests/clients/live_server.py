"""The real server on a free port, over a SQLite database of its own, and findings in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import structlog

from amiguard_service.engine import Engine
from amiguard_service.identity import Authenticator, Principal, Role, Token, Tokens
from amiguard_service.server import Capacity
from amiguard_service.sinks import Sink
from tests.service.running import Running, serving
from tests.store.values import batch, launch, origin, search


@dataclass(frozen=True)
class Live:
    """A server at work."""

    engine: Engine
    running: Running

    @property
    def target(self) -> str:
        """Where it serves."""
        return self.running.target

    def occur(self, number: int, *names: str, images: tuple[str, ...] = ()) -> str:
        """Commits a search of its own and its launch; returns the name of their finding."""
        seconds = 10_000 * number
        records = (
            search(origin(f"s{number}", seconds), *(names or (f"team-{number}-*",))),
            launch(origin(f"l{number}", seconds + 1), *images),
        )
        (outcome,) = self.engine.commit([batch(*records)])
        (finding_id,) = outcome.finding_ids
        return f"findings/{finding_id}"


def people(**roles: Role) -> Tokens:
    """Makes tokens that are the names of those who may do something."""
    return Tokens(
        tuple(
            Token(Principal(name, frozenset({role})), sha256(name.encode()).digest())
            for name, role in roles.items()
        )
    )


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps the server's log out of the output of commands that run in the same process."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def live_server(
    migrated: Path,
    folder: Path,
    *,
    authenticator: Authenticator | None = None,
    capacity: Capacity | None = None,
    sinks: Sequence[Sink] = (),
) -> Iterator[Live]:
    """Serves an empty database until the end of the block."""
    path = shutil.copy(migrated, folder / "live.db")
    engine = Engine.open(f"sqlite:///{path}")
    try:
        with (
            _silence(),
            serving(engine, authenticator=authenticator, capacity=capacity, sinks=sinks) as running,
        ):
            yield Live(engine, running)
    finally:
        engine.close()

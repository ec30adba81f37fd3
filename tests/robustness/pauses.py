"""Pauses in the midst of transactions: before each lock, and before what was done is committed.

What goes wrong in a narrow interleaving then goes wrong often.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from threading import Event
from typing import Any

import sqlalchemy

_TAKES_A_LOCK = re.compile(r"advisory_xact_lock|FOR UPDATE|BEGIN IMMEDIATE")


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long transactions pause at most, before locks and before the commit.

    On one server `long_share` of the pauses before a commit are long ones: the others then do a
    lot in the time between what its transaction has read and what it makes of it.
    """

    seed: int = 0
    short_ms: int = 0
    long_ms: int = 0
    long_share: float = 0.0
    slow_server: int = 0

    def of_server(self, number: int) -> Pauses:
        """Returns those of one server, which come at other times than those of the others."""
        share = self.long_share if number == self.slow_server else 0.0
        return replace(self, seed=self.seed + number, long_share=share)

    def install(
        self,
        engines: Any = sqlalchemy.Engine,
        *,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Makes transactions pause: of every engine, or of one. `wait` takes seconds."""
        if not self.short_ms:
            return
        draws = Random(self.seed)  # noqa: S311 - no secret
        # Not time.sleep, which fails under libfaketime.
        wait = wait or Event().wait

        def before_statement(_connection: object, _cursor: object, statement: str, *_: Any) -> None:
            if _TAKES_A_LOCK.search(statement):
                wait(draws.uniform(0, self.short_ms) / 1_000)

        def before_commit(_connection: object) -> None:
            is_long = draws.random() < self.long_share
            wait(draws.uniform(0, self.long_ms if is_long else self.short_ms) / 1_000)

        sqlalchemy.event.listen(engines, "before_cursor_execute", before_statement)
        sqlalchemy.event.listen(engines, "commit", before_commit)

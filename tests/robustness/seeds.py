"""Seeds of rounds that failed once, each with what it found; they are run again for ever."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptSeed:
    """A round that failed, and why."""

    backend: str
    seed: int
    found: str


KEPT: tuple[KeptSeed, ...] = ()

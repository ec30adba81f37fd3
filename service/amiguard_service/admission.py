"""How many calls of a kind are served at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amiguard_service.refusals import OverloadedError


class Admission:
    """Lets at most `limit` calls in at a time; those past it are refused at once."""

    def __init__(self, limit: int, *, name: str) -> None:
        self._limit = limit
        self._name = name
        self._count = 0

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Holds a place for one call, or raises OverloadedError."""
        if self._count >= self._limit:
            raise OverloadedError(f"{self._limit} {self._name}")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

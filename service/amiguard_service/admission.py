"""How many calls of a kind are served at a time, to all callers and to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from amiguard_service.identity import ANONYMOUS, caller
from amiguard_service.refusals import OverloadedError


class Admission:
    """Lets at most `limit` calls in at a time, `per_caller` of each; refuses the others at once.

    Callers without credentials are one for all that is known, so only the first limit is theirs.
    """

    def __init__(self, limit: int, *, name: str, per_caller: int | None = None) -> None:
        self._limit = limit
        self._per_caller = limit if per_caller is None else min(per_caller, limit)
        self._name = name
        self._count = 0
        self._of_caller: Counter[str] = Counter()

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Holds a place for one call, or raises OverloadedError."""
        principal = caller()
        if self._count >= self._limit:
            raise OverloadedError(f"{self._limit} {self._name}")
        if principal is not ANONYMOUS and self._of_caller[principal.name] >= self._per_caller:
            raise OverloadedError(f"{self._per_caller} {self._name} for {principal.name}")
        self._count += 1
        self._of_caller[principal.name] += 1
        try:
            yield
        finally:
            self._count -= 1
            self._of_caller[principal.name] -= 1
            if not self._of_caller[principal.name]:
                del self._of_caller[principal.name]

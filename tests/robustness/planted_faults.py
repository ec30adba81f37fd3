"""Faults to plant in a server, to see whether the harness notices them: see `planted.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from amiguard_core.events import Search
from amiguard_core.policy import RuleConfig
from amiguard_service import commit, retention
from amiguard_service.store import engines
from tests.robustness.faults import BACKENDS, POSTGRESQL, Fault


@dataclass(frozen=True, slots=True)
class Planted:
    """A fault, the rounds in which it can show, and how it gets into a server."""

    about: str
    plant: Callable[[], None]
    backends: tuple[str, ...] = BACKENDS
    needs: Fault | None = None
    """What must go wrong in a round for it to show."""
    needs_pauses: bool = False
    """Whether it shows in a narrow interleaving alone, which long pauses make likely."""


def _replace(module: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts what `make` returns in the place of something that must be there."""
    setattr(module, name, make(getattr(module, name)))


def _delete_waiting_early() -> None:
    def without_lateness(_: object) -> Callable[..., timedelta]:
        def horizon(connection: Any, policies: Any, **times: Any) -> timedelta:
            window: timedelta = policies.read(connection, **times).rule.window
            return window

        return horizon

    _replace(retention, "_horizon", without_lateness)


def _delete_findings_early() -> None:
    right = retention.waiting_horizon
    _replace(retention, "waiting_horizon", lambda _: lambda _rule: timedelta(0))

    # What waits still waits for as long as it should.
    def horizon(connection: Any, policies: Any, **times: Any) -> timedelta:
        rule: RuleConfig = policies.read(connection, **times).rule
        return right(rule)

    _replace(retention, "_horizon", lambda _: horizon)


def _leave_change_log_open() -> None:
    def without(lock: Callable[..., None]) -> Callable[..., None]:
        def take(connection: Any, key: int, *, shared: bool) -> None:
            if key != engines._CHANGE_LOG_LOCK:
                lock(connection, key, shared=shared)

        return take

    _replace(engines, "_lock", without)


def _hold_nothing() -> None:
    _replace(engines.Database, "hold_policy_and_images", lambda _: engines.Database.now)


def _lock_no_lanes() -> None:
    def without(write: Callable[..., Any]) -> Callable[..., Any]:
        def unlocked(
            database: Any, work: Callable[..., Any], *, lanes: Iterable[tuple[str, str]] = ()
        ) -> Any:
            del lanes
            return write(database, work)

        return unlocked

    _replace(engines.Database, "write", without)


def _ignore_earlier_launches() -> None:
    def without(spans: Callable[..., Any]) -> Callable[..., Any]:
        def of_launches(records: Iterable[tuple[Any, Any]], window: timedelta) -> Any:
            return spans([(k, r) for k, r in records if not isinstance(r, Search)], window)

        return of_launches

    _replace(commit, "_spans", without)


PLANTED: Mapping[str, Planted] = {
    "no-lateness": Planted(
        "waiting records are deleted after the window, without the lateness",
        _delete_waiting_early,
        needs=Fault.TIME_PASSED,
    ),
    "findings-first": Planted(
        "findings are deleted before their records",
        _delete_findings_early,
        needs=Fault.TIME_PASSED,
    ),
    "open-change-log": Planted(
        "the change log is appended to without its lock",
        _leave_change_log_open,
        backends=(POSTGRESQL,),
        needs_pauses=True,
    ),
    "nothing-held": Planted(
        "a commit does not hold the policy and the images",
        _hold_nothing,
        backends=(POSTGRESQL,),
        needs=Fault.POLICY_CHANGED,
        needs_pauses=True,
    ),
    "no-lane-locks": Planted("no lane is locked", _lock_no_lanes, backends=(POSTGRESQL,)),
    "late-search": Planted(
        "a search that comes late does not look for earlier launches", _ignore_earlier_launches
    ),
}


def plant(name: str) -> None:
    """Puts a fault into this process."""
    PLANTED[name].plant()

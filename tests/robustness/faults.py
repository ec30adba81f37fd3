"""What can go wrong in a round, and the steps each fault is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count

from tests.data.draws import Draws

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
BACKENDS = (SQLITE, POSTGRESQL)
SERVER_COUNTS = {SQLITE: 1, POSTGRESQL: 3}


class Fault(StrEnum):
    """A kind of misfortune."""

    SERVER_KILLED = "server killed"
    SERVER_PAUSED = "server paused"
    SERVER_DRAINED = "server drained"
    WORKER_KILLED = "worker killed"
    CONNECTIONS_CUT = "connections cut"
    MESSAGE_CUT = "cut within a message"
    FORWARDER_CRASHED = "forwarder crashed"
    POLICY_CHANGED = "policy changed"
    DATABASE_KILLED = "database killed"
    DATABASE_STOPPED = "database stopped"
    DATABASE_PAUSED = "database paused"
    SESSION_KILLED = "session killed"
    SESSIONS_ENDED = "sessions ended"
    DISK_FULL = "disk full"
    WRITES_REFUSED = "writes refused"


class Do(StrEnum):
    """What a step does; `target` is the number of a server, a forwarder or a change."""

    KILL = "kill server"
    START = "start server"
    PAUSE = "pause server"
    RESUME = "resume server"
    DRAIN = "drain server"
    KILL_WORKER = "kill worker of server"
    CUT = "cut server"
    CUT_REQUEST = "cut request to server"
    CUT_RESPONSE = "cut response of server"
    CRASH = "crash forwarder"
    CHANGE_POLICY = "make change"
    KILL_DATABASE = "kill database"
    STOP_DATABASE = "stop database"
    START_DATABASE = "start database"
    PAUSE_DATABASE = "pause database"
    RESUME_DATABASE = "resume database"
    KILL_SESSION = "kill session"
    END_SESSIONS = "end sessions"
    FILL_DISK = "fill disk"
    FREE_DISK = "free disk"
    REFUSE_WRITES = "refuse writes"
    ALLOW_WRITES = "allow writes"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, once `at` batches are acknowledged.

    It is also due when nothing has been acknowledged for `patience_seconds`: what it ends may be
    what keeps batches from it. `amount` is in bytes for cuts within a message, and in batches that
    are sent again for a crash. `lag_seconds` spreads the steps over what happens between two acks.
    """

    at: int
    do: Do
    target: int = 0
    patience_seconds: float = 20.0
    amount: int = 0
    lag_seconds: float = 0.0

    def __str__(self) -> str:
        amount = f" ({self.amount})" if self.amount else ""
        return f"@{self.at} {self.do} {self.target}{amount}"


_COMMON = (
    Fault.SERVER_KILLED,
    Fault.SERVER_PAUSED,
    Fault.SERVER_DRAINED,
    Fault.WORKER_KILLED,
    Fault.CONNECTIONS_CUT,
    Fault.MESSAGE_CUT,
    Fault.FORWARDER_CRASHED,
    Fault.POLICY_CHANGED,
)
FAULTS = {
    SQLITE: (*_COMMON, Fault.DISK_FULL, Fault.WRITES_REFUSED),
    POSTGRESQL: (
        *_COMMON,
        Fault.DATABASE_KILLED,
        Fault.DATABASE_STOPPED,
        Fault.DATABASE_PAUSED,
        Fault.SESSION_KILLED,
        Fault.SESSIONS_ENDED,
    ),
}
_BEGIN_AND_END = {
    Fault.SERVER_KILLED: (Do.KILL, Do.START),
    Fault.SERVER_PAUSED: (Do.PAUSE, Do.RESUME),
    Fault.SERVER_DRAINED: (Do.DRAIN, Do.START),
    Fault.DATABASE_KILLED: (Do.KILL_DATABASE, Do.START_DATABASE),
    Fault.DATABASE_STOPPED: (Do.STOP_DATABASE, Do.START_DATABASE),
    Fault.DATABASE_PAUSED: (Do.PAUSE_DATABASE, Do.RESUME_DATABASE),
    Fault.DISK_FULL: (Do.FILL_DISK, Do.FREE_DISK),
    Fault.WRITES_REFUSED: (Do.REFUSE_WRITES, Do.ALLOW_WRITES),
}
_AT_ONCE = {
    Fault.WORKER_KILLED: (Do.KILL_WORKER,),
    Fault.CONNECTIONS_CUT: (Do.CUT,),
    Fault.MESSAGE_CUT: (Do.CUT_REQUEST, Do.CUT_RESPONSE),
    Fault.FORWARDER_CRASHED: (Do.CRASH,),
    Fault.POLICY_CHANGED: (Do.CHANGE_POLICY,),
    Fault.SESSION_KILLED: (Do.KILL_SESSION,),
    Fault.SESSIONS_ENDED: (Do.END_SESSIONS,),
}
_SERVER = "server {}"
_DATABASE = "the database"
_WAITING = "a drain or a pause"
"""A server that drains waits for its commits, and those for the locks of whoever is paused."""
_THINGS = {
    Fault.SERVER_KILLED: (_SERVER,),
    Fault.WORKER_KILLED: (_SERVER,),
    Fault.SERVER_PAUSED: (_SERVER, _WAITING),
    Fault.SERVER_DRAINED: (_SERVER, _WAITING),
    Fault.DISK_FULL: (_SERVER, _WAITING),
    Fault.WRITES_REFUSED: (_SERVER, _WAITING),
    Fault.DATABASE_KILLED: (_DATABASE,),
    Fault.DATABASE_STOPPED: (_DATABASE,),
    Fault.DATABASE_PAUSED: (_DATABASE, _WAITING),
    Fault.SESSION_KILLED: (_DATABASE,),
    Fault.SESSIONS_ENDED: (_DATABASE,),
}
_MAX_REQUEST_BYTES = 60_000
_MAX_RESPONSE_BYTES = 400
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.5)
"""The last of them is longer than forwarders wait for an ack."""
_HASTE_SECONDS = 1.0
_BEGINS = {begin for begin, _ in _BEGIN_AND_END.values()}
_ENDS = {end for _, end in _BEGIN_AND_END.values()}


def faults_of(steps: Sequence[Step]) -> tuple[Fault, ...]:
    """Returns the faults that steps begin."""
    begun = {begin: fault for fault, (begin, _) in _BEGIN_AND_END.items()}
    begun |= {do: fault for fault, made in _AT_ONCE.items() for do in made}
    return tuple(begun[step.do] for step in steps if step.do in begun)


def draw_faults(draws: Draws, seed: int, backend: str) -> tuple[Fault, ...]:
    """Returns the faults of a round: seeds in a row begin with every kind in turn.

    A worker is killed once at most: the server sets a log file aside over which two died.
    """
    kinds = FAULTS[backend]
    drawn = [kinds[seed % len(kinds)], *draws.choices(kinds, k=draws.randint(1, 5))]
    first = drawn.index(Fault.WORKER_KILLED) if Fault.WORKER_KILLED in drawn else None
    return tuple(f for n, f in enumerate(drawn) if f is not Fault.WORKER_KILLED or n == first)


def draw_steps(
    draws: Draws, faults: Sequence[Fault], backend: str, *, batch_count: int, forwarder_count: int
) -> tuple[Step, ...]:
    """Returns when and where the faults begin and end; those of one thing come one by one."""
    begins = sorted(draws.randint(1, max(1, batch_count * 4 // 5)) for _ in faults)
    free_from: dict[str, int] = {}
    steps: list[Step] = []
    change_numbers = count()
    for fault, drawn in zip(faults, begins, strict=True):
        if fault is Fault.POLICY_CHANGED:
            target = next(change_numbers)
        elif fault is Fault.FORWARDER_CRASHED:
            target = draws.randrange(forwarder_count)
        else:
            target = draws.randrange(SERVER_COUNTS[backend])
        things = _things_of(fault, target)
        begin = max(drawn, *(free_from.get(thing, 0) for thing in things), 0)
        made = _steps_of(draws, fault, target, begin=begin, batch_count=batch_count)
        free_from |= dict.fromkeys(things, made[-1].at + 1)
        steps += made
    return _hasten(sorted(steps, key=lambda step: step.at))


def _hasten(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Returns the steps in which none waits long for acks that an outage before it holds up."""
    open_count = 0
    hastened = []
    for step in steps:
        waits = open_count and step.do not in _ENDS
        hastened.append(replace(step, patience_seconds=_HASTE_SECONDS) if waits else step)
        open_count += (step.do in _BEGINS) - (step.do in _ENDS)
    return tuple(hastened)


def _things_of(fault: Fault, target: int) -> tuple[str, ...]:
    """Returns what a fault has for itself while it lasts."""
    things = _THINGS.get(fault, (f"{fault} {{}}",))
    return tuple(thing.format(target) for thing in things)


def _steps_of(
    draws: Draws, fault: Fault, target: int, *, begin: int, batch_count: int
) -> list[Step]:
    lag = draws.uniform(0, 0.03)
    if fault in _AT_ONCE:
        do = draws.choice(_AT_ONCE[fault])
        amount = {
            Do.CUT_REQUEST: draws.randint(1, _MAX_REQUEST_BYTES),
            Do.CUT_RESPONSE: draws.randint(1, _MAX_RESPONSE_BYTES),
            Do.CRASH: draws.randint(0, 5),
        }.get(do, 0)
        return [Step(begin, do, target, amount=amount, lag_seconds=lag)]
    first, last = _BEGIN_AND_END[fault]
    end = begin + draws.randint(0, max(1, batch_count // 6))
    patience = draws.choice(_PAUSES_SECONDS)
    return [
        Step(begin, first, target, lag_seconds=lag),
        Step(end, last, target, patience_seconds=patience),
    ]

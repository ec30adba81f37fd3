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
    TIME_PASSED = "time passed"
    CLOCK_SHIFTED = "clock shifted"
    DATABASE_KILLED = "database killed"
    DATABASE_STOPPED = "database stopped"
    DATABASE_PAUSED = "database paused"
    DATABASE_SILENT = "database silent"
    SESSION_KILLED = "session killed"
    SESSIONS_ENDED = "sessions ended"
    DISK_FULL = "disk full"
    WRITES_REFUSED = "writes refused"
    FILE_DAMAGED = "file damaged"


class Damage(StrEnum):
    """What can become of the files of a SQLite database."""

    PAGES_OVERWRITTEN = "pages overwritten"
    CUT_SHORT = "cut short"
    LOG_REMOVED = "log removed"
    FILES_REMOVED = "files removed"
    REPLACED = "replaced"


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
    LET_TIME_PASS = "let minutes pass for"
    SHIFT_CLOCK = "shift clock of server"
    SET_CLOCK = "set clock of server"
    KILL_DATABASE = "kill database"
    STOP_DATABASE = "stop database"
    START_DATABASE = "start database"
    PAUSE_DATABASE = "pause database"
    RESUME_DATABASE = "resume database"
    SILENCE_DATABASE = "silence database of server"
    END_SILENCE = "end silence of server"
    CUT_SILENCE = "cut silence of server"
    KILL_SESSION = "kill session"
    END_SESSIONS = "end sessions"
    FILL_DISK = "fill disk"
    FREE_DISK = "free disk"
    REFUSE_WRITES = "refuse writes"
    ALLOW_WRITES = "allow writes"
    DAMAGE_FILE = "damage file of server"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, once `at` batches are acknowledged.

    It is also due when nothing has been acknowledged for `patience_seconds`: what it ends may be
    what keeps batches from it. `amount` is in bytes for cuts within a message, in batches that are
    sent again for a crash, in minutes for time that passes, in seconds for a clock. Of a silence it
    says whether it lasts until the server notices, of a damaged file the number of its damage.
    `lag_seconds` spreads the steps over what happens between two acks.
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
    Fault.TIME_PASSED,
    Fault.CLOCK_SHIFTED,
)
FAULTS = {
    SQLITE: (*_COMMON, Fault.DISK_FULL, Fault.WRITES_REFUSED, Fault.FILE_DAMAGED),
    POSTGRESQL: (
        *_COMMON,
        Fault.DATABASE_KILLED,
        Fault.DATABASE_STOPPED,
        Fault.DATABASE_PAUSED,
        Fault.DATABASE_SILENT,
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
    Fault.DATABASE_SILENT: (Do.SILENCE_DATABASE, Do.END_SILENCE),
    Fault.CLOCK_SHIFTED: (Do.SHIFT_CLOCK, Do.SET_CLOCK),
    Fault.DISK_FULL: (Do.FILL_DISK, Do.FREE_DISK),
    Fault.WRITES_REFUSED: (Do.REFUSE_WRITES, Do.ALLOW_WRITES),
}
_OTHER_END = {Fault.DATABASE_SILENT: Do.CUT_SILENCE}
_AT_ONCE = {
    Fault.WORKER_KILLED: (Do.KILL_WORKER,),
    Fault.CONNECTIONS_CUT: (Do.CUT,),
    Fault.MESSAGE_CUT: (Do.CUT_REQUEST, Do.CUT_RESPONSE),
    Fault.FORWARDER_CRASHED: (Do.CRASH,),
    Fault.POLICY_CHANGED: (Do.CHANGE_POLICY,),
    Fault.TIME_PASSED: (Do.LET_TIME_PASS,),
    Fault.FILE_DAMAGED: (Do.DAMAGE_FILE,),
    Fault.SESSION_KILLED: (Do.KILL_SESSION,),
    Fault.SESSIONS_ENDED: (Do.END_SESSIONS,),
}
_SERVER = "server {}"
_DATABASE = "the database"
_WAITING = "a drain or a pause"
"""A server that drains waits for its commits, and those for the locks of whoever is paused."""
_ALL_SERVERS = tuple(_SERVER.format(n) for n in range(max(SERVER_COUNTS.values())))
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
    Fault.DATABASE_SILENT: (_DATABASE, _SERVER, _WAITING),
    # Nobody else may hold the database up who moves the times in it.
    Fault.TIME_PASSED: (_DATABASE, *_ALL_SERVERS, _WAITING),
    Fault.FILE_DAMAGED: (_SERVER, _WAITING),
    Fault.SESSION_KILLED: (_DATABASE,),
    Fault.SESSIONS_ENDED: (_DATABASE,),
}
_ONCE = {Fault.WORKER_KILLED, Fault.FILE_DAMAGED}
_OPPOSITES = {
    Fault.TIME_PASSED: Fault.CLOCK_SHIFTED,
    Fault.CLOCK_SHIFTED: Fault.TIME_PASSED,
}
MAX_MINUTES = 180
"""Six faults, all of them time that passes, leave five hours of the rule's lateness."""
_SHIFTS_SECONDS = (25 * 3_600, -25 * 3_600, 10_000 * 86_400, -10_000 * 86_400, 120)
"""A time zone too many, a battery that is empty, a typo in the year, and two minutes."""
_MAX_REQUEST_BYTES = 60_000
_MAX_RESPONSE_BYTES = 400
_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.5)
"""The last of them is longer than forwarders wait for an ack."""
_HASTE_SECONDS = 1.0
_BEGINS = {begin for begin, _ in _BEGIN_AND_END.values()}
_ENDS = {end for _, end in _BEGIN_AND_END.values()} | set(_OTHER_END.values())


def faults_of(steps: Sequence[Step]) -> tuple[Fault, ...]:
    """Returns the faults that steps begin."""
    begun = {begin: fault for fault, (begin, _) in _BEGIN_AND_END.items()}
    begun |= {do: fault for fault, made in _AT_ONCE.items() for do in made}
    return tuple(begun[step.do] for step in steps if step.do in begun)


def draw_faults(draws: Draws, seed: int, backend: str) -> tuple[Fault, ...]:
    """Returns the faults of a round: seeds in a row begin with every kind in turn.

    Some come once at most: the server sets a log file aside over which two workers died, and a
    damaged file costs a round its time. Time does not pass where a clock is wrong: which of the two
    a server should believe could not be told.
    """
    kinds = FAULTS[backend]
    drawn = [kinds[seed % len(kinds)], *draws.choices(kinds, k=draws.randint(1, 5))]
    faults: list[Fault] = []
    for fault in drawn:
        if (fault in _ONCE and fault in faults) or _OPPOSITES.get(fault) in faults:
            continue
        faults.append(fault)
    return tuple(faults)


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
            Do.LET_TIME_PASS: draws.randint(20, MAX_MINUTES),
            Do.DAMAGE_FILE: draws.randrange(len(Damage)),
        }.get(do, 0)
        return [Step(begin, do, target, amount=amount, lag_seconds=lag)]
    first, last = _BEGIN_AND_END[fault]
    last = draws.choice((last, _OTHER_END.get(fault, last)))
    amount = {
        Do.SHIFT_CLOCK: draws.choice(_SHIFTS_SECONDS),
        Do.SILENCE_DATABASE: draws.randrange(2),
    }.get(first, 0)
    end = begin + draws.randint(0, max(1, batch_count // 6))
    patience = draws.choice(_PAUSES_SECONDS)
    return [
        Step(begin, first, target, amount=amount, lag_seconds=lag),
        Step(end, last, target, patience_seconds=patience),
    ]

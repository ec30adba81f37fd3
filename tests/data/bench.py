"""Log files and records in quantity, made fast: few stencils, each record with ids of its own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

from tests.data import agents, identities
from tests.data.draws import Draws
from tests.data.log_files import DELIVERY_INTERVAL, LogFile, compressed, log_content
from tests.data.noise import Scene, noise
from tests.data.records import NINE_O_CLOCK, Caller, Search, describe_images, run_instances
from tests.data.scenario import REGIONS, SAFE_SEARCHES, UNSAFE_SEARCHES
from tests.data.shapes import Record, encode, utc

# One unsafe search in five, so that findings stay as rare among searches as they should be.
SEARCHES: Final = (UNSAFE_SEARCHES[0], *SAFE_SEARCHES[:4])
SPAN_SECONDS: Final = 24 * 60 * 60
GAP_SECONDS: Final = 30

# What a record has in place of its own before it becomes a stencil.
_EVENT_ID: Final = "eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"
_REQUEST_ID: Final = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
_TIME: Final = datetime(2001, 2, 3, tzinfo=NINE_O_CLOCK.tzinfo)

_ACCOUNTS: Final = 50
_NOISE_STENCILS: Final = 400
_RECORDS_PER_CALLER: Final = 40


def bench_records(count: int, *, relevant_share: float, seed: int) -> list[bytes]:
    """Returns `count` encoded records of different ids, spread over a day.

    Exactly the share of them, rounded down, are searches and launches in turn: each launch follows
    a search of its own by 30 seconds, and one search in five is unsafe.
    """
    return list(_stream(Draws(seed), count, relevant_share))


def write_bench_files(
    directory: Path, *, files: int, records_per_file: int, relevant_share: float, seed: int
) -> list[Path]:
    """Writes log files of such records into the directory and returns their paths."""
    draws = Draws(seed)
    stream = _stream(draws, files * records_per_file, relevant_share)
    paths = []
    for number in range(files):
        name = LogFile(
            account=_account(number),
            region=REGIONS[number % len(REGIONS)],
            delivered_at=NINE_O_CLOCK + number * DELIVERY_INTERVAL,
            token=draws.token(16),
            records=(),
        ).key()
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(compressed(log_content(islice(stream, records_per_file))))
        paths.append(path)
    return paths


def _stream(draws: Draws, count: int, relevant_share: float) -> Iterator[bytes]:
    around = Draws(draws.getrandbits(64))
    stencils = [_stencil(_noise(around)) for _ in range(_NOISE_STENCILS)]
    callers = max(1, int(count * relevant_share) // _RECORDS_PER_CALLER)
    waiting: tuple[int, int] | None = None
    for number in range(count):
        second = SPAN_SECONDS * number // count
        if int((number + 1) * relevant_share) == int(number * relevant_share):
            stencil = stencils[int(draws.random() * _NOISE_STENCILS)]
        elif waiting is None:
            waiting = draws.randrange(callers), second
            stencil = _search(waiting[0], draws.randrange(len(SEARCHES)))
        else:
            caller, searched_at = waiting
            waiting, second = None, searched_at + GAP_SECONDS
            stencil = _launch(caller)
        yield _filled(stencil, draws, second)


def _stencil(record: Record) -> bytes:
    return (
        encode(record)
        .replace(b"%", b"%%")
        .replace(_EVENT_ID.encode(), b"%(event_id)b")
        .replace(_REQUEST_ID.encode(), b"%(request_id)b")
        .replace(utc(_TIME).encode(), b"%(time)b")
    )


def _filled(stencil: bytes, draws: Draws, second: int) -> bytes:
    drawn = draws.randbytes(30).hex().encode()
    own = {
        b"event_id": _uuid(drawn[:30]),
        b"request_id": _uuid(drawn[30:]),
        b"time": _written(second),
    }
    return stencil % own


@lru_cache(maxsize=1)
def _written(second: int) -> bytes:
    return utc(NINE_O_CLOCK + timedelta(seconds=second)).encode()


def _uuid(drawn: bytes) -> bytes:
    # 30 digits and the two that every version 4 UUID has; `uuid.UUID` takes several times as long.
    return b"-".join((drawn[:8], drawn[8:12], b"4" + drawn[12:15], b"8" + drawn[15:18], drawn[18:]))


def _noise(draws: Draws) -> Record:
    scene = Scene(_account(draws.randrange(_ACCOUNTS)), draws.choice(REGIONS), _TIME)
    return noise(draws, scene) | {"eventID": _EVENT_ID, "requestID": _REQUEST_ID}


def _account(number: int) -> str:
    return f"{number % _ACCOUNTS + 1:03d}111122223"


def _caller(number: int) -> Caller:
    return {
        "identity": identities.assumed_role(
            _account(number), f"service-{number}", session="deploy", path="/ci/"
        ),
        "user_agent": agents.TERRAFORM,
        "region": REGIONS[number % len(REGIONS)],
        "at": _TIME,
        "event_id": _EVENT_ID,
        "request_id": _REQUEST_ID,
    }


@lru_cache(maxsize=100_000)
def _search(caller: int, asked: int) -> bytes:
    search: Search = {**SEARCHES[asked], **_caller(caller)}
    return _stencil(describe_images(**search))


@lru_cache(maxsize=100_000)
def _launch(caller: int) -> bytes:
    return _stencil(run_instances(**_caller(caller)))

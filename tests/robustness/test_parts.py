"""The parts of the harness that stand for themselves: forms, time, clocks, pauses, histories."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy

from amiguard_core.decode import DEFAULT_LAUNCH_PATHS, decode_records
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from amiguard_service.engine import Batch, Engine
from amiguard_service.retention import SweepLimits
from amiguard_service.unpack import Job, unpack
from tests.data.draws import Draws
from tests.data.forms import FORMS
from tests.robustness import damage
from tests.robustness.ageing import Ages
from tests.robustness.clocks import LEFT_OUT, ServerClock, find_faketime
from tests.robustness.faults import SQLITE, Fault
from tests.robustness.history import History, What
from tests.robustness.kept import HISTORY, STORED, check, write_stored
from tests.robustness.operators import Tuned
from tests.robustness.pauses import Pauses
from tests.robustness.plan import draw_plan
from tests.robustness.planted import plans_for
from tests.robustness.planted_faults import PLANTED
from tests.robustness.serve import SetUp

RECORDS = draw_plan(0, SQLITE).records
HORIZON = timedelta(hours=24, minutes=15)
DRAWS = 5
JOB_RECORDS = 10_000
JOB_BYTES = 16 * 1024 * 1024


@pytest.mark.parametrize("name", FORMS)
def test_every_form_holds_its_records(name: str) -> None:
    """However records are put together, they are the same records."""
    wanted = decode_records(list(RECORDS))
    for seed in range(DRAWS):
        content = FORMS[name](Draws(seed), RECORDS)
        read = unpack(Job(content, tuple(DEFAULT_LAUNCH_PATHS), JOB_RECORDS, JOB_BYTES))

        assert read.rejections == []
        assert read.record_count == wanted.record_count
        assert set(read.searches) == set(wanted.searches)
        assert set(read.launches) == set(wanted.launches)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a database that holds the records."""
    place = f"sqlite:///{tmp_path}/amiguard.db"
    with closing(Engine.open(place)) as engine:
        engine.commit([Batch(decode_records(list(RECORDS)), source="tests")])
    return place


class TestTime:
    """Time that passes at once."""

    @pytest.mark.parametrize(
        ("passed", "stays"), [(HORIZON - timedelta(minutes=1), True), (HORIZON, False)]
    )
    def test_records_go_when_their_time_has_come(
        self, url: str, passed: timedelta, *, stays: bool
    ) -> None:
        """What retention does after time has passed is what it does after time has passed."""
        with closing(Engine.open(url)) as engine, Ages.open(url) as ages:
            ages.let_pass(passed)
            while engine.sweep(engine.now(), SweepLimits()).has_more:
                pass

            assert bool(ages.count_waiting()) is stays

    def test_everything_grows_older(self, url: str) -> None:
        """The oldest record is as much older as time has passed."""
        with Ages.open(url) as ages:
            before = ages.oldest_arrival()
            ages.let_pass(timedelta(hours=3))
            after = ages.oldest_arrival()

        assert before is not None
        assert after == before - timedelta(hours=3)


def test_clock_is_wrong_for_one_process_and_its_durations_right(tmp_path: Path) -> None:
    """A clock jumps while its process runs, and nobody waits longer for it."""
    library = find_faketime()
    if library is None:
        pytest.skip(LEFT_OUT)
    clock = ServerClock(library, tmp_path / "clock")
    code = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=clock.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read() -> tuple[float, float]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            first, second = process.stdout.readline().split()
            return float(first), float(second)

        right = read()
        clock.shift(timedelta(hours=25))
        wrong = read()
        process.stdin.close()

    assert abs(right[0] - time.time()) < timedelta(minutes=10).total_seconds()
    assert wrong[0] - right[0] > timedelta(hours=24).total_seconds()
    assert wrong[1] - right[1] < timedelta(minutes=10).total_seconds()


def test_transactions_pause_before_locks_and_commits() -> None:
    """A transaction pauses before it takes the database for itself, and before it is committed."""
    engine = sqlalchemy.create_engine("sqlite://", isolation_level="AUTOCOMMIT")
    waited: list[float] = []
    Pauses(seed=1, short_ms=10).install(engine, wait=waited.append)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
    engine.dispose()

    assert len(waited) == 2
    assert all(0 <= seconds <= 0.01 for seconds in waited)


def test_server_is_told_its_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process knows of its set-up what the harness says."""
    set_up = SetUp(pauses=Pauses(7, 5, 100, 0.5), planted="no-lateness")
    for name, value in set_up.to_environment().items():
        monkeypatch.setenv(name, value)

    assert SetUp.from_environment() == set_up


class TestPlanted:
    """Faults that are planted to see whether the harness notices."""

    @pytest.mark.parametrize("name", PLANTED)
    def test_fault_finds_its_place(self, name: str) -> None:
        """A fault replaces something of the server that is there."""
        code = f"from tests.robustness.planted_faults import plant; plant({name!r})"
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_fault_is_planted_where_it_can_show(self) -> None:
        """Rounds are those that hold what a fault needs."""
        plans = plans_for(PLANTED["no-lateness"], SQLITE, first_seed=1)

        assert Fault.TIME_PASSED in next(plans).faults


@pytest.fixture
def folder(tmp_path: Path, url: str) -> Path:
    """A round that was kept: every record was sent, acknowledged and stored."""
    history = History()
    history.sent("forwarder-0", 0, RECORDS[:50])
    history.note("forwarder-0", What.ACKED, batch=0, server=0)
    history.sent("forwarder-1", 0, RECORDS[50:])
    history.note("forwarder-1", What.ACKED, batch=0, server=0)
    history.note("operator", What.IN_FORCE, **Tuned().describe())
    kept = tmp_path / "kept"
    kept.mkdir()
    history.write(kept / HISTORY)
    write_stored(url, kept / STORED)
    return kept


class TestKept:
    """A round that was kept, checked again."""

    def test_what_is_as_it_should_be_passes(self, folder: Path) -> None:
        """What was stored is what the history asks for."""
        assert check(folder) == []

    def test_lost_finding_is_noticed(self, folder: Path) -> None:
        """What was acknowledged and is not stored is told of."""
        first, *others = (folder / STORED).read_text().splitlines(keepends=True)
        (folder / STORED).write_text("".join(others))

        assert check(folder) == [f"lost: {json.loads(first)['finding']['name']}"]

    def test_what_was_not_acknowledged_may_be_missing(self, folder: Path) -> None:
        """An ack that never came promises nothing."""
        finding = evaluate(RECORDS, Policy())[0]
        name = f"findings/{finding.key.finding_id()}"
        lines = (folder / STORED).read_text().splitlines(keepends=True)
        (folder / STORED).write_text("".join(line for line in lines if name not in line))
        history = (folder / HISTORY).read_text().splitlines(keepends=True)
        unacked = "".join(line for line in history if f'"{What.ACKED}"' not in line)
        (folder / HISTORY).write_text(unacked)

        assert check(folder) == []


class TestDamage:
    """Files that are damaged and put back."""

    @pytest.mark.parametrize("harm", [damage.overwrite_pages, damage.cut_short])
    @pytest.mark.usefixtures("url")
    def test_database_is_damaged_and_whole_again(
        self, tmp_path: Path, harm: Callable[[damage.Files], None]
    ) -> None:
        """SQLite itself sees the damage, and none once the files are back."""
        files = damage.Files(tmp_path / "amiguard.db", tmp_path / "saved")
        files.save()
        harm(files)
        assert not is_sound(files.main)
        files.restore()

        assert is_sound(files.main)


def is_sound(file: Path) -> bool:
    """Says whether SQLite finds nothing wrong with a file."""
    with closing(sqlite3.connect(file)) as connection:
        try:
            return connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            return False


def test_history_says_when(tmp_path: Path) -> None:
    """Lines come in their order, each with how long the round had lasted."""
    history = History()
    started_at = datetime.now(UTC)
    history.note("watcher-0", What.WATCHED, stream=1)
    history.note("forwarder-0", What.CRASHED, forgotten=2)
    history.write(tmp_path / HISTORY)
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]

    assert [line["who"] for line in lines] == ["watcher-0", "forwarder-0"]
    assert 0 <= lines[0]["at"] <= lines[1]["at"]
    assert lines[1]["at"] <= (datetime.now(UTC) - started_at).total_seconds() + 1

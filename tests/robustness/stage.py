"""Everything a round plays with: servers, the network before them, the database behind them."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from amiguard_client import Client, connect
from amiguard_service.engine import Engine
from amiguard_service.store.engines import Database
from amiguard_service.tokens import PageTokens
from tests.robustness.clocks import LEFT_OUT, ServerClock, find_faketime
from tests.robustness.disk import SmallDisk, small_disk
from tests.robustness.faults import SQLITE, Do, Fault
from tests.robustness.plan import Plan
from tests.robustness.postgres import OwnPostgres
from tests.robustness.proxy import Network, Proxy
from tests.robustness.serve import SetUp
from tests.robustness.servers import Replica, Service
from tests.robustness.waiting import RoundError


@dataclass(frozen=True)
class Backends:
    """The databases that rounds have in common: a PostgreSQL, and a migrated SQLite file."""

    postgres: OwnPostgres | None
    migrated_sqlite: Path


@dataclass
class Stage:
    """One round's servers and what is around them."""

    plan: Plan
    url: str
    replicas: list[Replica]
    proxies: list[Proxy]
    directory: Path
    """For files that only this round needs."""
    postgres: OwnPostgres | None = None
    database: str = ""
    sqlite_file: Path | None = None
    disk: SmallDisk | None = None
    is_full: bool = False
    """Whether the disk has been filled; a server that is started then may well not start."""
    database_proxies: list[Proxy] = field(default_factory=list)
    """Between each server and PostgreSQL, in rounds in which that can fall silent."""
    left_out: list[str] = field(default_factory=list)
    """What the plan asks for and this machine cannot do."""
    _firsts: Iterator[int] = field(default_factory=count)
    awaiting_database: list[Replica] = field(default_factory=list)
    """Servers that ended at their start because there was no database."""

    @property
    def disk_directory(self) -> Path | None:
        """Where the database's file is, if it is one."""
        return self.sqlite_file.parent if self.sqlite_file is not None else None

    @property
    def has_database(self) -> bool:
        """Whether the database is there, and can be opened if it is a file."""
        return not self.is_full and (self.postgres is None or self.postgres.is_up)

    @property
    def can_be_read(self) -> bool:
        """Whether there is a server that can answer."""
        return self.has_database and bool(self.serving())

    def open_doors(self) -> list[str]:
        """Returns one address of each server, for one client alone.

        Each client begins with another server: they try addresses in their order.
        """
        first = next(self._firsts) % len(self.proxies)
        return [proxy.add_door() for proxy in (*self.proxies[first:], *self.proxies[:first])]

    def last_server(self, addresses: Sequence[str]) -> int:
        """Returns the number of the server that last sent something to one of these addresses."""
        times = [max(map(proxy.last_answer_at, addresses)) for proxy in self.proxies]
        return times.index(max(times))

    def start(self, replicas: Sequence[Replica]) -> None:
        """Starts servers side by side; those that find no database are started with it."""
        if self.postgres is not None and self.postgres.is_paused:
            # They would wait for it, and nobody would be there to let it go on.
            self.awaiting_database += replicas
            return
        for replica in replicas:
            replica.launch()
        missed = [replica for replica in replicas if not replica.await_ready()]
        if missed and self.has_database:
            raise RoundError("a server did not start although its database is there")
        self.awaiting_database += missed

    def start_in_vain(self, replica: Replica) -> None:
        """Kills a server while it starts, maybe while it makes the schema."""
        replica.launch()
        time.sleep(self.plan.false_start_seconds)
        replica.kill()

    def start_database(self) -> None:
        """Starts the database or lets it go on, and starts the servers that waited for it."""
        assert self.postgres is not None
        if self.postgres.is_paused:
            self.postgres.resume()
        else:
            self.postgres.start()
        self._start_waiting()

    def free_disk(self) -> None:
        """Frees the disk, and starts the servers that waited for it."""
        assert self.disk is not None
        self.disk.free()
        self.is_full = False
        self._start_waiting()

    def _start_waiting(self) -> None:
        waiting, self.awaiting_database = self.awaiting_database, []
        self.start(waiting)

    def client(self, replica: Replica) -> Client:
        """Returns a client that reads from one server, past its proxy."""
        return connect(replica.address, insecure=True)

    def serving(self) -> list[Replica]:
        """Returns the servers that can be asked something."""
        return [
            replica
            for replica in self.replicas
            if replica.is_up and not replica.is_paused and not replica.is_draining
        ]

    def page_tokens(self) -> PageTokens:
        """Returns what opens the cursors that the servers gave."""
        engine = Engine(Database(self.url))
        try:
            return PageTokens(engine.page_token_keys())
        finally:
            engine.close()

    def find_damage(self) -> list[str]:
        """Returns what the database itself says is wrong with it."""
        if self.postgres is not None:
            return self.postgres.complaints() + self.postgres.find_passed_changes(self.database)
        with closing(sqlite3.connect(f"file:{self.sqlite_file}?mode=ro", uri=True)) as connection:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        return [f"integrity_check: {text}" for (text,) in rows if text != "ok"]


@contextmanager
def open_stage(plan: Plan, backends: Backends, *, planted: str = "") -> Iterator[Stage]:
    """Gives the stage of a round, before any server is started; ends them all with the block.

    `planted` names a fault to be planted in every server.
    """
    with ExitStack() as ending:
        directory = Path(ending.enter_context(TemporaryDirectory(prefix="amiguard-round-")))
        network = ending.enter_context(Network.open())
        proxies = [network.add_proxy() for _ in range(plan.server_count)]
        stage = Stage(plan, "", [], proxies, directory)
        if plan.backend == SQLITE:
            _use_sqlite(stage, directory, backends, ending)
        else:
            _use_postgres(stage, backends, ending)
        urls = _server_urls(stage, network)
        clocks = _clocks(stage, directory)
        stage.replicas += [
            Replica(
                number,
                Service(
                    urls[number],
                    plan.database_connections,
                    SetUp(pauses=plan.surroundings.pauses, planted=planted),
                    keeps_findings_shortly=plan.surroundings.keeps_findings_shortly,
                ),
                directory=directory,
                # Beside the database where that is a file, so that its disk is full for both.
                log=(stage.disk_directory or directory) / f"server-{number}.log",
                proxy=proxy,
                clock=clocks.get(number),
            )
            for number, proxy in enumerate(proxies)
        ]
        for replica in stage.replicas:
            ending.callback(replica.end)
        yield stage


def _server_urls(stage: Stage, network: Network) -> list[str]:
    """Returns the database's URL for each server: through a proxy where it can fall silent."""
    if stage.postgres is None or Fault.DATABASE_SILENT not in stage.plan.faults:
        return [stage.url] * stage.plan.server_count
    stage.database_proxies += [network.add_proxy() for _ in range(stage.plan.server_count)]
    for proxy in stage.database_proxies:
        proxy.aim(stage.postgres.socket)
    return [
        stage.postgres.url_through(proxy.add_door(), stage.database)
        for proxy in stage.database_proxies
    ]


def _clocks(stage: Stage, directory: Path) -> dict[int, ServerClock]:
    """Returns the clocks of the servers whose time of day will be wrong, by their numbers."""
    numbers = {step.target for step in stage.plan.steps if step.do is Do.SHIFT_CLOCK}
    library = find_faketime()
    if numbers and library is None:
        stage.left_out.append(LEFT_OUT)
    if library is None:
        return {}
    return {number: ServerClock(library, directory / f"clock-{number}") for number in numbers}


def _use_sqlite(stage: Stage, directory: Path, backends: Backends, ending: ExitStack) -> None:
    place = directory / "disk"
    stage.disk = ending.enter_context(small_disk(place))
    stage.sqlite_file = place / "amiguard.db"
    if not stage.plan.starts_empty:
        shutil.copy(backends.migrated_sqlite, stage.sqlite_file)
    stage.url = f"sqlite:///{stage.sqlite_file}"


def _use_postgres(stage: Stage, backends: Backends, ending: ExitStack) -> None:
    assert backends.postgres is not None
    stage.postgres = backends.postgres
    if stage.postgres.is_paused:
        stage.postgres.resume()
    if not stage.postgres.is_up:
        stage.postgres.start()
    stage.database = stage.postgres.make_database(
        empty=stage.plan.starts_empty, isolation=stage.plan.surroundings.isolation
    )
    ending.callback(_drop, stage.postgres, stage.database)
    stage.url = stage.postgres.url(stage.database)


def _drop(postgres: OwnPostgres, name: str) -> None:
    if postgres.is_up:
        postgres.drop_database(name)

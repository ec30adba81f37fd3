"""One round: a plan is played, and what is left is held against what the rule says."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from amiguard_client.errors import AmiguardError
from amiguard_service.engine import Engine
from tests.robustness.clients import Clients
from tests.robustness.conductor import Conductor
from tests.robustness.expiry import check_expiry
from tests.robustness.faults import POSTGRESQL, Fault
from tests.robustness.kept import HISTORY, PROBLEMS, STORED, copy_files, write_stored
from tests.robustness.oracle import ServerView, count_relevant, fetch_findings, find_differences
from tests.robustness.plan import Plan
from tests.robustness.postgres import own_postgres
from tests.robustness.server_logs import find_complaints
from tests.robustness.stage import Backends, Stage, open_stage
from tests.robustness.waiting import RoundError, holds_within
from tests.robustness.watcher import Watcher

_WATCH_SECONDS = 15


@dataclass(frozen=True)
class Report:
    """What came of a round: nothing in `problems` where every promise was kept."""

    seconds: float
    ack_count: int
    problems: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """What the plan asked for and this machine cannot do."""


@contextmanager
def open_backends(*names: str) -> Iterator[Backends]:
    """Gives the databases that rounds on these backends have in common."""
    with TemporaryDirectory(prefix="amiguard-robustness-") as directory:
        migrated = Path(directory, "migrated.db")
        Engine.open(f"sqlite:///{migrated}").close()
        if POSTGRESQL not in names:
            yield Backends(None, migrated)
            return
        with own_postgres() as postgres:
            yield Backends(postgres, migrated)


def run_round(
    plan: Plan, backends: Backends, *, keep: Path | None = None, planted: str = ""
) -> Report:
    """Plays a plan and returns what came of it.

    Where something was wrong its history, what is stored and the logs are kept in a folder. With
    the name of a planted fault, every server has it.
    """
    started_at = time.monotonic()
    problems: list[str] = []
    with open_stage(plan, backends, planted=planted) as stage:
        clients = Clients(stage)
        try:
            problems += _play(stage, clients)
            problems += _end(stage)
        except (RoundError, AmiguardError, grpc.RpcError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        if problems:
            problems += _tails(stage)
        if problems and keep is not None:
            _keep(stage, clients, problems, keep)
    ack_count = clients.progress.acked_count
    seconds = time.monotonic() - started_at
    return Report(seconds, ack_count, tuple(problems), tuple(stage.left_out))


def _keep(stage: Stage, clients: Clients, problems: Sequence[str], folder: Path) -> None:
    """Writes all there is to know of a failed round; its servers are ended for it."""
    for replica in stage.replicas:
        replica.end()
    folder.mkdir(parents=True, exist_ok=True)
    clients.progress.history.write(folder / HISTORY)
    text = "\n".join([stage.plan.describe(), *problems])
    (folder / PROBLEMS).write_text(f"{text}\n", encoding="utf-8")
    copy_files([replica.log for replica in stage.replicas], folder)
    if stage.postgres is not None and not stage.postgres.is_up:
        stage.start_database()
    if stage.is_full and stage.disk is not None:
        stage.disk.free()
    write_stored(stage.url, folder / STORED)


def _play(stage: Stage, clients: Clients) -> list[str]:
    """Plays the plan, which leaves every server serving; returns what went wrong."""
    if stage.plan.starts_empty:
        stage.start_in_vain(stage.replicas[0])
    stage.start(stage.replicas)
    clients.start()
    try:
        conductor = Conductor(stage, clients)
        conductor.run()
        problems = clients.finish()
        conductor.deliver_spares()
        problems += _check_stored(stage, clients)
    finally:
        clients.close()
    problems += clients.check_watchers()
    if Fault.TIME_PASSED in stage.plan.faults and not problems:
        problems += check_expiry(stage, clients.operator.tuned)
    return problems


def _check_stored(stage: Stage, clients: Clients) -> list[str]:
    plan, progress = stage.plan, clients.progress
    problems = []
    stored_count = count_relevant(plan.records)
    if progress.fresh_count > stored_count:
        problems.append(f"{progress.fresh_count} records were new, there are {stored_count}")
    views = []
    for replica in stage.replicas:
        with stage.client(replica) as client:
            views.append({name: f.etag for name, f in fetch_findings(client).items()})
            if replica.number == plan.seed % plan.server_count:
                problems += find_differences(
                    ServerView(client), plan.records, clients.operator.tuned
                )
    if any(view != views[0] for view in views):
        problems.append("the servers show different states")
    late_watcher = Watcher("late watcher", stage.open_doors())
    late_watcher.start()
    problems += [
        f"{watcher.name} has not seen the last of {watcher.find_missed(views[0])}"
        for watcher in (*clients.watchers, late_watcher)
        if not holds_within(partial(watcher.has_seen, views[0]), _WATCH_SECONDS)
    ]
    late_watcher.stop()
    return problems + late_watcher.complaints


def _end(stage: Stage) -> list[str]:
    """Drains the servers; returns what they and the database complain of."""
    for replica in stage.replicas:
        replica.drain()
    for replica in stage.replicas:
        replica.await_stopped()
    complaints = [
        complaint
        for replica in stage.replicas
        for complaint in find_complaints(replica.log, stage.plan.faults)
    ]
    return complaints + stage.find_damage()


def _tails(stage: Stage) -> list[str]:
    """Returns the last lines of each server's log."""
    logs = [replica.log for replica in stage.replicas if replica.log.exists()]
    return [
        "\n    ".join([f"{log.name} ends:", *log.read_text(errors="replace").splitlines()[-8:]])
        for log in logs
    ]

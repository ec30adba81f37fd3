"""One round: a plan is played, and what is left is held against what the rule says."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from amiguard_client.errors import AmiguardError
from amiguard_service.engine import Engine
from tests.robustness.conductor import Conductor
from tests.robustness.faults import POSTGRESQL
from tests.robustness.forwarders import Forwarder, Progress
from tests.robustness.operators import Operator, Tuned, await_applied
from tests.robustness.oracle import count_relevant, fetch_findings, find_differences
from tests.robustness.plan import Plan
from tests.robustness.postgres import own_postgres
from tests.robustness.server_logs import find_complaints
from tests.robustness.stage import Backends, Stage, open_stage
from tests.robustness.waiting import RoundError, holds_within, wait_until
from tests.robustness.watcher import Watcher

_WATCHER_COUNT = 2
_DELIVERY_SECONDS = 120
_WATCH_SECONDS = 15


@dataclass(frozen=True)
class Report:
    """What came of a round: nothing in `problems` where every promise was kept."""

    seconds: float
    ack_count: int
    problems: tuple[str, ...]


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


def run_round(plan: Plan, backends: Backends) -> Report:
    """Plays a plan and returns what came of it."""
    started_at = time.monotonic()
    progress = Progress()
    problems: list[str] = []
    with open_stage(plan, backends) as stage:
        try:
            problems += _play(stage, progress)
            problems += _end(stage, plan)
        except (RoundError, AmiguardError, grpc.RpcError) as error:
            problems.append(f"{type(error).__name__}: {error}")
        if problems:
            problems += _tails(stage)
    return Report(time.monotonic() - started_at, progress.acked_count, tuple(problems))


def _play(stage: Stage, progress: Progress) -> list[str]:
    """Plays the plan with every server serving at its end; returns what went wrong."""
    plan = stage.plan
    stage.start(stage.replicas)
    watchers = [Watcher(f"watcher-{n}", stage.open_doors()) for n in range(_WATCHER_COUNT)]
    forwarders = [
        Forwarder(number, forwarding, addresses=stage.open_doors(), progress=progress)
        for number, forwarding in enumerate(plan.forwardings)
    ]
    operator = Operator(stage.open_doors())
    for thread in (*watchers, *forwarders, operator):
        thread.start()
    try:
        conductor = Conductor(stage, forwarders, operator, progress=progress)
        conductor.run()
        wait_until(
            lambda: not any(forwarder.is_alive() for forwarder in forwarders),
            "every batch is acknowledged",
            seconds=_DELIVERY_SECONDS,
        )
        conductor.deliver_spares()
        problems = [str(f.failure) for f in forwarders if f.failure is not None]
        problems += [f"{f.name} died" for f in forwarders if not f.failure and not f.is_done]
        operator.finish()
        await_applied(stage.replicas[-1].address)
        problems += progress.complaints + operator.complaints
        problems += _check_stored(stage, progress, operator.tuned, watchers)
    finally:
        operator.close()
        for watcher in watchers:
            watcher.stop()
    tokens = stage.page_tokens()
    for watcher in watchers:
        problems += watcher.check(tokens, is_policy_changed=bool(plan.changes))
    return problems


def _check_stored(
    stage: Stage, progress: Progress, tuned: Tuned, watchers: list[Watcher]
) -> list[str]:
    plan = stage.plan
    problems = []
    stored_count = count_relevant(plan.records)
    if progress.fresh_count > stored_count:
        problems.append(f"{progress.fresh_count} records were new, there are {stored_count}")
    views = []
    for replica in stage.replicas:
        with stage.client(replica) as client:
            views.append({name: f.etag for name, f in fetch_findings(client).items()})
            if replica.number == plan.seed % plan.server_count:
                problems += find_differences(client, plan.records, tuned)
    problems += [
        f"server {n} shows another state" for n, view in enumerate(views) if view != views[0]
    ]
    late_watcher = Watcher("late watcher", stage.open_doors())
    late_watcher.start()
    problems += [
        f"{watcher.name} has not seen the last of {watcher.find_missed(views[0])}"
        for watcher in (*watchers, late_watcher)
        if not holds_within(partial(watcher.has_seen, views[0]), _WATCH_SECONDS)
    ]
    late_watcher.stop()
    return problems + late_watcher.complaints


def _end(stage: Stage, plan: Plan) -> list[str]:
    """Drains the servers; returns what they and the database complain of."""
    for replica in stage.replicas:
        replica.drain()
    for replica in stage.replicas:
        replica.await_stopped()
    complaints = [
        complaint
        for replica in stage.replicas
        for complaint in find_complaints(replica.log, plan.faults)
    ]
    return complaints + stage.find_damage()


def _tails(stage: Stage) -> list[str]:
    """Returns the last lines of each server's log."""
    logs = [replica.log for replica in stage.replicas if replica.log.exists()]
    return [
        "\n    ".join([f"{log.name} ends:", *log.read_text(errors="replace").splitlines()[-8:]])
        for log in logs
    ]

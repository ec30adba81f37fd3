"""Does the steps of a plan when they are due, and looks at the system after each."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import grpc

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from amiguard_client.errors import UnreachableError
from amiguard_client.packing import Records, batch_of
from tests.robustness.ageing import Ages
from tests.robustness.clients import Clients
from tests.robustness.damage import damage
from tests.robustness.disk import allow_growth, forbid_growth
from tests.robustness.faults import Damage, Do, Step
from tests.robustness.history import What
from tests.robustness.oracle import ServerView, find_missing
from tests.robustness.plan import Delivery
from tests.robustness.proxy import Way
from tests.robustness.servers import Replica
from tests.robustness.stage import Stage
from tests.robustness.waiting import RoundError, patiently, wait_until

_HEALTH_SECONDS = 15
_READ_SECONDS = 30
_SPARE_SOURCE = "spare"
_FILLER = Delivery(Records([bytes(128 * 1024)]), (), malformed_count=1, unidentified_count=0)
"""What is stored as a rejection alone, half as long as what a server writes to try the database."""
_LOOKS_WHILE_FULL = 22
_BETWEEN_LOOKS = timedelta(milliseconds=100)
"""All of them take as long as a server needs to try the database again twice."""
_ENDS_AN_OUTAGE = {
    Do.START,
    Do.RESUME,
    Do.START_DATABASE,
    Do.RESUME_DATABASE,
    Do.END_SILENCE,
    Do.CUT_SILENCE,
    Do.LET_TIME_PASS,
    Do.DAMAGE_FILE,
    Do.KILL_SESSION,
    Do.END_SESSIONS,
    Do.FREE_DISK,
    Do.ALLOW_WRITES,
}


class Conductor:
    """Runs one plan on one stage; `run` it once."""

    def __init__(self, stage: Stage, clients: Clients) -> None:
        self._stage = stage
        self._forwarders = clients.forwarders
        self._operator = clients.operator
        self._progress = clients.progress
        self._is_policy_changed = False
        self._spares = list(stage.plan.spares)
        self._last_step_at = time.monotonic()
        self._do: dict[Do, Callable[[Step], object]] = {
            Do.KILL: lambda step: self._if_up(step, Replica.kill),
            Do.START: self._start,
            Do.PAUSE: lambda step: self._if_up(step, Replica.pause),
            Do.RESUME: lambda step: self._if_up(step, Replica.resume),
            Do.DRAIN: lambda step: self._if_up(step, Replica.drain),
            Do.KILL_WORKER: lambda step: self._if_up(step, Replica.kill_worker),
            Do.CUT: lambda step: self._replica(step).proxy.cut(),
            Do.CUT_REQUEST: lambda step: self._cut_after(step, Way.TO_SERVER),
            Do.CUT_RESPONSE: lambda step: self._cut_after(step, Way.TO_CLIENT),
            Do.CRASH: lambda step: self._forwarders[step.target].crash(forgotten_count=step.amount),
            Do.CHANGE_POLICY: self._change_policy,
            Do.LET_TIME_PASS: self._let_time_pass,
            Do.SHIFT_CLOCK: lambda step: self._shift(step, step.amount),
            Do.SET_CLOCK: lambda step: self._shift(step, 0),
            Do.SILENCE_DATABASE: self._silence,
            Do.END_SILENCE: self._end_silence,
            Do.CUT_SILENCE: self._cut_silence,
            Do.DAMAGE_FILE: self._damage,
            Do.FILL_DISK: self._fill,
            Do.FREE_DISK: self._free,
            Do.REFUSE_WRITES: self._refuse_writes,
            Do.ALLOW_WRITES: self._allow_writes,
        }
        if stage.postgres is not None:
            postgres = stage.postgres
            self._do |= {
                Do.KILL_DATABASE: lambda _: postgres.kill(),
                Do.STOP_DATABASE: lambda _: postgres.stop_at_once(),
                Do.START_DATABASE: lambda _: stage.start_database(),
                Do.PAUSE_DATABASE: lambda _: postgres.pause(),
                Do.RESUME_DATABASE: lambda _: stage.start_database(),
                Do.KILL_SESSION: lambda _: postgres.kill_session(stage.database),
                Do.END_SESSIONS: lambda _: postgres.end_sessions(stage.database),
            }

    def run(self) -> None:
        """Returns when every step is done."""
        for step in self._stage.plan.steps:
            self._await_due(step)
            time.sleep(step.lag_seconds)
            for replica in self._stage.replicas:
                replica.check_alive()
            self._progress.history.note("conductor", What.STEP, step=str(step))
            self._do[step.do](step)
            self._last_step_at = time.monotonic()
            if step.do in _ENDS_AN_OUTAGE and self._stage.can_be_read:
                self._check_acked()

    def _await_due(self, step: Step) -> None:
        def is_due() -> bool:
            quiet_since = max(self._progress.last_ack_at, self._last_step_at)
            return (
                self._progress.acked_count >= step.at
                or time.monotonic() - quiet_since > step.patience_seconds
                or not any(forwarder.is_alive() for forwarder in self._forwarders)
            )

        wait_until(is_due, f"{step} is due", seconds=120)

    def _replica(self, step: Step) -> Replica:
        return self._stage.replicas[step.target]

    def _if_up(self, step: Step, do: Callable[[Replica], None]) -> None:
        """Does it unless the server waits for the database, and so is not there."""
        if self._replica(step) not in self._stage.awaiting_database:
            do(self._replica(step))

    def _start(self, step: Step) -> None:
        replica = self._replica(step)
        if replica.is_draining:
            replica.await_stopped()
        # One that waits for the database is started with it, be that before this step or after.
        if not replica.is_up and replica not in self._stage.awaiting_database:
            self._stage.start([replica])

    def _cut_after(self, step: Step, way: Way) -> None:
        self._replica(step).proxy.cut_after(step.amount, way)

    def _change_policy(self, step: Step) -> None:
        self._is_policy_changed = True
        self._operator.make(self._stage.plan.changes[step.target])

    def _let_time_pass(self, step: Step) -> None:
        with Ages.open(self._stage.url) as ages:
            ages.let_pass(timedelta(minutes=step.amount))
            ages.await_sweep()

    def _shift(self, step: Step, seconds: int) -> None:
        clock = self._replica(step).clock
        if clock is not None:
            clock.shift(timedelta(seconds=seconds))

    def _silence(self, step: Step) -> None:
        self._stage.database_proxies[step.target].silence()
        replica = self._replica(step)
        if not step.amount or replica not in self._stage.serving():
            return
        replica.await_health(serving=False, seconds=_HEALTH_SECONDS)
        if self._submit_once(replica, _FILLER):
            raise RoundError("a batch was acknowledged without a database")

    def _end_silence(self, step: Step) -> None:
        self._stage.database_proxies[step.target].end_silence()
        self._await_serving(self._replica(step))

    def _cut_silence(self, step: Step) -> None:
        self._stage.database_proxies[step.target].cut()
        self._end_silence(step)

    def _await_serving(self, replica: Replica) -> None:
        if replica in self._stage.serving():
            replica.await_health(serving=True, seconds=_HEALTH_SECONDS)

    def _damage(self, step: Step) -> None:
        assert self._stage.sqlite_file is not None
        damage(
            self._replica(step),
            self._stage.sqlite_file,
            list(Damage)[step.amount],
            records=[record for spare in self._stage.plan.spares for record in spare.records],
            directory=self._stage.directory,
        )

    def _fill(self, step: Step) -> None:
        if self._stage.disk is None:
            self._refuse_writes(step)
            return
        self._stage.disk.fill()
        self._stage.is_full = True
        self._check_refusal(self._replica(step))

    def _free(self, step: Step) -> None:
        if self._stage.disk is None:
            self._allow_writes(step)
            return
        self._stage.free_disk()
        self._replica(step).await_health(serving=True, seconds=_HEALTH_SECONDS)

    def _refuse_writes(self, step: Step) -> None:
        assert self._stage.sqlite_file is not None
        # The log of what is committed grows with every commit until it is folded in.
        log = self._stage.sqlite_file.with_name(f"{self._stage.sqlite_file.name}-wal")
        size = max(
            log.stat().st_size if log.exists() else 0, self._replica(step).log.stat().st_size
        )
        forbid_growth(self._replica(step).process_id, size)
        self._check_refusal(self._replica(step))

    def _allow_writes(self, step: Step) -> None:
        allow_growth(self._replica(step).process_id)
        self._replica(step).await_health(serving=True, seconds=_HEALTH_SECONDS)

    def _check_refusal(self, replica: Replica) -> None:
        """Sends new records until they are refused, and sees that the server says so and stays so.

        A batch that still finds room in what is allocated, a few MiB at most, is stored and
        acknowledged; and a probe that finds room makes the server serve, and leaves less of it.
        """
        looks = 0
        deadline = time.monotonic() + _HEALTH_SECONDS
        while looks < _LOOKS_WHILE_FULL:
            if time.monotonic() > deadline:
                raise RoundError("a server that cannot write says that it serves")
            time.sleep(_BETWEEN_LOOKS.total_seconds() if looks else 0)
            if not replica.is_serving():
                looks += 1
                continue
            looks = 0
            while self._submit_once(replica, self._spares[0] if self._spares else _FILLER):
                del self._spares[:1]
                if time.monotonic() > deadline:
                    raise RoundError("a full disk took every batch")

    def _submit_once(self, replica: Replica, spare: Delivery) -> bool:
        """Returns whether a batch was stored; raises where it was refused for another reason."""
        request = wire.SubmitBatchRequest(
            source=_SPARE_SOURCE, batch=batch_of(spare.item).to_message(1)
        )
        with grpc.insecure_channel(replica.address) as channel:
            call = IngestServiceStub(channel).SubmitBatch.future(request, timeout=_READ_SECONDS)
            code = call.code()
        if code is grpc.StatusCode.UNAVAILABLE:
            return False
        if code is not grpc.StatusCode.OK:
            raise RoundError(f"a server that cannot write gives {code}")
        self._note(spare, replica)
        return True

    def deliver_spares(self) -> None:
        """Delivers what no step has delivered."""
        for spare in self._spares:
            with self._stage.client(self._stage.replicas[0]) as client:
                client.submit_batch(spare.item, source=_SPARE_SOURCE)
            self._note(spare, self._stage.replicas[0])

    def _note(self, spare: Delivery, replica: Replica) -> None:
        batch = self._stage.plan.spares.index(spare) if spare in self._stage.plan.spares else -1
        self._progress.history.sent(_SPARE_SOURCE, batch, spare.records)
        self._progress.history.note(_SPARE_SOURCE, What.ACKED, batch=batch, server=replica.number)
        with self._progress.changed:
            self._progress.acked_records.update(spare.records)

    def _check_acked(self) -> None:
        """What is acknowledged before somebody reads is there when they read.

        Which policy is in force then can be told only until the first change.
        """
        if self._is_policy_changed:
            return
        with self._progress.changed:
            acked = tuple(self._progress.acked_records)
        replica = self._stage.serving()[0]
        with self._stage.client(replica) as client:
            missing = patiently(
                lambda: find_missing(ServerView(client), acked),
                UnreachableError,
                seconds=_READ_SECONDS,
            )
        if missing:
            raise RoundError(f"acknowledged and not stored: {missing}")

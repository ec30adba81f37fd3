"""Servers as the processes they are in production: started, killed, paused, drained."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.robustness.clocks import ServerClock, forget_clock
from tests.robustness.processes import children_of, is_alive, kill_if_alive
from tests.robustness.proxy import Proxy
from tests.robustness.serve import SetUp
from tests.robustness.waiting import RoundError, holds_within, wait_until

GRACE_SECONDS = 4
"""Of a drain: half of it for forwarders to leave by themselves, which takes them no time."""

_START_SECONDS = 40
_STOP_SECONDS = 15
COMMAND = Path(sys.executable).parent / "amiguard-server"
_REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """What every server of a round serves."""

    url: str
    database_connections: int
    set_up: SetUp
    keeps_findings_shortly: bool = False


def _import_paths() -> list[str]:
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]


class Replica:
    """One server. Whatever ends it but `kill` and `drain` is a failure of the round."""

    def __init__(
        self,
        number: int,
        service: Service,
        *,
        directory: Path,
        log: Path,
        proxy: Proxy,
        clock: ServerClock | None = None,
    ) -> None:
        self.number = number
        self.clock = clock
        self.proxy = proxy
        self.log = log
        self._service = service
        self._ready_file = directory / f"server-{number}.ready"
        self._process: Popen[bytes] | None = None
        self._port: int | None = None
        self._workers: list[int] = []
        self.is_paused = False
        self.is_draining = False

    @property
    def address(self) -> str:
        """Where the server itself listens, past its proxy."""
        return f"127.0.0.1:{self._port}"

    @property
    def is_up(self) -> bool:
        """Whether it has been started and not ended."""
        return self._process is not None

    @property
    def process_id(self) -> int:
        """The number the system knows the process by."""
        return self._running().pid

    def launch(self) -> None:
        """Starts the process; it serves after `await_ready`."""
        if self._process is not None:
            raise AssertionError(f"server {self.number} is running already")
        self._ready_file.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "tests.robustness.serve"),
            "serve",
            "--listen=127.0.0.1:0",
            f"--database={self._service.url}",
            f"--database-connections={self._service.database_connections}",
            "--insecure",
            f"--grace-seconds={GRACE_SECONDS}",
            f"--ready-file={self._ready_file}",
            "--log-format=json",
        ]
        if self._service.keeps_findings_shortly:
            command.append("--retention-findings=1d")
        with self.log.open("ab") as log:
            self._process = Popen(
                command,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _environment(self) -> dict[str, str]:
        set_up = self._service.set_up
        pauses = set_up.pauses.of_server(self.number)
        clock = {} if self.clock is None else self.clock.environment
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), *_import_paths()]),
            **replace(set_up, pauses=pauses).to_environment(),
            **clock,
        }

    def await_ready(self, *, is_open: bool = True) -> bool:
        """Returns whether it serves; False where it has ended with a failure instead.

        Clients find their way to it only where it `is_open`.
        """
        process = self._running()
        wait_until(
            lambda: self._ready_file.exists() or process.poll() is not None,
            f"server {self.number} serves",
            seconds=_START_SECONDS,
        )
        if process.poll() is not None:
            self._process = None
            if process.returncode != 1:
                raise RoundError(f"server {self.number} did not start: exit {process.returncode}")
            return False
        self._port = int(self._ready_file.read_text().rpartition(":")[2])
        if is_open:
            self.proxy.aim(self._port)
        return True

    def kill(self) -> None:
        """Ends it in the midst of whatever it does."""
        process = self._running()
        workers = children_of(process.pid)
        self.proxy.aim(None)
        process.kill()
        code = process.wait(_STOP_SECONDS)
        wait_until(
            lambda: not any(map(is_alive, workers)),
            f"the workers of server {self.number} end with it",
            seconds=_STOP_SECONDS,
        )
        self._process = None
        self.is_paused = False
        self._forget(process.pid, *workers)
        if code != -signal.SIGKILL:
            raise RoundError(f"server {self.number} had ended by itself: exit {code}")

    def kill_worker(self) -> None:
        """Kills one of the processes it has started, as a system short of memory may."""
        workers = children_of(self._running().pid)
        if workers:
            kill_if_alive(workers[0])
            self._forget(workers[0])

    def pause(self) -> None:
        """Stops it where it stands: its connections stay open and silent."""
        self._running().send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Lets it go on."""
        self._running().send_signal(signal.SIGCONT)
        self.is_paused = False

    def drain(self) -> None:
        """Asks it to stop as an orchestrator does; see `await_stopped`."""
        self._workers = children_of(self._running().pid)
        self._running().send_signal(signal.SIGTERM)
        self.is_draining = True

    def await_stopped(self) -> None:
        """Returns once it has ended after `drain`."""
        process = self._running()
        try:
            code = process.wait(GRACE_SECONDS + _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise RoundError(f"server {self.number} outlived its grace period") from None
        self._process = None
        self.is_draining = False
        self._forget(process.pid, *self._workers)
        self.proxy.aim(None)
        if code != 0:
            raise RoundError(f"server {self.number} drained with exit {code}")

    def end(self) -> None:
        """Leaves no process behind, whatever has happened."""
        if self._process is not None:
            workers = children_of(self._process.pid)
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
            self._forget(self._process.pid, *workers, *self._workers)
            self._process = None

    def has_ended(self) -> bool:
        """Says whether the process has ended by itself; what it serves then is over."""
        return self._running().poll() is not None

    def take_leave(self) -> int:
        """Returns what a process ended with that `has_ended` says has ended."""
        process = self._running()
        self._process = None
        self.proxy.aim(None)
        return process.wait(_STOP_SECONDS)

    def check_alive(self) -> None:
        """Raises RoundError where the process has ended by itself."""
        if self._process is None or self.is_draining:
            return
        if self._process.poll() is not None:
            raise RoundError(f"server {self.number} ended by itself: {self._process.returncode}")

    def is_serving(self) -> bool:
        """Says whether its health service says so; it does not where it says nothing."""
        return bool(self._health() == health_pb2.HealthCheckResponse.SERVING)

    def refuses(self) -> bool:
        """Says whether it has ended by itself, or its health service says that it does not serve.

        To say nothing for a while is no refusal.
        """
        not_serving: int = health_pb2.HealthCheckResponse.NOT_SERVING
        return self._running().poll() is not None or self._health() == not_serving

    def _health(self) -> int | None:
        with grpc.insecure_channel(self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                response = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                return None
        return int(response.status)

    def await_health(self, *, serving: bool, seconds: float) -> None:
        """Returns once the health service says so."""
        said = "SERVING" if serving else "NOT_SERVING"
        if not holds_within(lambda: self.is_serving() is serving, seconds):
            raise RoundError(f"server {self.number} is not {said} within {seconds:g} s")

    def _forget(self, *process_ids: int) -> None:
        if self.clock is not None:
            for process_id in process_ids:
                forget_clock(process_id)

    def _running(self) -> Popen[bytes]:
        if self._process is None:
            raise AssertionError(f"server {self.number} is not running")
        return self._process

"""Everybody who uses the servers of a round at the same time."""

from __future__ import annotations

from threading import Thread

from amiguard.v1.finding_service_pb2_grpc import FindingServiceStub
from tests.robustness.forwarders import Forwarder, Progress
from tests.robustness.handler import Handler, find_undone
from tests.robustness.operators import Operator, await_applied
from tests.robustness.stage import Stage
from tests.robustness.waiting import wait_until
from tests.robustness.watcher import Watcher

_WATCHER_COUNT = 2
_DELIVERY_SECONDS = 120


class Clients:
    """Forwarders, watchers, an operator, and a handler where the plan has one."""

    def __init__(self, stage: Stage) -> None:
        plan = stage.plan
        self._stage = stage
        self.progress = Progress()
        self.forwarders = [
            Forwarder(
                n,
                forwarding,
                addresses=stage.open_doors(),
                progress=self.progress,
                last_server=stage.last_server,
            )
            for n, forwarding in enumerate(plan.forwardings)
        ]
        history = self.progress.history
        self.watchers = [
            Watcher(f"watcher-{n}", stage.open_doors(), history) for n in range(_WATCHER_COUNT)
        ]
        self.operator = Operator(stage.open_doors(), history)
        self._handler = Handler(stage.open_doors(), history)

    def start(self) -> None:
        """Lets everybody begin."""
        threads: list[Thread] = [*self.watchers, *self.forwarders, self.operator]
        if self._stage.plan.has_handler:
            threads.append(self._handler)
        for thread in threads:
            thread.start()

    def finish(self) -> list[str]:
        """Returns what went wrong, once everything that was to be sent is acknowledged.

        Only the watchers go on.
        """
        wait_until(
            lambda: not any(forwarder.is_alive() for forwarder in self.forwarders),
            "every batch is acknowledged",
            seconds=_DELIVERY_SECONDS,
        )
        self.operator.finish()
        self._handler.stop()
        await_applied(self._stage.replicas[-1].address)
        problems = [str(f.failure) for f in self.forwarders if f.failure is not None]
        problems += [f"{f.name} died" for f in self.forwarders if not f.failure and not f.is_done]
        problems += self.progress.complaints + self.operator.complaints + self._handler.complaints
        with self._stage.client(self._stage.replicas[0]) as client:
            stub = FindingServiceStub(client.connection.channel)
            return problems + find_undone(stub, self._handler.taken)

    def close(self) -> None:
        """Ends whoever is still at it."""
        self.operator.close()
        self._handler.close()
        for watcher in self.watchers:
            watcher.stop()

    def check_watchers(self) -> list[str]:
        """Returns what the watchers, which have ended, were sent and should not have been."""
        tokens = self._stage.page_tokens()
        is_policy_changed = bool(self._stage.plan.changes)
        return [
            complaint
            for watcher in self.watchers
            for complaint in watcher.check(tokens, is_policy_changed=is_policy_changed)
        ]

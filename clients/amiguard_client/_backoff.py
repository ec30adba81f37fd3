"""Waiting between attempts at a stream that breaks, and knowing when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amiguard_client.errors import (
    AmiguardError,
    OverloadedError,
    ServerFaultError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from amiguard_client.retry import RetryPolicy, Timing

_MAX_SERVER_FAULTS = 5
"""Failures in a row of a server that is there but cannot cope: what it is sent may be what it
cannot cope with, and would be sent for as long as the retry policy allows."""
_PERMANENT_CODES = {"UNIMPLEMENTED", "FAILED_PRECONDITION"}


class Backoff:
    """Counts failures in a row, and waits after each as a retry policy says."""

    def __init__(
        self,
        retry: RetryPolicy,
        timing: Timing,
        *,
        on_retry: Callable[[AmiguardError, timedelta], None] | None = None,
    ) -> None:
        self._retry = retry
        self._timing = timing
        self._on_retry = on_retry
        self._failures = 0
        self._failing_since = 0.0

    def reset(self) -> None:
        """Starts the count anew, after a success."""
        self._failures = 0

    def wait(self, failure: AmiguardError) -> None:
        """Waits before the next attempt, or raises the failure where there should be none."""
        if not _may_pass(failure):
            raise failure
        now = self._timing.now()
        if self._failures == 0:
            self._failing_since = now
        self._failures += 1
        delay = self._retry.delay(self._failures, jitter=self._timing.jitter())
        if failure.retry_after is not None:
            delay += failure.retry_after
        patience = self._retry.give_up_after.total_seconds() - (now - self._failing_since)
        if (
            self._failures == self._retry.max_attempts
            or delay.total_seconds() > patience
            or (_is_fault(failure) and self._failures >= _MAX_SERVER_FAULTS)
        ):
            raise failure
        if self._on_retry is not None:
            self._on_retry(failure, delay)
        self._timing.sleep(delay.total_seconds())


def _is_fault(failure: AmiguardError) -> bool:
    """Says whether the server is there and could not cope; ABORTED is a lost race in its store."""
    return isinstance(failure, ServerFaultError) or failure.code == "ABORTED"


def _may_pass(failure: AmiguardError) -> bool:
    """Says whether the same may go well later."""
    if failure.code in _PERMANENT_CODES or failure.reason == "STREAM_PROTOCOL":
        return False
    return isinstance(failure, UnreachableError | OverloadedError) or _is_fault(failure)

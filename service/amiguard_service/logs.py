"""How the server writes its log: one line an event, JSON unless a person is watching."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import Any, Final, TextIO, cast

import structlog

SERVER_LISTENING: Final = "server.listening"
SERVER_DRAINING: Final = "server.draining"
SERVER_STOPPED: Final = "server.stopped"
RPC_DONE: Final = "rpc.done"
RPC_FAILED: Final = "rpc.failed"
LOGIN_FAILED: Final = "login.failed"
LIMIT_REACHED: Final = "limit.reached"
CONFIG_RELOADED: Final = "config.reloaded"
CONFIG_RELOAD_FAILED: Final = "config.reload_failed"
STOP_FAILED: Final = "server.stop_failed"
STORE_UNAVAILABLE: Final = "store.unavailable"
STORE_AVAILABLE: Final = "store.available"
STORE_REPLACED: Final = "store.replaced"
STORE_DAMAGED: Final = "store.damaged"
SCHEMA_CHANGED: Final = "schema.changed"
COMMIT_SPLIT: Final = "commit.split"
CLOCK_WRONG: Final = "clock.wrong"
CLOCK_RIGHT: Final = "clock.right"
SWEEP_DONE: Final = "sweep.done"
ENTRIES_EXPIRED: Final = "entries.expired"
TASK_TIMED_OUT: Final = "task.timed_out"
STORE_NOT_DURABLE: Final = "store.not_durable"
TASK_FAILED: Final = "task.failed"
SINK_FAILING: Final = "sink.failing"
SINK_RECOVERED: Final = "sink.recovered"
SINK_GAP: Final = "sink.gap"
DELIVERIES_DEAD: Final = "deliveries.dead"
DELIVERIES_DROPPED: Final = "deliveries.dropped"
WORKER_DIED: Final = "worker.died"

_QUIET: Final = ("aiohttp", "alembic", "apprise", "asyncio", "grpc", "sqlalchemy", "urllib3")
"""Libraries that tell at INFO what is of no use to an operator, and some at DEBUG what is secret in
the URL of a sink."""


class _ForgivingStream:
    """A stream that drops what cannot be written.

    A disk that is full, or a collector that has died, must not fail the calls the log tells of.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty

    def write(self, text: str) -> int:
        """Writes what can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        with suppress(OSError):
            self._stream.flush()


def _forgiving(stream: TextIO) -> TextIO:
    # Of a stream, logs are written with these three methods alone.
    return cast("TextIO", _ForgivingStream(stream))


def configure(*, level: str, style: str, stream: TextIO | None = None) -> None:
    """Sends our events and those of libraries to one stream, in one form.

    `style` is `json`, `console` or `auto`: the console's where the stream is a terminal.
    """
    target = _forgiving(sys.stderr if stream is None else stream)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_text: list[Any]
    if style == "console" or (style == "auto" and target.isatty()):
        as_text = [
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(),
                # Its own formatter shows the values of variables, which may be records.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    else:
        as_text = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ]
    structlog.configure(
        processors=[*shared, *as_text],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *as_text],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))

"""A forwarder at work in this process, and what is seen of it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from amiguard_client import Client, RetryPolicy, connect
from amiguard_client.forward.aws import open_client
from amiguard_client.forward.counts import MESSAGES, OBJECTS, RECORDS, Counts
from amiguard_client.forward.dead_letters import DeadLetters
from amiguard_client.forward.deliveries import Source
from amiguard_client.forward.forwarder import Forwarder, ForwardSettings
from amiguard_client.forward.s3 import Fetcher
from amiguard_client.forward.sqs import SqsSettings, SqsSource
from amiguard_client.forward.sqs_queue import Queue
from tests.clients.scripted_server import ScriptedServer

WAIT_SECONDS = 30
QUICK = RetryPolicy(
    initial_delay=timedelta(milliseconds=5),
    max_delay=timedelta(milliseconds=20),
    give_up_after=timedelta(hours=1),
)


OTHER = b'{"eventName":"GetUser"}'
"""A record that the rule has no interest in."""


def committed(server: ScriptedServer) -> list[bytes]:
    """Returns every record that was committed, in no order."""
    return sorted(record for batch in server.ingest.committed for record in batch)


def log_file(*records: bytes) -> bytes:
    """Returns a log file as CloudTrail delivers it."""
    return gzip.compress(b'{"Records":[' + b",".join(records) + b"]}")


@dataclass
class Scene:
    """A forwarder and what it counts and says; its source is made with it."""

    client: Client
    settings: ForwardSettings
    counts: Counts = field(default_factory=Counts)
    said: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    forwarder: Forwarder = field(init=False)
    failure: BaseException | None = None

    def __post_init__(self) -> None:
        self.forwarder = Forwarder(self.client, self.settings, counts=self.counts, say=self.say)

    def say(self, text: str) -> None:
        """Keeps what a person would be told."""
        with self.changed:
            self.said.append(text)
            self.changed.notify_all()

    def wait_for_word(self, part: str) -> None:
        """Returns once something with these words was said."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: any(part in text for text in self.said), WAIT_SECONDS
            ), self.said

    def sqs(
        self,
        queue_url: str,
        *,
        dead_letters: DeadLetters | None = None,
        visibility_seconds: int = 60,
        buckets: tuple[str, ...] = (),
    ) -> SqsSource:
        """Makes the source of a queue."""
        return SqsSource(
            Queue(open_client("sqs"), queue_url),
            Fetcher(
                open_client("s3"),
                self.forwarder.patience,
                spool_bytes=self.settings.spool_bytes,
                max_object_bytes=self.settings.max_object_bytes,
            ),
            SqsSettings(
                wait=timedelta(seconds=1),
                visibility=timedelta(seconds=visibility_seconds),
                buckets=buckets,
            ),
            self.counts,
            self.forwarder.patience,
            self.say,
            dead_letters,
        )

    @contextmanager
    def running(self, source: Source) -> Iterator[threading.Thread]:
        """Runs the forwarder beside the block, and stops it in order at its end."""

        def work() -> None:
            try:
                self.forwarder.run(source)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.failure = error

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield thread
        finally:
            self.forwarder.stop()
            thread.join(WAIT_SECONDS)
        assert not thread.is_alive()

    def counted(self) -> dict[str, int]:
        """Returns what was counted of objects, records and messages, without zeros."""
        return {
            f"{metric.name} {value}": int(self.counts.get(metric, value))
            for metric in (OBJECTS, RECORDS, MESSAGES)
            for value in metric.values
            if self.counts.get(metric, value)
        }


@contextmanager
def scene(
    target: str, *, once: bool = True, token: str | None = None, **settings: object
) -> Iterator[Scene]:
    """Gives a forwarder to a server, whose waits are short."""
    chosen: dict[str, object] = {"is_once": once, "retry": QUICK, "in_flight": 3, **settings}
    with connect(target, insecure=True, token=token) as client:
        yield Scene(client, ForwardSettings(**chosen))  # type: ignore[arg-type]  # by name


def letters(folder: Path) -> list[Path]:
    """Returns the dead letters in a folder."""
    return sorted(folder.glob("*.json"))

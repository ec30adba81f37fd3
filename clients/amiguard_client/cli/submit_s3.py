"""`amiguardctl submit s3://BUCKET/PREFIX`: the log files of a trail, where AWS put them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click

from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.output import count_text, say
from amiguard_client.cli.times import Time
from amiguard_client.left_out import Reason
from amiguard_client.log_names import begins_as_log_file, has_no_extension

if TYPE_CHECKING:
    from concurrent.futures import Future

    from amiguard_client.cli.discovery import Discovery
    from amiguard_client.forward.journal import Journal
    from amiguard_client.forward.notifications import ObjectAt
    from amiguard_client.forward.s3 import Fetcher
    from amiguard_client.forward.trail import Walk
    from amiguard_client.packing import LogStream
    from amiguard_client.summary import BatchResult

_C = TypeVar("_C", bound=Callable[..., Any])

SCHEME = "s3://"
_PARALLEL = 8
"""Prefixes that are listed, and objects that are fetched, at a time."""
_SPOOL_BYTES = 8 * 1024 * 1024
_MAX_OBJECT_BYTES = 1024 * 1024 * 1024

_OPTIONS = (
    click.option(
        "--since", type=Time(), help="From S3: log files delivered at or after this time."
    ),
    click.option("--until", type=Time(), help="From S3: log files delivered before this time."),
    click.option(
        "--account",
        "accounts",
        multiple=True,
        metavar="ID",
        help="From S3: log files of this account alone, by folder or name; may be repeated.",
    ),
    click.option(
        "--region",
        "regions",
        multiple=True,
        metavar="NAME",
        help="From S3: log files of this region alone, by folder or name; may be repeated.",
    ),
    click.option(
        "--state",
        type=click.Path(dir_okay=False, path_type=Path),
        help="From S3: file that remembers what was acknowledged, for a later run to leave out.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Which objects of the buckets are meant, and the file that remembers those acknowledged."""

    since: datetime | None
    until: datetime | None
    accounts: tuple[str, ...]
    regions: tuple[str, ...]
    state: Path | None

    @property
    def is_given(self) -> bool:
        """Whether any of the options was given."""
        return any((self.since, self.until, self.accounts, self.regions, self.state))


def s3_options(command: _C) -> _C:
    """Adds the options that tell which objects are meant."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class Objects:
    """The log files of some buckets, fetched ahead of the submission and remembered after it."""

    def __init__(
        self,
        walks: Sequence[Walk],
        fetcher: Fetcher,
        *,
        journal: Journal | None,
        discovery: Discovery,
    ) -> None:
        self._walks = walks
        self._fetcher = fetcher
        self._journal = journal
        self._discovery = discovery
        self._fruitful: set[str] = set()
        """The URLs below which there is a log file."""
        self._guess_count = 0
        self._guess: ObjectAt | None = None
        self.known_count = 0
        """Objects that were acknowledged in an earlier run, and so left out."""

    def open_all(self) -> Iterator[LogStream]:
        """Yields the objects, each under its URL; one that cannot be had costs no other.

        Raises an AwayError where S3 is away for longer than is waited.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="amiguard-fetch") as pool:
            fetched: deque[tuple[Walk, ObjectAt, Future[BinaryIO]]] = deque()
            try:
                for walk, at in self._find():
                    fetched.append((walk, at, pool.submit(self._fetcher.fetch, at)))
                    if len(fetched) == _PARALLEL:
                        yield from self._open(*fetched.popleft())
                while fetched:
                    yield from self._open(*fetched.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                for _, _, ahead in fetched:
                    ahead.add_done_callback(_close)
        self._tell()

    def take(self, result: BatchResult) -> None:
        """Takes in an ack: after the last one of an object, the object is remembered."""
        if self._journal is not None and result.is_last_of_input and result.input_name:
            self._journal.add(*_entry_of(result.input_name))

    def _find(self) -> Iterator[tuple[Walk, ObjectAt]]:
        """Yields what is meant and was not acknowledged before, with the walk that found it."""
        group, known = None, None
        for walk in self._walks:
            for found in walk:
                folder, name = _entry_of(str(found.at))
                if self._journal is not None and folder != group:
                    group, known = folder, self._journal.items(folder)
                # Only one that is named can be refused: the walk leaves out the others.
                if self._discovery.is_refused(str(found.at)):
                    self._fruitful.add(walk.selection.url)
                elif known is not None and name in known:
                    self.known_count += 1
                    self._fruitful.add(walk.selection.url)
                elif not found.size:
                    say(f"{found.at}: empty, left out")
                    self._fruitful.add(walk.selection.url)
                else:
                    yield walk, found.at

    def _open(self, walk: Walk, at: ObjectAt, fetched: Future[BinaryIO]) -> Iterator[LogStream]:
        from amiguard_client.forward.errors import BadObjectError, ObjectFaultError
        from amiguard_client.packing import LogStream

        try:
            stream = fetched.result()
        except (BadObjectError, ObjectFaultError) as error:
            self._fruitful.add(walk.selection.url)
            self._discovery.problem(str(error))
            return
        is_named = at.key == walk.selection.prefix
        if is_named or not has_no_extension(at.key) or begins_as_log_file(stream):
            self._fruitful.add(walk.selection.url)
            if walk.selection.is_a_guess(at.key):
                self._guess_count += 1
                self._guess = self._guess or at
            yield LogStream(stream, name=str(at))
        else:
            stream.close()
            self._discovery.left_out.add(Reason.OTHER_CONTENT, at)

    def _tell(self) -> None:
        """Tells of prefixes without a log file, and of files that do not say whose they are."""
        for walk in self._walks:
            if walk.selection.url not in self._fruitful:
                meant = " of the times, accounts and regions" if walk.selection.is_narrowed else ""
                self._discovery.problem(
                    f"{walk.selection.url}: no log file{meant} below this prefix"
                )
        if self._guess_count:
            files = count_text(self._guess_count, "file")
            say(f"took {files} whose name does not say account and region, such as {self._guess}")


@contextmanager
def objects_of(
    urls: Sequence[str], meant: Meant, *, give_up_after: timedelta, discovery: Discovery
) -> Iterator[Objects]:
    """Gives the log files that are meant below `s3://BUCKET/PREFIX`; a problem ends the command."""
    from amiguard_client.forward.aws import open_client
    from amiguard_client.forward.counts import Counts, Outages
    from amiguard_client.forward.errors import ForwardError
    from amiguard_client.forward.journal import Journal
    from amiguard_client.forward.s3 import Fetcher
    from amiguard_client.forward.stopping import Patience, Stop
    from amiguard_client.forward.trail import Walk, selection_of
    from amiguard_client.retry import RetryPolicy

    stop = Stop()
    retry = RetryPolicy(give_up_after=give_up_after)
    patience = Patience(retry, stop, Outages(say, Counts()))
    try:
        selections = [
            selection_of(
                url,
                since=meant.since,
                until=meant.until,
                accounts=meant.accounts,
                regions=meant.regions,
            )
            for url in urls
        ]
        client = open_client("s3", pool_size=2 * _PARALLEL)
        walks = [
            Walk(client, one, patience, parallel=_PARALLEL, left_out=discovery.left_out)
            for one in selections
        ]
        fetcher = Fetcher(client, patience, _SPOOL_BYTES, _MAX_OBJECT_BYTES)
        with Journal(meant.state) if meant.state else nullcontext() as journal:
            yield Objects(walks, fetcher, journal=journal, discovery=discovery)
    except ForwardError as error:
        say(f"Error: {error}")
        click.get_current_context().exit(FAILED)
    finally:
        # Whatever still waits for S3 need not.
        stop.cut()


def _close(fetched: Future[BinaryIO]) -> None:
    """Closes what was fetched and is not wanted any more."""
    if not fetched.cancelled() and fetched.exception() is None:
        fetched.result().close()


def _entry_of(url: str) -> tuple[str, str]:
    """Returns what stands for an object in a journal: its prefix and the rest of its key."""
    prefix, slash, name = url.rpartition("/")
    return prefix + slash, name

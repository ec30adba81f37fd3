"""A SQLite database whose files are damaged or taken away, and put back as they were."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import grpc

from amiguard.v1 import ingest_service_pb2 as wire
from amiguard.v1.ingest_service_pb2_grpc import IngestServiceStub
from tests.data.log_files import compressed, log_content
from tests.robustness.faults import Damage
from tests.robustness.servers import Replica
from tests.robustness.waiting import RoundError, wait_until

_NOTICE_SECONDS = 20
_STAYS_SECONDS = 2.5
"""As long as a server needs to try its database again twice."""
_CALL_SECONDS = 10
_STOP_SECONDS = 15
_SIDES = ("", "-wal", "-shm")
_PAGE_BYTES = 4096
_CTL = Path(sys.executable).parent / "amiguardctl"


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one database, and copies of them as they were."""

    main: Path
    saved: Path

    def side(self, suffix: str) -> Path:
        """Returns the database's file itself, or the one beside it of this suffix."""
        return self.main.with_name(f"{self.main.name}{suffix}")

    def save(self) -> None:
        """Copies what is there, while nobody writes."""
        self.saved.mkdir(exist_ok=True)
        for suffix in ("", "-wal"):
            self._copied(suffix).unlink(missing_ok=True)
            if self.side(suffix).exists():
                shutil.copyfile(self.side(suffix), self._copied(suffix))

    def restore(self) -> None:
        """Puts the copies back in the place of whatever is there."""
        for suffix in _SIDES:
            self.side(suffix).unlink(missing_ok=True)
            if self._copied(suffix).exists():
                shutil.copyfile(self._copied(suffix), self.side(suffix))

    def _copied(self, suffix: str) -> Path:
        return self.saved / f"saved{suffix}"


def damage(
    replica: Replica, main: Path, kind: Damage, *, records: Sequence[bytes], directory: Path
) -> None:
    """Damages the files below a server, sees that it refuses, and puts them back.

    Clients are kept away meanwhile: what a server takes in before it notices may be lost with the
    files, what it takes in afterwards may not, and so it must take nothing. A forwarder that is
    kept waiting calls no file bad. The server serves again when this returns.
    """
    files = Files(main, directory / "saved")
    replica.proxy.aim(None)
    replica.proxy.cut()
    if kind in _AT_REST:
        replica.kill()
        files.save()
        _AT_REST[kind](files)
        replica.launch()
        is_up = replica.await_ready(is_open=False)
    else:
        replica.pause()
        files.save()
        _WHILE_RUNNING[kind](files)
        replica.resume()
        is_up = True
    if is_up:
        with _forwarding(replica.address, records, directory) as dead_letters:
            _check_refusal(replica, kind, records)
        buried = [path.name for path in dead_letters.rglob("*") if path.is_file()]
        if buried:
            raise RoundError(f"{kind}: a forwarder calls good files bad: {buried}")
        if replica.has_ended():
            code = replica.take_leave()
            if code <= 0:
                raise RoundError(f"{kind}: the server ended with exit {code}, not as a failure")
        else:
            replica.kill()
    files.restore()
    replica.launch()
    if not replica.await_ready():
        raise RoundError(f"{kind}: the server does not start on the files as they were")


def _check_refusal(replica: Replica, kind: Damage, records: Sequence[bytes]) -> None:
    deadline = time.monotonic() + _NOTICE_SECONDS
    taken = 0
    while not replica.refuses():
        if time.monotonic() > deadline:
            raise RoundError(f"{kind}: nothing noticed; {taken} batches were acknowledged")
        code = _submit(replica.address, records)
        taken += code is grpc.StatusCode.OK
        if code not in {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}:
            raise RoundError(f"{kind}: a damaged database gives {code}")
    until = time.monotonic() + _STAYS_SECONDS
    while time.monotonic() < until and not replica.has_ended():
        if _submit(replica.address, records) is grpc.StatusCode.OK:
            raise RoundError(f"{kind}: a batch was acknowledged after it had been noticed")


def _submit(address: str, records: Sequence[bytes]) -> grpc.StatusCode:
    request = wire.SubmitBatchRequest(
        source="somebody",
        batch=wire.EventBatch(sequence=1, records=wire.RecordList(records=records)),
    )
    with grpc.insecure_channel(address) as channel:
        call = IngestServiceStub(channel).SubmitBatch.future(request, timeout=_CALL_SECONDS)
        return call.code()


@contextmanager
def _forwarding(address: str, records: Sequence[bytes], directory: Path) -> Iterator[Path]:
    """Forwards each record as a log file of its own meanwhile; gives where bad ones would go."""
    inbox, dead_letters = directory / "inbox", directory / "dead-letters"
    for folder in (inbox, dead_letters):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for number, record in enumerate(records):
        (inbox / f"{number}.json.gz").write_bytes(compressed(log_content([record])))
    command = [str(_CTL), "--server", address, "--insecure", "forward", "directory", str(inbox)]
    command += ["--dead-letter", str(dead_letters), "--settle", "0s", "--poll", "1s"]
    with Popen(
        command,
        env={**os.environ, "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as forwarder:
        try:
            # It remembers there what it has forwarded, and so has begun.
            wait_until(
                (inbox / ".amiguardctl-forward").exists, "a forwarder begins", seconds=_STOP_SECONDS
            )
            yield dead_letters
        finally:
            forwarder.kill()


def overwrite_pages(files: Files) -> None:
    """Overwrites the roots of the table that every commit writes to, and of its indexes."""
    with closing(sqlite3.connect(files.main)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        roots = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'waiting_records'"
        ).fetchall()
    with files.main.open("r+b") as database:
        for (page,) in roots:
            database.seek((page - 1) * _PAGE_BYTES)
            database.write(b"\xa5" * _PAGE_BYTES)


def cut_short(files: Files) -> None:
    """Leaves half of the pages."""
    with closing(sqlite3.connect(files.main)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(files.main, files.main.stat().st_size // 2 // _PAGE_BYTES * _PAGE_BYTES)


def _remove(files: Files) -> None:
    for suffix in _SIDES:
        files.side(suffix).unlink(missing_ok=True)


def _replace(files: Files) -> None:
    """Moves an older copy, as of a backup that somebody restores, over the database."""
    older = files.side(".older")
    shutil.copyfile(files.main, older)
    older.replace(files.main)
    for suffix in _SIDES[1:]:
        files.side(suffix).unlink(missing_ok=True)


_AT_REST: dict[Damage, Callable[[Files], None]] = {
    Damage.PAGES_OVERWRITTEN: overwrite_pages,
    Damage.CUT_SHORT: cut_short,
}
_WHILE_RUNNING: dict[Damage, Callable[[Files], None]] = {
    Damage.LOG_REMOVED: lambda files: files.side("-wal").unlink(missing_ok=True),
    Damage.FILES_REMOVED: _remove,
    Damage.REPLACED: _replace,
}

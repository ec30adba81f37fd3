"""A small disk that can be filled to the last byte and freed again."""

from __future__ import annotations

import errno
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.robustness.waiting import wait_until

_SIZE_MIB = 48
_UMOUNT_SECONDS = 20
_CHUNK_SIZES = (1024 * 1024, 64 * 1024, 4096, 1)


class SmallDisk:
    """A file system in memory of a few MiB."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self) -> None:
        """Leaves no byte free."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in _CHUNK_SIZES:
                try:
                    while ballast.write(bytes(size)):
                        pass
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def free(self) -> None:
        """Gives back what `fill` took."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(directory: Path) -> Iterator[SmallDisk | None]:
    """Gives a disk at a new directory until the end of the block; None where it may not be."""
    directory.mkdir()
    if not _run("mount", "-t", "tmpfs", "-o", f"size={_SIZE_MIB}m", "tmpfs", str(directory)):
        yield None
        return
    try:
        yield SmallDisk(directory)
    finally:
        # Whoever was killed just now may hold a file of it open for a moment.
        wait_until(lambda: _run("umount", str(directory)), "umount", seconds=_UMOUNT_SECONDS)


def forbid_growth(process_id: int, size: int) -> None:
    """Makes every write of a process past a file's first `size` bytes fail."""
    _, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (size, hard))


def allow_growth(process_id: int) -> None:
    """Takes back what `forbid_growth` did."""
    _, hard = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (hard, hard))


def _run(program: str, *arguments: str) -> bool:
    """Says whether a program did what it was asked."""
    path = shutil.which(program)
    if path is None:
        return False
    done = subprocess.run([path, *arguments], check=False, capture_output=True)
    return done.returncode == 0

"""Notices that a SQLite file was removed or replaced: what is acknowledged then would be lost.

SQLite goes on with the file that it opened, whatever stands at its path. Nothing here opens a file:
closing it again would drop the locks that SQLite holds in this process.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from amiguard_service.store.errors import StoreReplacedError

_BESIDE: Final = ("-wal", "-shm")

_Identity = tuple[int, int]


class FileGuard:
    """One SQLite file and the two beside it, as they were when the guard was made.

    It holds a connection open: as long as there is one, SQLite itself, in whichever process, makes
    none of the files anew, whoever checkpoints, backs up or closes what else is open.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Takes a connection in mode WAL, which is the guard's from now on."""
        self._connection = connection
        # A read opens the log and its index.
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        name = connection.execute("PRAGMA database_list").fetchone()[2]
        paths = [Path(name), *(Path(name + suffix) for suffix in _BESIDE)] if name else []
        self._files = {path: found for path in paths if (found := _identify(path)) is not None}

    def check(self) -> None:
        """Raises StoreReplacedError where a file is not the one that was opened; microseconds."""
        for number, (path, opened) in enumerate(self._files.items()):
            found = _identify(path)
            if found == opened:
                continue
            what = "removed" if found is None else "replaced"
            raise StoreReplacedError(
                f"{path} was {what} while the server ran; put the database in place, without a "
                "former -wal and -shm beside it, and start the server",
                # The log goes into the database then. Else SQLite would delete, by its name, what
                # stands there now.
                may_close=number > 0 and found is None,
            )

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def _identify(path: Path) -> _Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, in every commit
    except OSError:
        return None
    return status.st_dev, status.st_ino

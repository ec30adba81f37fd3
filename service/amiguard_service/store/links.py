"""Open connections that can be cut, so that a silent database holds nobody up for ever."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Dialect, Engine, event

from amiguard_service.store.errors import StoreUnavailableError

_CLOSED: Final = "this server stops, and no longer waits for the database"


class Links:
    """The connections of one PostgreSQL pool. Safe to use from any thread.

    A thread that waits for an answer cannot be ended, and TCP alone notices a partition after
    minutes or, where something between keeps it open, never. A cut ends the wait with an error.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: WeakSet[Any] = WeakSet()
        self._is_closed = False

    def follow(self, engine: Engine) -> None:
        """Keeps every connection that a pool makes from now on."""
        event.listen(engine, "do_connect", self._connect)

    def cut(self) -> None:
        """Cuts every connection: whoever waits for an answer gets an error instead."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            # Its owner may close it meanwhile. In the moment between the two calls the number could
            # pass to another file, which we accept: it is no socket, or a client that comes again.
            with (
                suppress(OSError, connection.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as same,
            ):
                same.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cuts every connection, and refuses to make others."""
        self._is_closed = True
        self.cut()

    def _connect(
        self, dialect: Dialect, _record: object, arguments: list[Any], parameters: dict[str, Any]
    ) -> Any:
        if self._is_closed:
            raise StoreUnavailableError(_CLOSED)
        driver: Any = dialect.loaded_dbapi
        try:
            connection: Any = dialect.connect(*arguments, **parameters)
        except driver.errors.ConnectionTimeout:
            # Who takes a connection and says nothing has gone silent for the others, too.
            self.cut()
            raise
        with self._lock:
            self._open.add(connection)
        if self._is_closed:
            connection.close()
            raise StoreUnavailableError(_CLOSED)
        return connection

"""What an error of the driver says of the database: whether it is lost, why, and what helps."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError

_UNAVAILABLE_CLASSES: Final = {"08", "53", "57", "58"}
"""PostgreSQL's error classes for lost connections, lack of resources, shutdown, and I/O."""
_READ_ONLY: Final = "25006"
_SQLITE_UNAVAILABLE: Final = ("locked", "full", "readonly", "disk i/o", "unable to open")
_MAX_REASON_CHARS: Final = 400
_NOTHING: Final = "the driver does not say why"

_ADVICE: Final = {
    "42501": "{reason}; let the user own the schema, or GRANT USAGE, CREATE ON SCHEMA to it",
    "3F000": "{reason}; create the schema that search_path names, or change the search_path",
}
"""What to do about what the user of a new PostgreSQL lacks, by SQLSTATE."""
_SQLITE_ADVICE: Final = {
    sqlite3.SQLITE_NOTADB: "got a file that is no SQLite database",
}


def is_unavailable(error: DBAPIError) -> bool:
    """Says whether the database cannot be reached, or cannot write now."""
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated:
        return True
    if state is not None:
        return state[:2] in _UNAVAILABLE_CLASSES or state == _READ_ONLY
    if not isinstance(error, OperationalError):
        return False
    # psycopg gives no SQLSTATE where the server was never reached; SQLite never gives one.
    text = str(error.orig).lower()
    is_sqlite = type(error.orig).__module__.startswith("sqlite3")
    return not is_sqlite or any(sign in text for sign in _SQLITE_UNAVAILABLE)


def reason_of(error: DBAPIError) -> str:
    """Returns why the database cannot be used, in one line for the log.

    Neither the statement nor its values are in it, and no password: drivers never say one.
    """
    said = getattr(error.orig, "diag", None)
    text = getattr(said, "message_primary", None) or str(error.orig)
    return " ".join(text.split())[:_MAX_REASON_CHARS] or _NOTHING


def advice_on(error: DBAPIError) -> str | None:
    """Returns what is wrong with a database that is there, and what to do; None where unknown."""
    reason, state = reason_of(error), getattr(error.orig, "sqlstate", None)
    if state in _ADVICE:
        return _ADVICE[state].format(reason=reason)
    if state is None and type(error.orig).__module__.startswith("psycopg"):
        # The driver has refused to try, such as of a parameter's value.
        return reason
    return _SQLITE_ADVICE.get(getattr(error.orig, "sqlite_errorcode", 0))

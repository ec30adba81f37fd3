"""What the store can refuse, under one base. Driver texts are for the log, not for peers."""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error the store raises."""


class DatabaseUrlError(StoreError):
    """The URL names no database that can be used; `wanted` says what would."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"database: got a wrong URL, wanted {wanted}")
        self.wanted = wanted


class StoreUnavailableError(StoreError):
    """The database cannot be reached or cannot write now; the same call may succeed later.

    `reason` says why in one line without secrets, SQL or records. It is for operators alone.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the database is unavailable: {reason}")
        self.reason = reason


class SchemaChangedError(StoreUnavailableError):
    """Another release has migrated the database meanwhile; the message says what to do."""

    def __str__(self) -> str:
        return self.reason


class StoreBrokenError(StoreUnavailableError):
    """The database is of no use until a person has acted; the message says what to do."""

    def __str__(self) -> str:
        return self.reason


class StoreReplacedError(StoreBrokenError):
    """The database's file was removed or replaced while it was open.

    `may_close` says whether closing it saves what is in it, and touches no file of others.
    """

    def __init__(self, message: str, *, may_close: bool) -> None:
        super().__init__(message)
        self.may_close = may_close


class StoreDamagedError(StoreBrokenError):
    """The database holds what it cannot hold: pages or index entries are damaged."""

    def __init__(self) -> None:
        super().__init__(
            "the database is damaged; stop the servers, restore the backup, and start them"
        )


class StoreConflictError(StoreError):
    """The transaction kept colliding with others; the same call may succeed at once."""


class StatementTimeoutError(StoreError):
    """The database ended a statement that took longer than it allows, or was cancelled there."""

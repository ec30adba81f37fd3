"""What the store can refuse, under one base. Driver texts stay in the cause, for the log."""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error the store raises."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached or cannot write now; the same call may succeed later."""


class SchemaChangedError(StoreUnavailableError):
    """Another release has migrated the database meanwhile; the message says what to do."""


class StoreBrokenError(StoreUnavailableError):
    """The database is of no use until a person has acted; the message says what to do."""


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

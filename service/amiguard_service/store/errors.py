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


class StoreConflictError(StoreError):
    """The transaction kept colliding with others; the same call may succeed at once."""


class StatementTimeoutError(StoreError):
    """The database ended a statement that took longer than it allows, or was cancelled there."""

"""What the store can refuse, under one base. Driver texts stay in the cause, for the log."""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error the store raises."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached or cannot write now; the same call may succeed later."""


class SchemaChangedError(StoreUnavailableError):
    """Another release has migrated the database meanwhile; the message says what to do."""


class StoreConflictError(StoreError):
    """The transaction kept colliding with others; the same call may succeed at once."""

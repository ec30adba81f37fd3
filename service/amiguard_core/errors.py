"""Everything the core can refuse, under one base."""

from __future__ import annotations


class CoreError(Exception):
    """Base of every error the core raises."""


class RecordMalformedError(CoreError):
    """A record, or the input that should hold records, cannot be read.

    `path` is the JSON path of the offending value inside the record, `$` for the record itself.
    The message says what was got and what was wanted and never echoes the record.
    """

    def __init__(self, path: str, *, got: str, wanted: str) -> None:
        super().__init__(f"{path}: got {got}, wanted {wanted}")
        self.path = path
        self.got = got
        self.wanted = wanted


class InputTooLargeError(RecordMalformedError):
    """A log file holds more bytes or records than the limits allow."""


class PolicyError(CoreError):
    """A rule setting or an allowlist entry is outside what the rule allows.

    `field` names the setting as the wire contract does.
    """

    def __init__(self, field: str, *, got: str, wanted: str) -> None:
        super().__init__(f"{field}: got {got}, wanted {wanted}")
        self.field = field
        self.got = got
        self.wanted = wanted

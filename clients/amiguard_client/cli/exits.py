"""Exit codes. What they mean is a promise; docs/cli.md and the manual page show this table."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
BAD_FILE: Final = 2
"""As click has it for a command line that cannot be meant."""
UNREACHABLE: Final = 3
UNAUTHENTICATED: Final = 4
SOME_REJECTED: Final = 5
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
"""This and the one before are what a shell shows of a program that SIGINT or SIGPIPE ended."""

MEANINGS: Final = {
    DONE: "Done.",
    FAILED: "It failed or was refused, or a check found something to fix.",
    BAD_FILE: "The command line, or a file that it names, is wrong. Nothing was done.",
    UNREACHABLE: "The server cannot be reached or did not answer in time: try again later.",
    UNAUTHENTICATED: "The server does not accept the token, or wants one.",
    SOME_REJECTED: "Done, but for records that were rejected.",
    INTERRUPTED: "Interrupted.",
    BROKEN_PIPE: "The reader of the output has gone.",
}

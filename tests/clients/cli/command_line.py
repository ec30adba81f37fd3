"""Running `amiguardctl`, in this process and as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from inspect import signature
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from amiguard_client.cli.main import main

if TYPE_CHECKING:
    from click.testing import Result

INTERRUPTIBLE = ("env", "--default-signal=INT")
"""Begins the command of a program to be interrupted: what a shell started in the background,
maybe these tests, ignores interrupts, and so does what it starts."""

_TIMEOUT_SECONDS = 60

_STREAMS: dict[str, Any] = (
    {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
)
"""Keeps stderr out of stdout, as click 8.2 always does."""


def run(*args: object, stdin: bytes | None = None) -> Result:
    """Runs a command line in this process; nothing but our own errors may end it."""
    result = CliRunner(**_STREAMS).invoke(main, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_program(
    *args: object, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command line as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "amiguard_client.cli", *map(str, args)],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
        env={**os.environ, **environment},
    )

"""Asking before something is done that weakens detection or cannot be taken back."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click
from click.exceptions import Exit

from amiguard_client.cli.exits import FAILED
from amiguard_client.cli.output import say
from amiguard_client.cli.safe import safe

YES = click.option("--yes", "is_yes", is_flag=True, help="Do it without asking.")
DRY_RUN = click.option(
    "--dry-run", "is_dry_run", is_flag=True, help="Make every check and show what would be done."
)


def require_consent(*, is_yes: bool, is_dry_run: bool | None = None) -> None:
    """Ends the command with a usage error where nobody could be asked later on.

    `is_dry_run` is None where the command knows no dry run.
    """
    if not (is_yes or is_dry_run or sys.stdin.isatty()):
        way = "--yes" if is_dry_run is None else "--yes or --dry-run"
        raise click.UsageError(f"standard input is no terminal, so nobody can be asked: give {way}")


def ask(question: str, *, is_yes: bool) -> None:
    """Returns when the answer is yes; ends the command with 1 when it is no."""
    if is_yes:
        return
    # Click before 8.4 ends the question with a space on stdout all the same.
    with redirect_stdout(sys.stderr):
        agreed = click.confirm(safe(question), err=True)
    if agreed:
        return
    say("Nothing was changed.")
    raise Exit(FAILED)

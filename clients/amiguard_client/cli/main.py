"""The root of the command line. A command's module is loaded when the command is named."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from amiguard_client.cli.bad_files import BadFileError
from amiguard_client.cli.exits import (
    BAD_FILE,
    BROKEN_PIPE,
    FAILED,
    INTERRUPTED,
    UNAUTHENTICATED,
    UNREACHABLE,
)
from amiguard_client.cli.output import say
from amiguard_client.cli.server_options import allow_everywhere, server_options
from amiguard_client.errors import AmiguardError, UnauthenticatedError, UnreachableError

COMPLETION_VARIABLE = "_AMIGUARDCTL_COMPLETE"
"""Set by the shell's script while a command line is being typed."""

_COMMANDS = {
    "submit": ("amiguard_client.cli.submit", "Submit log files to a server."),
    "forward": ("amiguard_client.cli.forward", "Forward records to a server as they come."),
    "findings": (
        "amiguard_client.cli.findings",
        "Read findings from a server, change them and watch them.",
    ),
    "allow": ("amiguard_client.cli.allow", "See, change and check the allowlist."),
    "rules": ("amiguard_client.cli.rules", "See, change and test the rule configuration."),
    "images": ("amiguard_client.cli.images", "See and change what is known of images."),
    "audit": (
        "amiguard_client.cli.audit",
        "See every change of the tuning, and check that none is gone.",
    ),
    "sinks": (
        "amiguard_client.cli.sinks",
        "See where findings go, retry what failed, and test it.",
    ),
    "doctor": (
        "amiguard_client.cli.doctor",
        "Say what is wrong with a server, and with what it is sent.",
    ),
    "explain": ("amiguard_client.cli.explain", "Say how each search and launch is judged."),
    "hunt": ("amiguard_client.cli.hunt", "Look for findings in log files, without a server."),
    "context": ("amiguard_client.cli.context", "Give servers names, and choose among them."),
    "completion": ("amiguard_client.cli.completion", "Write the script for completion in a shell."),
    "man": ("amiguard_client.cli.man", "Write the manual pages."),
}


_OFFLINE = {"explain", "hunt", "context", "completion", "man"}


class Root(click.Group):
    """Knows the commands by name and help; turns our errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Lists the commands in the order of use."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Stands in for a command where only its help line is wanted."""
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        short_help = _COMMANDS[cmd_name][1]
        return click.Command(name=cmd_name, short_help=short_help, help=short_help)

    def load(self, name: str) -> click.Command:
        """Returns a command itself."""
        command: click.Command = import_module(_COMMANDS[name][0]).command
        if name not in _OFFLINE:
            allow_everywhere(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Loads the command that is named."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _COMMANDS:
            command = self.load(name)
        return name, command, rest

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the command line, in silence where a shell asks how a word may end."""
        if os.environ.get(COMPLETION_VARIABLE, "").endswith("_complete"):
            _silence(sys.stderr.fileno())
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what ends it early has a line on standard error and an exit code."""
        try:
            return super().invoke(ctx)
        except AmiguardError as error:
            from amiguard_client.cli.advice import line_on

            say(line_on(error))
            ctx.exit(_EXITS.get(type(error), FAILED))
        except BadFileError as error:
            for problem in error.problems:
                say(problem)
            ctx.exit(BAD_FILE)
        except BrokenPipeError:
            # Or the interpreter complains at its end that it cannot write the rest.
            _silence(sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


_EXITS = {UnreachableError: UNREACHABLE, UnauthenticatedError: UNAUTHENTICATED}


def _silence(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


@click.group(
    cls=Root,
    params=server_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="amiguard", message="%(prog)s %(version)s")
def main(**_: object) -> None:
    """Find AMI name confusion in CloudTrail.

    Image searches by name that say nothing about the owner, and the launches that followed.

    Exit codes: 0 done, 1 failed, 2 wrong usage or a bad file, 3 server not reachable, 4 token not
    accepted, 5 some records were rejected.
    """

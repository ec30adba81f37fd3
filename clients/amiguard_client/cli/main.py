"""The root of the command line. A command's module is loaded when the command is named."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from amiguard_client.cli.bad_files import BadFileError
from amiguard_client.cli.durations import Duration
from amiguard_client.cli.exits import BAD_FILE, FAILED, UNREACHABLE
from amiguard_client.cli.output import say
from amiguard_client.cli.server import DEFAULT_SERVER, Server
from amiguard_client.errors import (
    AmiguardError,
    ConflictError,
    InvalidRequestError,
    UnreachableError,
)

FILE = click.Path(dir_okay=False, path_type=Path)

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
        "See where findings are delivered to, retry what failed, and test it.",
    ),
    "doctor": (
        "amiguard_client.cli.doctor",
        "Say what is wrong with a server, and with what it is sent.",
    ),
    "explain": ("amiguard_client.cli.explain", "Say how each search and launch is judged."),
    "hunt": ("amiguard_client.cli.hunt", "Look for findings in log files, without a server."),
}


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Loads the command that is named."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in _COMMANDS:
            command = import_module(_COMMANDS[name][0]).command
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; exits 3 for a server that is away, else 1, and 2 for a bad file."""
        try:
            return super().invoke(ctx)
        except AmiguardError as error:
            say(f"Error: {error}")
            if isinstance(error, InvalidRequestError | ConflictError) and error.reason:
                say(f"Reason: {error.reason}")
            ctx.exit(UNREACHABLE if isinstance(error, UnreachableError) else FAILED)
        except BadFileError as error:
            for problem in error.problems:
                say(problem)
            ctx.exit(BAD_FILE)


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    "target",
    metavar="HOST:PORT",
    envvar="AMIGUARD_SERVER",
    show_envvar=True,
    default=DEFAULT_SERVER,
    show_default=True,
    help="The server.",
)
@click.option(
    "--insecure/--tls",
    "is_insecure",
    default=None,
    help="Talk in plain text, or encrypted. Plain is the default for this machine's own addresses.",
)
@click.option(
    "--ca",
    "root_certificates",
    type=FILE,
    envvar="AMIGUARD_CA",
    show_envvar=True,
    help="Root certificates to trust, PEM. Those of the system by default.",
)
@click.option("--cert", "certificate", type=FILE, help="Certificate of the client, PEM.")
@click.option("--key", "private_key", type=FILE, help="Private key of --cert, PEM.")
@click.option(
    "--token",
    envvar="AMIGUARD_TOKEN",
    show_envvar=True,
    help="Bearer token. Prefer the variable: other users may see arguments.",
)
@click.option(
    "--timeout",
    type=Duration(),
    default="30s",
    show_default=True,
    help="How long to wait for an answer.",
)
@click.version_option(package_name="amiguard", message="%(prog)s %(version)s")
@click.pass_context
def main(
    ctx: click.Context,
    target: str,
    *,
    is_insecure: bool | None,
    root_certificates: Path | None,
    certificate: Path | None,
    private_key: Path | None,
    token: str | None,
    timeout: timedelta,
) -> None:
    """Find AMI name confusion in CloudTrail.

    Image searches by name that say nothing about the owner, and the launches that followed.

    Exit codes: 0 done, 1 failed, 2 wrong usage or a bad file, 3 server not reachable, 5 some
    records were rejected.
    """
    ctx.obj = Server(
        target=target,
        is_insecure=is_insecure,
        root_certificates=root_certificates,
        certificate=certificate,
        private_key=private_key,
        token=token,
        timeout=timeout,
    )

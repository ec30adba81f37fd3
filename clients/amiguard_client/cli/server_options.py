"""The options that say which server and how to reach it: before a command, or after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from amiguard_client.cli.completers import complete_context
from amiguard_client.cli.durations import Duration

DEFAULT_SERVER = "127.0.0.1:7443"
"""Where a server serves unless told otherwise."""

_FILE = click.Path(dir_okay=False, path_type=Path)
_EPILOG = "Options of amiguardctl itself, such as --context, may stand here too: amiguardctl --help"


def server_options() -> list[click.Option]:
    """Makes the options; what is given nowhere is None."""
    return [
        click.Option(
            ["--context"],
            metavar="NAME",
            envvar="AMIGUARD_CONTEXT",
            show_envvar=True,
            shell_complete=complete_context,
            help="The server of this name: `amiguardctl context`. The one in use unless given.",
        ),
        click.Option(
            ["--server", "target"],
            metavar="HOST:PORT",
            envvar="AMIGUARD_SERVER",
            show_envvar=True,
            show_default=DEFAULT_SERVER,
            help="The server, instead of the context in use.",
        ),
        click.Option(
            ["--insecure/--tls", "is_insecure"],
            default=None,
            help="Talk in plain text, or encrypted. Plain is the default for this machine's own "
            "addresses, without a token.",
        ),
        click.Option(
            ["--ca", "root_certificates"],
            type=_FILE,
            envvar="AMIGUARD_CA",
            show_envvar=True,
            help="Root certificates to trust, PEM. Those of the system by default.",
        ),
        click.Option(["--cert", "certificate"], type=_FILE, help="Certificate of the client, PEM."),
        click.Option(["--key", "private_key"], type=_FILE, help="Private key of --cert, PEM."),
        click.Option(
            ["--token"],
            envvar="AMIGUARD_TOKEN",
            show_envvar=True,
            help="Bearer token. Prefer the variable: other users may see arguments.",
        ),
        click.Option(
            ["--timeout"],
            type=Duration(),
            envvar="AMIGUARD_TIMEOUT",
            show_envvar=True,
            show_default="30s",
            help="How long to wait for an answer.",
        ),
    ]


def allow_everywhere(command: click.Command) -> None:
    """Lets a command, and every command below it, take the options of the server after its name."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            allow_everywhere(below)
        return
    if command.epilog == _EPILOG:
        return
    taken = {name for param in command.params for name in (*param.opts, param.name)}
    for option in server_options():
        if taken.isdisjoint((*option.opts, option.name)):
            # The environment is the root's to read.
            option.envvar = None
            option.hidden = True
            option.expose_value = False
            option.callback = _hand_to_root
            command.params.append(option)
    command.epilog = _EPILOG


def _hand_to_root(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
        ctx.find_root().params[option.name] = value

"""`amiguardctl context`: servers under names of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amiguard_client.cli.completers import complete_context
from amiguard_client.cli.consent import YES, ask, require_consent
from amiguard_client.cli.listings import LIST_OUTPUT, write_items
from amiguard_client.cli.output import (
    JSON,
    TABLE,
    YAML,
    say,
    write,
    write_json,
    write_yaml_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from amiguard_client.cli.contexts import Config, Context
    from amiguard_client.cli.sheets import Sheet

_FILE = click.Path(dir_okay=False, path_type=Path)
_CONTEXT = click.argument("name", shell_complete=complete_context)


@click.group("context")
def command() -> None:
    """Give servers names, and choose among them.

    A context is a server's address, its certificates, and where its token is: a file, or a variable
    of the environment. Contexts are kept in ~/.config/amiguard/config.yaml (XDG_CONFIG_HOME and
    AMIGUARD_CONFIG move it); no token is.

    The context in use counts wherever no other server is named. --context and AMIGUARD_CONTEXT
    name another one; other options and variables win over what it says.
    """


@command.command("add")
@click.argument("name")
@click.option(
    "--server", "target", required=True, metavar="HOST:PORT", help="The server. Required."
)
@click.option("--ca", type=_FILE, help="Root certificates to trust, PEM.")
@click.option("--cert", type=_FILE, help="Certificate of the client, PEM.")
@click.option("--key", type=_FILE, help="Private key of --cert, PEM.")
@click.option(
    "--insecure/--tls", "is_insecure", default=None, help="Talk in plain text, or encrypted."
)
@click.option(
    "--token-file", type=_FILE, help="Read the token from this file, which nobody else may read."
)
@click.option("--token-env", metavar="VARIABLE", help="Read the token from this variable.")
@click.option("--replace", "is_replacing", is_flag=True, help="Replace the one there is.")
@click.option("--use", "is_used", is_flag=True, help="Use it from now on, as the first one is.")
def add_context(
    name: str,
    *,
    target: str,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    is_insecure: bool | None,
    token_file: Path | None,
    token_env: str | None,
    is_replacing: bool,
    is_used: bool,
) -> None:
    """Give a server a NAME.

    Nothing is asked of the server, and no token is read: `amiguardctl --context NAME doctor` does.
    """
    from amiguard_client.cli.contexts import (
        NAME,
        NAME_WANTED,
        Context,
        load_config,
        save_config,
    )

    if not NAME.fullmatch(name):
        raise click.UsageError(f"got the name {name!r}, wanted {NAME_WANTED}")
    context = Context(
        server=target,
        insecure=is_insecure,
        ca=_absolute(ca),
        cert=_absolute(cert),
        key=_absolute(key),
        token_file=_absolute(token_file),
        token_env=token_env,
    )
    if context.complaint:
        raise click.UsageError(context.complaint)
    config = load_config()
    if name in config.contexts and not is_replacing:
        raise click.UsageError(f"there is a context {name}: give --replace, or another name")
    config.contexts[name] = context
    if is_used or config.current_context is None:
        config.current_context = name
    save_config(config)
    used = "in use" if config.current_context == name else f"not in use: context use {name}"
    say(f"Added {name}, {used}.")


@command.command("use")
@_CONTEXT
def use_context(name: str) -> None:
    """Use the context of this NAME from now on."""
    from amiguard_client.cli.contexts import load_config, save_config

    config = load_config()
    context = config.get(name)
    assert context is not None  # noqa: S101 - a name that is not known has ended the command
    config.current_context = name
    save_config(config)
    say(f"Using {name}: {context.server}.")
    _warn_of_others()


@command.command("list")
@LIST_OUTPUT
def list_contexts(*, output: str) -> None:
    """List contexts; * is the one in use."""
    from amiguard_client.cli.contexts import load_config

    config = load_config()
    plain = [_plain(name, config) for name in sorted(config.contexts)]
    write_items("contexts", plain, output, sheet_of=_sheet, to_plain=dict)
    _warn_of_others()


@command.command("show")
@click.argument("name", required=False, shell_complete=complete_context)
@click.option(
    "-o",
    "--output",
    type=click.Choice([TABLE, JSON, YAML]),
    default=TABLE,
    show_default=True,
    help="For reading, or its fields.",
)
@click.pass_context
def show_context(ctx: click.Context, name: str | None, *, output: str) -> None:
    """Show the context of a NAME, or the one in use. Tokens are not shown."""
    from amiguard_client.cli.contexts import config_path, load_config

    config = load_config()
    name = name or ctx.find_root().params["context"] or config.current_context
    if config.get(name) is None or name is None:
        raise click.ClickException(f"no context is in use ({config_path()})")
    plain = _plain(name, config)
    if output == JSON:
        write_json(plain)
    elif output == YAML:
        write_yaml_document(plain)
    else:
        from amiguard_client.cli.sheets import cell_of, grid_of

        write(grid_of([(key, cell_of(_text(value))) for key, value in plain.items()]))
    _warn_of_others()


@command.command("remove")
@_CONTEXT
@YES
def remove_context(name: str, *, is_yes: bool) -> None:
    """Forget the context of this NAME. Files it names stay."""
    from amiguard_client.cli.contexts import load_config, save_config

    require_consent(is_yes=is_yes)
    config = load_config()
    context = config.get(name)
    assert context is not None  # noqa: S101 - a name that is not known has ended the command
    is_current = config.current_context == name
    ask(
        f"Remove {name}, {context.server}{', which is in use' if is_current else ''}?",
        is_yes=is_yes,
    )
    del config.contexts[name]
    if is_current:
        config.current_context = None
    save_config(config)
    say(f"Removed {name}." + (" No context is in use now." if is_current else ""))


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser().absolute())


def _plain(name: str, config: Config) -> dict[str, Any]:
    context: Context = config.contexts[name]
    from msgspec.structs import asdict

    return {"name": name, "is_current": name == config.current_context, **asdict(context)}


def _sheet(contexts: Iterable[dict[str, Any]]) -> Sheet:
    from amiguard_client.cli.contexts import Context
    from amiguard_client.cli.sheets import Sheet

    sheet = Sheet(("", "CONTEXT", "SERVER", "INSECURE", "CA", "CERTIFICATE", "TOKEN FROM"))
    for plain in contexts:
        context = Context(**{key: plain[key] for key in Context.__struct_fields__})
        sheet.add(
            "*" if plain["is_current"] else " ",
            plain["name"],
            context.server,
            _text(context.insecure),
            context.ca or "",
            context.cert or "",
            context.token_source,
        )
    return sheet


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _warn_of_others() -> None:
    """Says so where the environment names another server than the context in use."""
    for variable in ("AMIGUARD_CONTEXT", "AMIGUARD_SERVER"):
        if os.environ.get(variable):
            say(f"{variable} is set, and wins over the context in use.")

"""`amiguardctl man`: a manual page for each command, made of what its --help says."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from inspect import cleandoc
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.exits import MEANINGS
from amiguard_client.cli.output import count_text, say

if TYPE_CHECKING:
    from amiguard_client.cli.main import Root

_VARIABLES = {
    "AMIGUARD_CONFIG": "The file of contexts, in place of the one below.",
    "NO_COLOR": "Set to anything: no colors.",
}
_CONFIG = "~/.config/amiguard/config.yaml"
_CONFIG_TEXT = "Contexts. XDG_CONFIG_HOME stands in for ~/.config where it is set."
_AS_IS = "\b"
"""Click's mark of a paragraph whose lines stay as they are."""


@click.command("man")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def command(ctx: click.Context, folder: Path) -> None:
    """Write the manual pages of amiguardctl into the folder DIR.

    There is one for each command: `man amiguardctl-findings-list`. In ~/.local/share/man/man1 and
    in /usr/local/share/man/man1 man finds them.
    """
    root = ctx.find_root()
    pages = {"-".join(page.command_path.split()): page for page in contexts_of(root)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            text = page_of(page, others=sorted(pages.keys() - {name}))
            (folder / f"{name}.1").write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from error
    say(f"Wrote {count_text(len(pages), 'page')} to {folder}.")


def contexts_of(root: click.Context) -> Iterator[click.Context]:
    """Yields a context of the root command and of each command below it."""
    program: Root = root.command  # type: ignore[assignment]  # the root of every command line
    top = click.Context(program, info_name="amiguardctl", **program.context_settings)
    yield top
    for name in program.list_commands(top):
        yield from _below(top, name, program.load(name))


def page_of(ctx: click.Context, *, others: Iterable[str]) -> str:
    """Returns the page of a command; `others` are the names of the other pages."""
    from importlib.metadata import version

    name = "-".join(ctx.command_path.split())
    short = ctx.command.get_short_help_str(limit=200).rstrip(".")
    lines = [
        f'.TH "{name.upper()}" "1" "{_date()}" "amiguard {version("amiguard")}" "amiguardctl"',
        # Left alone, lists of choices are stretched to the margins.
        ".ad l",
        ".nh",
        ".SH NAME",
        f"{name} \\-",
        *_wrapped(short),
        ".SH SYNOPSIS",
        f"\\fB{_escape(ctx.command_path)}\\fR",
        *_wrapped(" ".join(ctx.command.collect_usage_pieces(ctx))),
        ".SH DESCRIPTION",
        *_paragraphs(cleandoc(ctx.command.help or "")),
        *_definitions("OPTIONS", _options(ctx)),
    ]
    if isinstance(ctx.command, click.Group):
        lines += _definitions("COMMANDS", _commands(ctx, ctx.command))
    if ctx.parent is None:
        lines += _definitions("EXIT STATUS", ((str(c), text) for c, text in MEANINGS.items()))
        lines += _definitions("ENVIRONMENT", _environment(ctx))
        lines += _definitions("FILES", [(_CONFIG, _CONFIG_TEXT)])
    near = _neighbours(name, others)
    if near:
        lines += [".SH SEE ALSO", *(f".BR {_escape(other)} (1)," for other in near)]
        lines[-1] = lines[-1].rstrip(",")
    return "\n".join(lines) + "\n"


def _below(parent: click.Context, name: str, command: click.Command) -> Iterator[click.Context]:
    ctx = click.Context(command, info_name=name, parent=parent)
    yield ctx
    if isinstance(command, click.Group):
        for inner in command.list_commands(ctx):
            found = command.get_command(ctx, inner)
            if found is not None and not found.hidden:
                yield from _below(ctx, inner, found)


def _options(ctx: click.Context) -> Iterator[tuple[str, str]]:
    for param in ctx.command.get_params(ctx):
        record = param.get_help_record(ctx)
        # From click 8.5 on arguments have one, too, with nothing in it.
        if record is not None and isinstance(param, click.Option):
            yield record


def _commands(ctx: click.Context, group: click.Group) -> Iterator[tuple[str, str]]:
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        if found is not None and not found.hidden:
            yield name, found.get_short_help_str(limit=200)


def _environment(ctx: click.Context) -> Iterator[tuple[str, str]]:
    for param in ctx.command.params:
        if isinstance(param.envvar, str):
            yield param.envvar, f"Stands in for {param.opts[0]}."
    yield from _VARIABLES.items()


def _neighbours(name: str, others: Iterable[str]) -> list[str]:
    """Returns the pages of the command above and of those right below."""
    above = name.rpartition("-")[0]
    return [o for o in others if o == above or o.rpartition("-")[0] == name]


def _definitions(title: str, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f".SH {title}"
    for term, text in pairs:
        yield from (".TP", f"\\fB{_escape(term)}\\fR", *_wrapped(text))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n{2,}", text)):
        lines = [line.strip() for line in paragraph.splitlines()]
        is_as_it_is = lines[0] == _AS_IS
        if number:
            yield ".PP"
        if is_as_it_is:
            yield from (".nf", *map(_escape, lines[1:]), ".fi")
        else:
            yield from _wrapped(" ".join(lines))


def _wrapped(text: str) -> Iterator[str]:
    return map(_escape, wrap(text, 72, break_long_words=False, break_on_hyphens=False))


def _escape(text: str) -> str:
    """Returns a line in which nothing is taken for a request or an escape of roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _date() -> str:
    """Returns the day, that of SOURCE_DATE_EPOCH for builds that can be repeated."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    day = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return day.date().isoformat()

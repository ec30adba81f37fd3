"""Where output goes: data to standard output, talk to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from amiguard_client.cli.safe import safe

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import RenderableType

    from amiguard_client.cli.sheets import Sheet

TABLE, WIDE, JSON, NDJSON = "table", "wide", "json", "ndjson"
YAML, CSV, OCSF, TEXT = "yaml", "csv", "ocsf", "text"


def say(text: str) -> None:
    """Says something about the work, on standard error."""
    click.echo(safe(text), err=True)


def count_text(count: int, one: str, many: str | None = None) -> str:
    """Returns a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def to_json(message: Message) -> dict[str, Any]:
    """Returns the proto JSON of a message, with the field names of the contract."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, preserving_proto_field_name=True)


def write_json(value: Any) -> None:
    """Writes one JSON document. Characters beyond ASCII are escaped, so terminals are safe."""
    click.echo(json.dumps(value, indent=2))


def write_ndjson(values: Iterable[Any]) -> None:
    """Writes one JSON document a line, each as soon as it is there."""
    for value in values:
        click.echo(json.dumps(value, separators=(",", ":")))


def write_list(field: str, values: Iterable[Any], *, last: dict[str, Any] | None = None) -> None:
    """Writes a JSON object with one list in it, however long, and then the fields of `last`.

    `last` is read once the list has ended.
    """
    click.echo("{\n" + f'  "{field}": [', nl=False)
    separator = "\n"
    for value in values:
        text = json.dumps(value, indent=2).replace("\n", "\n    ")
        click.echo(f"{separator}    {text}", nl=False)
        separator = ",\n"
    click.echo("]" if separator == "\n" else "\n  ]", nl=False)
    for name, value in (last or {}).items():
        click.echo(f',\n  "{name}": {json.dumps(value)}', nl=False)
    click.echo("\n}")


def write_yaml_list(
    field: str, values: Iterable[Any], *, last: dict[str, Any] | None = None
) -> None:
    """Writes a YAML mapping with one list in it, however long, and then the fields of `last`.

    `last` is read once the list has ended.
    """
    from amiguard_client.cli.yaml_files import write_yaml

    is_empty = True
    for value in values:
        start = f"{field}:\n" if is_empty else ""
        click.echo(start + write_yaml([value], is_ascii=True), nl=False)
        is_empty = False
    if is_empty:
        click.echo(f"{field}: []")
    if last:
        click.echo(write_yaml(last, is_ascii=True), nl=False)


def write_yaml_document(value: Any) -> None:
    """Writes one YAML document. Characters beyond ASCII are escaped, so terminals are safe."""
    from amiguard_client.cli.yaml_files import write_yaml

    click.echo(write_yaml(value, is_ascii=True), nl=False)


_UNBOUNDED = 100_000
"""Columns of a file or a pipe: more than any line we write."""


def write(*parts: RenderableType, is_talk: bool = False) -> None:
    """Writes rich parts to standard output, or error for talk, wrapped to a terminal's width.

    What is no terminal has no width to keep, so nothing is cut there and nothing wrapped.
    """
    from rich.console import Console

    is_terminal = (sys.stderr if is_talk else sys.stdout).isatty()
    console = Console(highlight=False, width=None if is_terminal else _UNBOUNDED, stderr=is_talk)
    for part in parts:
        if is_terminal:
            console.print(part)
            continue
        with console.capture() as capture:
            console.print(part)
        # Rich fills lines up to the width it is given.
        lines = "\n".join(line.rstrip() for line in capture.get().splitlines())
        click.echo(lines, err=is_talk)


def write_sheet(sheet: Sheet, *, is_wide: bool = False) -> None:
    """Writes rows, or says that there are none.

    Where it is wide, each is one line with every column, however narrow the terminal.
    """
    if not sheet.rows:
        say("Nothing to show.")
    elif is_wide:
        for line in sheet.as_lines():
            click.echo(line)
    else:
        write(sheet)

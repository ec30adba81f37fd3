"""Findings in every form of output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from amiguard_client.cli.listings import ocsf_of, write_items
from amiguard_client.cli.output import (
    CSV,
    JSON,
    TABLE,
    YAML,
    to_json,
    write,
    write_json,
    write_ndjson,
    write_yaml_document,
)
from amiguard_client.cli.safe import safe
from amiguard_client.cli.sheets import Columns

if TYPE_CHECKING:
    from amiguard.v1 import finding_pb2
    from amiguard_client.cli.sheets import Sheet


def sheet_for(output: str) -> Callable[[Iterable[finding_pb2.Finding]], Sheet]:
    """Returns what makes the rows of a form of output: those of a table, or all there is."""
    from amiguard_client.cli.finding_rows import finding_sheet, wide_finding_sheet

    return finding_sheet if output == TABLE else wide_finding_sheet


def write_finding(message: finding_pb2.Finding, output: str) -> None:
    """Writes one finding: in full for people, or as it is in a list."""
    if output == TABLE:
        from amiguard_client._from_wire import finding_of
        from amiguard_client.cli.views import finding_detail

        write(finding_detail(finding_of(message)))
    elif output == JSON:
        write_json(to_json(message))
    elif output == YAML:
        write_yaml_document(to_json(message))
    else:
        write_items("findings", [message], output, sheet_of=sheet_for(output))


class ChangeWriter:
    """Writes findings one after another, in a form of output.

    A table is one line of text for each change, or, where it is a list, rows under headers.
    """

    def __init__(self, output: str, *, is_list: bool = False) -> None:
        self._output = output
        self._has_rows = is_list or output != TABLE
        self._has_begun = False
        self._columns = Columns()

    def write(self, messages: Iterable[finding_pb2.Finding]) -> None:
        """Writes findings as they stand, in their order."""
        match self._output:
            case "json":
                for message in messages:
                    write_json(to_json(message))
            case "yaml":
                for message in messages:
                    click.echo("---")
                    write_yaml_document(to_json(message))
            case "ndjson":
                write_ndjson(map(to_json, messages))
            case "ocsf":
                write_ndjson(map(ocsf_of, messages))
            case _ if self._has_rows:
                self._write_rows(messages)
            case _:
                self._write_lines(messages)

    def _write_rows(self, messages: Iterable[finding_pb2.Finding]) -> None:
        header, *rows = sheet_for(self._output)(messages).as_texts()
        if not rows:
            return
        if not self._has_begun:
            rows.insert(0, header)
            self._has_begun = True
        if self._output == CSV:
            from amiguard_client.cli.csv_files import csv_lines

            click.echo(csv_lines(rows), nl=False)
            return
        for line in self._columns.lines(rows):
            click.echo(line)

    def _write_lines(self, messages: Iterable[finding_pb2.Finding]) -> None:
        from amiguard_client._from_wire import finding_of
        from amiguard_client.cli.finding_rows import change_line

        for message in messages:
            click.echo(safe(change_line(finding_of(message))))

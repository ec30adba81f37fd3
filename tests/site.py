"""Gathers what `make docs` builds: the pages as they are, and a reference of API and commands.

The API reference is read from the protos, the command reference from `--help`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from amiguard_client.cli.main import main as command_line
from amiguard_client.cli.man import contexts_of

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "docs/rule.md", "docs/cli.md", "docs/operating.md", "docs/tuning.md"),
    *("docs/forwarding.md", "docs/sinks.md", "docs/stubs.md", "docs/playbooks.md", "docs/ocsf.md"),
    *("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/README.md"),
)
CONFIGURATION = """\
project = "amiguard"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "alabaster"
html_show_copyright = False
myst_heading_anchors = 4
# Pages link to source files and folders as well, which are no part of the site. Some languages of
# examples have no lexer here.
suppress_warnings = ["myst.xref_missing", "myst.header", "misc.highlighting_failure"]
"""


def index() -> str:
    """Returns the first page: a table of contents."""
    names = [*(page.removesuffix(".md") for page in PAGES), "api", "commands"]
    return "# amiguard\n\n```{toctree}\n:maxdepth: 1\n\n" + "\n".join(names) + "\n```\n"


def command_reference() -> str:
    """Returns every command's help."""
    parts = ["# Command reference\n"]
    for context in contexts_of(click.Context(command_line, info_name="amiguardctl")):
        context.terminal_width = 90
        parts.append(f"## {context.command_path}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


def api_reference() -> str:
    """Returns every service, message and enum of the protos, with their comments."""
    buf = Path(sys.executable).with_name("buf")
    image = subprocess.run(
        [buf, "build", "--output", "-#format=json", "--path", "proto/amiguard"],
        check=True,
        cwd=ROOT,
        capture_output=True,
    ).stdout
    parts = ["# API reference\n"]
    for file in json.loads(image)["file"]:
        if file["name"].startswith("amiguard/"):
            parts += _File(file).text()
    return "\n".join(parts)


class _File:
    """One proto file, with its comments by the path of what they stand at."""

    def __init__(self, file: dict[str, Any]) -> None:
        self._file = file
        locations = file.get("sourceCodeInfo", {}).get("location", [])
        self._comments = {
            tuple(place["path"]): place["leadingComments"].strip()
            for place in locations
            if "leadingComments" in place
        }

    def text(self) -> list[str]:
        parts = [f"## {self._file['name']}\n"]
        for number, service in enumerate(self._file.get("service", [])):
            parts += [f"### {service['name']}\n", self._comment(6, number)]
            rows = []
            for index, method in enumerate(service["method"]):
                given = ("stream " if method.get("clientStreaming") else "") + _name(method, "in")
                taken = ("stream " if method.get("serverStreaming") else "") + _name(method, "out")
                call = f"`{method['name']}({given})` returns `{taken}`"
                rows.append(f"**{call}**\n\n{self._comment(6, number, 2, index)}")
            parts += rows
        for number, message in enumerate(self._file.get("messageType", [])):
            parts += self._message(message, (4, number))
        for number, enum in enumerate(self._file.get("enumType", [])):
            parts += self._enum(enum, (5, number))
        return parts

    def _message(self, message: dict[str, Any], path: tuple[int, ...]) -> list[str]:
        if message.get("options", {}).get("mapEntry"):
            return []
        parts = [f"### {message['name']}\n", self._comment(*path)]
        fields = message.get("field", [])
        for number, field in enumerate(fields):
            kind = field.get("typeName", "").rpartition(".")[2]
            kind = kind or field["type"].removeprefix("TYPE_").lower()
            many = "repeated " if field["label"] == "LABEL_REPEATED" else ""
            told = self._comment(*path, 2, number).replace("\n", "\n  ").rstrip()
            parts.append(f"- `{field['name']}` ({many}{kind}, {field['number']}): {told}")
        if fields:
            parts.append("")
        for number, nested in enumerate(message.get("nestedType", [])):
            parts += self._message(nested, (*path, 3, number))
        for number, enum in enumerate(message.get("enumType", [])):
            parts += self._enum(enum, (*path, 4, number))
        return parts

    def _enum(self, enum: dict[str, Any], path: tuple[int, ...]) -> list[str]:
        parts = [f"### {enum['name']}\n", self._comment(*path)]
        for number, value in enumerate(enum["value"]):
            told = self._comment(*path, 2, number).replace("\n", "\n  ").rstrip()
            parts.append(f"- `{value['name']}` ({value.get('number', 0)}): {told}")
        return [*parts, ""]

    def _comment(self, *path: int) -> str:
        return "\n".join(map(str.strip, self._comments.get(path, "").splitlines())) + "\n"


def _name(method: dict[str, Any], direction: str) -> str:
    name: str = method[f"{direction}putType"]
    return name.rpartition(".")[2]


def write(directory: Path) -> None:
    """Writes what Sphinx builds into an empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    for page in PAGES:
        target = directory / page
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, target)
    shutil.copy(ROOT / "docs/hunt.svg", directory / "docs/hunt.svg")
    for name, text in (
        ("conf.py", CONFIGURATION),
        ("index.md", index()),
        ("api.md", api_reference()),
        ("commands.md", command_reference()),
    ):
        (directory / name).write_text(text, encoding="utf-8")


def main() -> int:
    """Writes the pages into the directory named on the command line."""
    os.environ.pop("AMIGUARD_SERVER", None)
    write(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

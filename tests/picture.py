"""Draws docs/hunt.svg: what `amiguardctl hunt` shows on a terminal, of the demo's trail.

`make picture` writes it; tests/test_readme.py holds that its text is what hunt says.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.data.delivery import write_demo

PICTURE = Path(__file__).parents[1] / "docs/hunt.svg"
COLUMNS = 170
COMMAND = "amiguardctl hunt trail/"
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>The output of amiguardctl hunt: a table of findings</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw(directory: Path) -> str:
    """Returns the picture of a run of hunt in an empty directory."""
    write_demo(directory / "trail")
    shown = run(directory)
    with (directory / "record").open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text.from_ansi(shown))
        return console.export_svg(title="amiguard", code_format=_FORMAT, unique_id="hunt")


def run(directory: Path) -> str:
    """Runs hunt on a terminal; returns what it writes to standard output, with its colors."""
    reader, terminal = pty.openpty()
    program = Path(sys.executable).with_name("amiguardctl")
    environment = {name: os.environ[name] for name in os.environ if name != "NO_COLOR"}
    with subprocess.Popen(
        [program, *COMMAND.split()[1:]],
        cwd=directory,
        env={**environment, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
    ):
        os.close(terminal)
        shown = b"".join(iter(lambda: read(reader), b""))
    os.close(reader)
    return shown.decode().replace("\r\n", "\n")


def read(reader: int) -> bytes:
    """Reads what there is; nothing once the other end of the terminal is closed."""
    try:
        return os.read(reader, 65_536)
    except OSError:
        return b""


def words_of(picture: str) -> list[str]:
    """Returns the words that a picture shows, whatever release of rich drew it."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    return " ".join(unescape(text) for text in texts).replace("\xa0", " ").split()


def main() -> int:
    """Writes the picture and returns the exit code."""
    with TemporaryDirectory() as directory:
        picture = draw(Path(directory))
    PICTURE.write_text("\n".join(map(str.rstrip, picture.splitlines())) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

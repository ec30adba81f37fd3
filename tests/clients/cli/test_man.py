"""Manual pages: one for each command, and each one good roff."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import click
import pytest

from amiguard_client.cli.exits import MEANINGS
from amiguard_client.cli.main import main
from amiguard_client.cli.man import contexts_of
from tests.clients.cli.command_line import run

LINTERS = {
    "groff": ["groff", "-man", "-ww", "-Tutf8", "-z"],
    "mandoc": ["mandoc", "-Tlint", "-Wwarning"],
}
REQUESTS = (".TH ", ".SH ", ".TP", ".PP", ".nf", ".fi", ".ad l", ".nh", ".BR ")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The pages by name, without the suffix."""
    folder = tmp_path_factory.mktemp("man")
    result = run("man", folder / "man1")
    assert result.exit_code == 0
    return {path.stem: path.read_text() for path in (folder / "man1").iterdir()}


def commands() -> dict[str, click.Context]:
    """Every command by the name of its page."""
    root = click.Context(main, info_name="amiguardctl")
    return {"-".join(ctx.command_path.split()): ctx for ctx in contexts_of(root)}


def test_each_command_has_a_page(pages: dict[str, str]) -> None:
    """No command goes without, and there is no page besides."""
    assert pages.keys() == commands().keys()
    assert {"amiguardctl", "amiguardctl-findings-list", "amiguardctl-man"} < pages.keys()


def test_page_has_what_a_reader_looks_for(pages: dict[str, str]) -> None:
    """Each page has its sections in their order, and every option that --help has."""
    for name, ctx in commands().items():
        text = pages[name]
        sections = re.findall(r"^\.SH (.*)$", text, re.MULTILINE)
        assert sections[:4] == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"], name
        assert text.startswith(f'.TH "{name.upper()}" "1" ')
        assert re.search(rf"^{name} \\-\n\w", text, re.MULTILINE), name
        for param in ctx.command.get_params(ctx):
            if isinstance(param, click.Option) and not param.hidden:
                assert param.opts[0].replace("-", "\\-") in text, (name, param.opts)


def test_every_line_is_text_or_a_request_we_know(pages: dict[str, str]) -> None:
    """Nothing of a help text is taken for a request or an escape of roff."""
    for name, text in pages.items():
        for line in text.splitlines():
            assert not line.startswith("'"), (name, line)
            assert not line.startswith(".") or line.startswith(REQUESTS), (name, line)
            escapes = set(re.findall(r"\\(.)", line))
            assert escapes <= {"-", "e", "f", "&"}, (name, line)
            assert len(line) <= 120 or " " not in line, (name, line)
            assert line.isascii()


def test_pages_of_others_are_there(pages: dict[str, str]) -> None:
    """SEE ALSO names pages that exist, the command above and those below."""
    for name, text in pages.items():
        for other in re.findall(r"^\.BR (\S+) \(1\)", text, re.MULTILINE):
            assert other.replace("\\-", "-") in pages, name
    assert ".BR amiguardctl\\-findings (1)" in pages["amiguardctl-findings-list"]


def test_root_has_exit_codes_variables_and_files(pages: dict[str, str]) -> None:
    """The first page has what holds for all commands."""
    text = pages["amiguardctl"].replace("\n", " ")

    for code, meaning in MEANINGS.items():
        assert f".TP \\fB{code}\\fR {meaning}" in text
    for variable in ("SERVER", "CONTEXT", "TOKEN", "CA", "CONFIG"):
        assert f"\\fBAMIGUARD_{variable}\\fR" in text


def test_lines_that_stay_as_they_are(pages: dict[str, str]) -> None:
    """A block of commands keeps its lines."""
    lines = pages["amiguardctl-completion"].splitlines()

    block = lines[lines.index(".nf") + 1 : lines.index(".fi")]
    assert [line.split()[0] for line in block] == ["bash", "zsh", "fish"]


def test_formatters_there_are_have_no_complaint(pages: dict[str, str], tmp_path: Path) -> None:
    """Each formatter of manual pages that is installed takes each page without a warning."""
    for linter, (name, text) in product(filter(shutil.which, LINTERS), pages.items()):
        page = tmp_path / f"{name}.1"
        page.write_text(text)

        read = subprocess.run(
            [*LINTERS[linter], str(page)],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        )

        said = read.stderr + (read.stdout if linter == "mandoc" else "")
        assert (read.returncode, said) == (0, ""), (linter, name)


def test_day_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With SOURCE_DATE_EPOCH the pages are the same on every day."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")

    run("man", tmp_path)

    assert '"1970-01-02"' in (tmp_path / "amiguardctl.1").read_text()


def test_folder_that_cannot_be_made_exits_1(tmp_path: Path) -> None:
    """A folder that is a file is said in one line."""
    (tmp_path / "file").touch()

    result = run("man", tmp_path / "file" / "man1")

    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1

"""Every command of the README works as it stands, on a server that is started as it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import pages, picture
from tests.data.delivery import write_demo

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"),
    *(f"docs/{page.name}" for page in DOCS),
]
MAKE_PROGRAM = shutil.which("make") or "make"
BASH_PROGRAM = shutil.which("bash") or "bash"
ADDRESS = "127.0.0.1:7443"

BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line for language, block in BLOCKS if language == "sh" for line in block.splitlines() if line
]
MAKE = [line for line in COMMANDS if line.startswith("make ")]
INSTALL = [line for line in COMMANDS if line.startswith(("uv tool install ", "pip install "))]
SERVE = [line for line in COMMANDS if " serve " in line and "--help" not in line]
OTHERS = [line for line in COMMANDS if line not in {*MAKE, *INSTALL, *SERVE}]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a trail in it, where the commands are run."""
    made = tmp_path_factory.mktemp("readme")
    write_demo(made / "trail")
    for example in (ROOT / "tests/data/readme").glob("*"):
        (made / example.name).write_bytes(example.read_bytes())
    return made


@pytest.fixture(scope="module")
def address(directory: Path) -> Iterator[str]:
    """A server started by the README's command, but for the port."""
    (command,) = SERVE
    with pages.serving(shlex.split(command.replace(ADDRESS, "127.0.0.1:0")), directory) as address:
        yield address


def run(words: list[str], directory: Path, address: str) -> subprocess.CompletedProcess[str]:
    """Runs a command as a user would, who has no terminal."""
    environment = {**os.environ, "AMIGUARD_SERVER": address, "HOME": str(directory)}
    return subprocess.run(
        words,
        check=False,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("page", PAGES)
def test_help_is_as_it_is_shown(page: str) -> None:
    """What a page shows of --help is what the program says, on a terminal of 80 columns."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for command, shown in re.findall(r"```text\n\$ ([^\n]* --help)\n(.*?)```", text, re.DOTALL):
        words = shlex.split(command)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AMIGUARD_")
        }

        said = subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            check=True,
            capture_output=True,
            text=True,
            env={**environment, "COLUMNS": "80"},
        ).stdout

        assert shown == said, command


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """What a page links to in the repository is there, and every page of docs is linked to."""
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]

    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
    assert page != "README.md" or {f"docs/{p.name}" for p in DOCS} <= set(links)


def test_command_lines_page_shows_the_whole_command_line() -> None:
    """A reader of docs/cli.md sees each command there is."""
    assert "```text\n$ amiguardctl --help\n" in (ROOT / "docs/cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_install_is_from_a_checkout(page: str) -> None:
    """Nothing is published, so each install command is of the checkout, with extras there are."""
    text = (ROOT / page).read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])

    commands = re.findall(r"(?:pip|uv tool) install [^\n`]*", text)

    assert [command for command in commands if re.search(r"\bamiguard\b", command)] == []
    for command in commands:
        named = re.search(r"'\.\[([\w,]+)\]'", command)
        assert named is None or set(named[1].split(",")) <= extras, command


def test_picture_is_of_a_real_run(tmp_path: Path) -> None:
    """The picture shows what hunt says of the demo's trail."""
    shown = picture.PICTURE.read_text(encoding="utf-8")

    assert picture.words_of(shown) == picture.words_of(picture.draw(tmp_path))
    assert "docs/hunt.svg" in README


def test_there_is_one_way_to_serve() -> None:
    """The README starts a server with one command."""
    assert len(SERVE) == 1


@pytest.mark.parametrize("command", MAKE)
def test_make_targets_exist(command: str) -> None:
    """What the README asks make for, make knows; CI runs it."""
    done = subprocess.run(
        [MAKE_PROGRAM, "--dry-run", *shlex.split(command)[1:]],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr


def test_commands_work_in_their_order(directory: Path, address: str) -> None:
    """Each command ends well; what a user has to fill in is a file or folder of the trail."""
    log_file = next((directory / "trail").rglob("*_CloudTrail_*.json.gz"))
    for command in OTHERS:
        filled = re.sub(r"\bPATH\b", "trail", command.replace(ADDRESS, address))
        words = shlex.split(re.sub(r"\bFILE\b", str(log_file), filled))
        words[0] = str(BIN / Path(words[0]).name)

        done = run(words, directory, address)

        # The trail is an old one, and that is what the doctor finds.
        expected = 1 if "doctor" in words else 0
        assert done.returncode == expected, (command, done.stdout, done.stderr)


def test_python_works(directory: Path, address: str) -> None:
    """The example of the library runs against the server, and prints findings."""
    (code,) = [block for language, block in BLOCKS if language == "python"]

    done = run([sys.executable, "-c", code.replace(ADDRESS, address)], directory, address)

    assert done.returncode == 0, done.stderr
    assert "findings/" in done.stdout


def test_commands_of_the_command_lines_page_work(tmp_path: Path) -> None:
    """docs/cli.md can be followed from its first command to its last, in a fresh home."""
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    # What zsh would have there is not bash's to know.
    script = script.replace('"${fpath[1]}/_amiguardctl"', "_amiguardctl")
    for folder in (".local/share/bash-completion/completions", ".config/fish/completions"):
        (tmp_path / folder).mkdir(parents=True)

    done = subprocess.run(
        [BASH_PROGRAM, "-e", "-c", script],
        check=False,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        env={"HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".local/share/man/man1/amiguardctl.1").exists()
    assert (tmp_path / "_amiguardctl").read_text().startswith("#compdef amiguardctl")


def test_page_of_the_tests_names_files_that_exist() -> None:
    """Each file that tests/README.md sends a reader to is there."""
    page = (ROOT / "tests/README.md").read_text(encoding="utf-8")

    named = re.findall(r"`([\w/]+\.py)`", page)

    assert named
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []

"""What docs/operating.md says works: its commands, its way back from a backup, its log."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from amiguard_service import logs
from amiguard_service.limits import Limits
from amiguard_service.settings import SETTINGS
from tests import pages
from tests.data.delivery import write_demo

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^( *)```sh\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
SERVE = ("amiguard-server", "serve", "--insecure", "--listen", "127.0.0.1:0")
DOCTOR, MIGRATE, BACK_UP = (block.strip() for _, block in BLOCKS)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the server is run, with a trail in it."""
    write_demo(tmp_path / "trail")
    return tmp_path


def run(command: str, directory: Path, address: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command of the page, or one that it speaks of."""
    return pages.run(command, directory, AMIGUARD_SERVER=address)


def findings(directory: Path, address: str) -> list[str]:
    """What a server has found, without when."""
    done = run("amiguardctl findings list --all -o csv", directory, address)
    assert done.returncode == 0, done.stderr
    return sorted(line.split(",")[0] for line in done.stdout.splitlines())


def test_way_back_from_a_backup(directory: Path) -> None:
    """With the logs sent again everything is found once more, and nothing twice."""
    half = sorted((directory / "trail").glob("**/CloudTrail/**/*.json.gz"))[::2]
    some = " ".join(map(str, half))
    with pages.serving(SERVE, directory) as address:
        assert run(f"amiguardctl submit {some}", directory, address).returncode == 0
        assert run(BACK_UP, directory).returncode == 0
        assert run("amiguardctl submit trail", directory, address).returncode == 0
        found = findings(directory, address)
    for name in ("amiguard.db", "amiguard.db-wal", "amiguard.db-shm"):
        (directory / name).unlink(missing_ok=True)
    (directory / "amiguard.backup.db").rename(directory / "amiguard.db")

    with pages.serving(SERVE, directory) as address:
        assert findings(directory, address) != found
        assert run("amiguardctl submit trail", directory, address).returncode == 0
        again = findings(directory, address)
        doctor = run(DOCTOR, directory, address)

    assert again == found
    # The trail is an old one, and that is what the doctor finds.
    assert doctor.returncode == 1


def test_migration_says_what_it_did(directory: Path) -> None:
    """The page's command makes a schema, and a second time leaves it."""
    first, second = run(MIGRATE, directory), run(MIGRATE, directory)

    assert (first.returncode, second.returncode) == (0, 0)
    assert "it was empty" in first.stdout
    assert "it was at" in second.stdout


def test_page_names_every_event_with_its_level() -> None:
    """What the log can say is explained, and nothing that it does not say."""
    table = PAGE.partition("## What the log says")[2]
    rows = re.findall(r"^\| (`.*?`) \| ([\w, ]+) \|", table, re.MULTILINE)
    told: dict[str, str] = {}
    for events, levels in rows:
        names, of_them = re.findall(r"`([\w.]+)`", events), levels.split(", ")
        told |= zip(names, of_them * len(names) if len(of_them) == 1 else of_them, strict=False)
    events = {
        name: value
        for name, value in vars(logs).items()
        if name.isupper() and not name.startswith("_")
    }
    written = {
        events[name]: level
        for path in (ROOT / "service/amiguard_service").glob("*.py")
        for level, name in re.findall(
            r"log\.(\w+)\(\s*logs\.(\w+)", path.read_text(encoding="utf-8")
        )
    }

    assert told.keys() == set(events.values())
    assert told == {**told, **written}


def test_page_names_every_retention_and_its_default() -> None:
    """What is kept for how long is as the settings have it."""
    table = PAGE.partition("## What is deleted")[2]
    retentions = [setting for setting in SETTINGS if setting.name.startswith("retention_")]

    assert retentions
    for setting in retentions:
        row = next(r for r in table.splitlines() if f"`--{setting.name.replace('_', '-')}`" in r)
        days = setting.default.days
        assert f"{days} day{'s' if days > 1 else ''}" in row


def test_page_names_every_limit_with_its_default() -> None:
    """What bounds a server is documented, with what it is unless set."""
    section = PAGE.partition("## Limits")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `--([\w-]+)` \| ([\d,]+) \|", section, re.MULTILINE)
    limits = {field.name for field in fields(Limits)}

    assert {name.replace("-", "_"): int(value.replace(",", "")) for name, value in told} == {
        each.name: each.default for each in SETTINGS if each.name in limits
    }

"""`amiguardctl explain` tells, for people and for programs, how a file is judged."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.clients.cli.command_line import run, run_program
from tests.data.identities import aws_service
from tests.data.launch_paths import create_launch_template, template_tags
from tests.data.log_files import log_content
from tests.data.records import (
    ACCOUNT,
    NINE_O_CLOCK,
    UNAUTHORIZED,
    describe_images,
    run_instances,
)
from tests.data.shapes import Record, encode


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one unsafe search, one safe one, a launch that follows and one that misses."""
    return write(
        tmp_path,
        describe_images(filters={"name": ["acme-*"]}, event_id="unsafe"),
        describe_images(filters={"name": ["acme-*"]}, owners=["self"], event_id="safe"),
        run_instances(at=NINE_O_CLOCK + timedelta(seconds=42), event_id="near"),
        run_instances(at=NINE_O_CLOCK + timedelta(seconds=1000), event_id="far"),
    )


def write(root: Path, *records: Record) -> Path:
    """Writes a log file."""
    path = root / "log.json"
    path.write_bytes(log_content(map(encode, records)))
    return path


def test_text_tells_of_each_search_and_launch(file: Path) -> None:
    """Every search and launch is told of with protections, reasons and what follows what."""
    result = run("explain", file)

    assert result.exit_code == 0
    for expected in (
        "SEARCH  2026-03-02 09:00:00 UTC  unsafe",
        "unsafe     NO_OWNER: it searches by name and no owner is given",
        "followed   by RunInstances near, 42 s later",
        "SEARCH  2026-03-02 09:00:00 UTC  safe",
        "safe       OWNER_GIVEN: an owner is given",
        "follows    search unsafe by 42 s: findings/",
        "LAUNCH  2026-03-02 09:16:40 UTC  far",
        "missed     search unsafe: launched 1,000 s after the search, 100 s past the window",
    ):
        assert expected in result.stdout
    assert result.stderr == "4 records  2 searches  2 launches  0 rejected\n"


def test_json_tells_the_same(file: Path) -> None:
    """`-o json` holds the same verdicts under stable names."""
    told = json.loads(run("explain", file, "-o", "json").stdout)

    searches = {search["event_id"]: search for search in told["searches"]}
    launches = {launch["event_id"]: launch for launch in told["launches"]}
    assert searches["unsafe"]["reasons"] == ["NO_OWNER"]
    assert searches["unsafe"]["request"]["filters"] == {"name": ["acme-*"]}
    assert searches["safe"]["protections"] == ["OWNER_GIVEN"]
    assert [pair["event_id"] for pair in searches["unsafe"]["launches"]] == ["near"]
    assert launches["near"]["searches"][0]["gap_seconds"] == 42
    assert [cause["code"] for cause in launches["far"]["missed"][0]["causes"]] == ["PAST_WINDOW"]
    assert told["record_count"] == 4


def test_finding_is_the_one_that_hunt_finds(file: Path) -> None:
    """The finding named for a pair is the one a hunt through the file gives."""
    told = json.loads(run("explain", file, "-o", "json").stdout)
    (found,) = json.loads(run("hunt", file, "-o", "json").stdout)["findings"]

    assert told["searches"][0]["launches"] or told["searches"][1]["launches"]
    assert {pair["finding"] for s in told["searches"] for pair in s["launches"]} == {found["name"]}


def test_standard_input_is_explained() -> None:
    """A single record on standard input is judged like a file."""
    record = encode(describe_images(filters={"name": ["acme-*"]}))

    done = run_program("explain", "-", stdin=record)

    assert done.returncode == 0
    assert b"NO_OWNER" in done.stdout


def test_failed_calls_are_counted_and_not_judged(tmp_path: Path) -> None:
    """A search that AWS refused is neither safe nor unsafe; it is said to be there."""
    path = write(tmp_path, describe_images(filters={"name": ["a"]}, error=UNAUTHORIZED))

    result = run("explain", path)

    assert result.stdout == ""
    assert "1 of the searches and launches failed" in result.stderr


def test_rejected_records_exit_5(tmp_path: Path) -> None:
    """A record that cannot be read is named with its path."""
    path = write(tmp_path, {**describe_images(), "eventTime": "yesterday"})

    result = run("explain", path)

    assert result.exit_code == 5
    assert f"rejected: {path}[0] $.eventTime" in result.stderr


def test_missing_file_exits_1(tmp_path: Path) -> None:
    """A file that is not there fails in one line."""
    result = run("explain", tmp_path / "missing")

    assert result.exit_code == 1
    assert "missing" in result.stderr


def test_records_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Text of records is shown as text."""
    path = write(tmp_path, describe_images(filters={"name": ["\x1b[2J[red]"]}))

    result = run("explain", path)

    assert r"filter name = \x1b[2J[red]" in result.stdout


def test_launch_from_a_pinned_template_is_told_with_its_pin(tmp_path: Path) -> None:
    """Text and JSON say which template, what made it, and after which search."""
    searched = describe_images(filters={"name": ["acme-*"]}, event_id="search")
    later, much_later = (NINE_O_CLOCK + timedelta(days=days, seconds=30) for days in (0, 60))
    tags = template_tags()
    path = write(
        tmp_path,
        searched,
        create_launch_template(at=later, event_id="pin"),
        run_instances(
            identity=aws_service("ec2fleet.amazonaws.com"),
            account=ACCOUNT,
            at=much_later,
            tags=tags,
            event_id="launch",
        ),
    )
    paths = ("--launch-path", "RunInstances", "--launch-path", "CreateLaunchTemplate")

    text = run("explain", path, *paths).stdout
    told = json.loads(run("explain", path, *paths, "-o", "json").stdout)

    version = f"{tags['aws:ec2launchtemplate:id']} version 1"
    for expected in (
        "followed   by CreateLaunchTemplate pin, 30 s later",
        f"launched   RunInstances launch from {version}, made by pin",
        f"makes      {version}",
        f"from       {version}",
        f"follows    what pinned its image: {version}, made by pin, 30 s after search search: find",
    ):
        assert expected in text
    assert "missed" not in text
    (search,), (_, launch) = told["searches"], told["launches"]
    (way,), (of_search,) = launch["pinned"], search["pinned"]
    assert (way["event_id"], of_search["event_id"]) == ("search", "launch")
    assert way["pin_event_id"] == of_search["pin_event_id"] == "pin"
    assert way["finding"] == of_search["finding"] == search["launches"][0]["finding"]

"""`amiguardctl allow lint|test`: what is amiss with entries, and what a pattern covers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from amiguard_service.store import tuning_schema
from tests.clients.cli.command_line import run, run_program
from tests.clients.live_server import Live
from tests.data import backtest_trail
from tests.data.records import describe_images

LINTED = """\
entries:
- id: wide
  organization_pattern: acme-*
  justification: x
- id: narrow
  organization_pattern: acme-base-*
  justification: x
- id: broad
  organization_pattern: 'a*'
  justification: x
- id: ubuntu
  organization_pattern: ubuntu/images/*
  justification: x
- id: over
  trusted_account: '000123456789'
  justification: x
  expire_time: 2001-01-01
"""
IMAGES = json.dumps(
    {
        "Images": [
            {"ImageId": "ami-1", "Name": "acme-base-1"},
            {"ImageId": "ami-2", "Name": "other"},
            {"ImageId": "ami-3"},
        ]
    }
)


def remarks(text: str) -> set[tuple[str, str]]:
    """Returns entries and faults of a report."""
    found = json.loads(text)["remarks"]
    return {(r["entry"].removeprefix("allowlistEntries/"), r["fault"]) for r in found}


def test_file_is_linted_without_a_server(tmp_path: Path) -> None:
    """Expired, shadowed, broad and public entries of a file are remarked on, with exit 1."""
    path = tmp_path / "allow.yaml"
    path.write_text(LINTED)

    done = run_program("--server", "127.0.0.1:1", "allow", "lint", "-f", path, "-o", "json")

    assert done.returncode == 1
    assert remarks(done.stdout.decode()) == {
        ("narrow", "SHADOWED"),
        ("wide", "SHADOWED"),
        ("broad", "TOO_BROAD"),
        ("ubuntu", "PUBLIC_NAMES"),
        ("broad", "PUBLIC_NAMES"),
        ("over", "EXPIRED"),
    }


def test_sound_file_exits_0(tmp_path: Path) -> None:
    """A file without remarks says how many entries were looked at."""
    path = tmp_path / "allow.yaml"
    path.write_text("entries: [{id: ours, trusted_owner: self, justification: x}]")

    result = run("allow", "lint", "-f", path)

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "0 remarks on 1 entry\n"


def test_public_patterns_of_the_rule_count(tmp_path: Path) -> None:
    """With --rule an entry that reaches the further public names is remarked on, too."""
    allow, rule = tmp_path / "allow.yaml", tmp_path / "rule.yaml"
    allow.write_text("entries: [{id: ours, organization_pattern: acme-*, justification: x}]")
    rule.write_text("public_patterns: [acme-public-*]")

    without = run("allow", "lint", "-f", allow)
    within = run("allow", "lint", "-f", allow, "--rule", rule, "-o", "json")

    assert without.exit_code == 0
    assert remarks(within.stdout) == {("ours", "PUBLIC_NAMES")}


def test_entry_of_a_server_that_never_matched_is_remarked_on(live: Live) -> None:
    """What did nothing in its first 30 days is named; what is younger has time."""
    young = run("--server", live.target, "allow", "lint")
    age(live, timedelta(days=31))
    old = run("--server", live.target, "allow", "lint", "-o", "json")

    assert young.exit_code == 0
    assert old.exit_code == 1
    assert ("alias-self", "NEVER_MATCHED") in remarks(old.stdout)


def test_entries_of_a_server_are_held_against_its_public_patterns(live: Live) -> None:
    """A server is linted with the public patterns of the rule in force."""
    for command in (
        ("allow", "add", "ours", "--pattern", "acme-*", "--justification", "x"),
        ("rules", "set", "--public-pattern", "acme-public-*"),
    ):
        assert run("--server", live.target, *command, "--yes").exit_code == 0

    result = run("--server", live.target, "allow", "lint")

    assert result.exit_code == 1
    assert "PUBLIC_NAMES" in result.stdout
    assert "acme-public-*" in result.stdout


def age(live: Live, by: timedelta) -> None:
    """Makes every entry so old."""
    made = datetime.now(UTC) - by
    live.engine._database.write(
        lambda c: c.execute(update(tuning_schema.allowlist_entries).values(create_time=made))
    )


def trial(*args: object, stdin: str | None = None) -> dict[str, Any]:
    """Returns what `allow test` says in JSON."""
    content = None if stdin is None else stdin.encode()
    result = run("allow", "test", *args, "-o", "json", stdin=content)
    assert result.exit_code == 0, result.stderr
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def test_names_are_matched_as_ec2_does() -> None:
    """Of names, one a line, it says which the pattern matches."""
    said = trial("acme-?ase-*", "--against", "-", stdin="acme-base-1\nacme-ase-\nAcme-base-1\n\n")

    assert said["names"] == [
        {"name": "acme-base-1", "source": "", "is_matched": True},
        {"name": "acme-ase-", "source": "", "is_matched": True},
        {"name": "Acme-base-1", "source": "", "is_matched": False},
    ]


def test_images_are_named_with_their_ids() -> None:
    """The output of describe-images is taken as it is; images without a name are passed over."""
    said = trial("acme-*", "--against", "-", stdin=IMAGES)

    assert said["names"] == [
        {"name": "acme-base-1", "source": "ami-1", "is_matched": True},
        {"name": "other", "source": "ami-2", "is_matched": False},
    ]


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_searches_of_findings_are_covered_only_whole(live: Live, output: str) -> None:
    """A search is covered where every name that it can find is matched."""
    live.occur(1, "acme-base-*", "acme-web-?")
    live.occur(2, "a*")
    listed = run("--server", live.target, "findings", "list", "-o", output)

    said = trial("acme-*", "--against", "-", stdin=listed.stdout)

    assert {(s["pattern"], s["is_covered"]) for s in said["searches"]} == {
        ("acme-base-*", True),
        ("acme-web-?", True),
        ("a*", False),
    }
    assert len({s["finding"] for s in said["searches"]}) == 2


def test_findings_of_a_hunt_are_taken_too(tmp_path: Path) -> None:
    """What `hunt` writes is held against the pattern in the same way."""
    path = tmp_path / "findings.json"
    path.write_text(run("hunt", "-", "-o", "json", stdin=backtest_trail.trail()).stdout)

    (search,) = trial("acme-*", "--against", path)["searches"]

    assert (search["pattern"], search["is_covered"]) == ("acme-base-2026-*", True)


def test_public_families_and_the_refusal_are_told() -> None:
    """A pattern of well-known names is said to be, with whose they are and what would refuse it."""
    result = run("allow", "test", "ubuntu/images/*")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[2].split("  ")[0] == "yes"
    assert "ubuntu/images/*   Canonical" in result.stdout
    assert "As an entry it is refused: got a pattern that reaches" in result.stderr


def test_table_marks_what_is_covered(tmp_path: Path) -> None:
    """For people each name has a yes or a no, and the counts are said."""
    path = tmp_path / "names"
    path.write_text("acme-1\nother\n")

    result = run("allow", "test", "acme-*", "--against", path)

    rows = [line.split() for line in result.stdout.splitlines()[2:]]
    assert rows == [["yes", "name", "acme-1", "-"], ["no", "name", "other", "-"]]
    assert "matches 1 of 2 names, covers 0 of 0 searched patterns" in result.stderr


@pytest.mark.parametrize("text", ['{"a": 1}', "{", '{"Images": 1}', "{}\n{]"])
def test_json_of_another_kind_is_a_bad_file(tmp_path: Path, text: str) -> None:
    """JSON that is neither images nor findings exits 2, with the file."""
    path = tmp_path / "some.json"
    path.write_text(text)

    result = run("allow", "test", "acme-*", "--against", path)

    assert result.exit_code == 2
    assert str(path) in result.stderr


def test_record_is_no_list_of_names(tmp_path: Path) -> None:
    """A CloudTrail record given by mistake is refused rather than read as a name."""
    path = tmp_path / "record.json"
    path.write_text(json.dumps(describe_images(filters={"name": ["acme-*"]})))

    assert run("allow", "test", "acme-*", "--against", path).exit_code == 2

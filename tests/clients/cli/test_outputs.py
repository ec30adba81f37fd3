"""Every form of output of the commands that list, and who reads it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from amiguard.v1 import finding_pb2
from amiguard_client.cli.listings import FINDING_FORMS
from tests.clients.cli.command_line import run, run_program
from tests.clients.live_server import Live
from tests.clients.messages import FINDING, finding_message
from tests.clients.scripted_server import ScriptedServer

HOSTILE = "=cmd|' /C calc'!A1 \x1b[2J\u202e\u00e9\n@x"
LISTINGS = {
    "findings": ("findings", "list"),
    "occurrences": ("findings", "occurrences", "FINDING"),
    "entries": ("findings", "history", "FINDING"),
    "allowlist_entries": ("allow", "list"),
    "rule_configs": ("rules", "list"),
    "images": ("images", "list"),
    "changes": ("audit", "list"),
}


@pytest.fixture
def filled(live: Live) -> dict[str, tuple[str, ...]]:
    """A server on which every listing has something; returns their command lines."""
    finding = live.occur(1)
    server = ("--server", live.target)
    run(
        *(*server, "images", "import", "-", "--region", "eu-west-1"),
        stdin=b'{"Images": [{"ImageId": "ami-7", "OwnerId": "000000000009", "Name": "n"}]}',
    )
    return {
        field: (*server, *(finding if word == "FINDING" else word for word in words))
        for field, words in LISTINGS.items()
    }


@pytest.mark.parametrize("field", LISTINGS)
def test_forms_of_a_listing_say_the_same(filled: dict[str, tuple[str, ...]], field: str) -> None:
    """YAML is the object of JSON, NDJSON its items, and CSV and wide have a row for each."""
    command = filled[field]

    forms = {form: run(*command, "-o", form) for form in ("json", "ndjson", "yaml", "csv", "wide")}

    assert {result.exit_code for result in forms.values()} == {0}
    listed = json.loads(forms["json"].stdout)
    items = listed[field]
    assert items
    assert yaml.safe_load(forms["yaml"].stdout) == listed
    assert [json.loads(line) for line in forms["ndjson"].stdout.splitlines()] == items
    assert len(list(csv.reader(io.StringIO(forms["csv"].stdout)))) == len(items) + 1
    assert len(forms["wide"].stdout.splitlines()) == len(items) + 1


def test_last_page_of_yaml_has_a_token(server: ScriptedServer) -> None:
    """One page as YAML is the response of the contract, token and all."""
    server.findings.findings = [finding_message()] * 3

    page = yaml.safe_load(run("--server", server.target, "findings", "list", "-o", "yaml").stdout)

    assert page == {"findings": [FINDING, FINDING], "next_page_token": "2"}


@pytest.mark.parametrize(("form", "expected"), [("yaml", "findings: []\n"), ("ndjson", "")])
def test_list_of_nothing(server: ScriptedServer, form: str, expected: str) -> None:
    """Nothing is an empty list."""
    assert run("--server", server.target, "findings", "list", "-o", form).stdout == expected


def test_csv_of_nothing_has_its_headers(server: ScriptedServer) -> None:
    """A spreadsheet of nothing still says what would be in it."""
    (line,) = run("--server", server.target, "findings", "list", "-o", "csv").stdout.splitlines()

    assert line.startswith('"FINDING","LIKELIHOOD","SCORE"')


@pytest.mark.parametrize("form", [form for form in FINDING_FORMS if form != "table"])
def test_get_has_every_form_of_a_list(server: ScriptedServer, form: str) -> None:
    """What is got is what a list of it has, but that JSON and YAML are the finding itself."""
    server.findings.findings = [finding_message()]
    command = ("--server", server.target, "findings")

    got = run(*command, "get", "00ff", "-o", form).stdout
    listed = run(*command, "list", "-o", form).stdout

    if form == "json":
        assert json.loads(got) == json.loads(listed)["findings"][0] == FINDING
    elif form == "yaml":
        assert yaml.safe_load(got) == yaml.safe_load(listed)["findings"][0] == FINDING
    else:
        assert got == listed


@pytest.mark.parametrize("form", FINDING_FORMS)
@pytest.mark.parametrize("verb", [("list",), ("get", "x")])
def test_no_form_can_command_a_terminal(
    server: ScriptedServer, verb: tuple[str, ...], form: str
) -> None:
    """Text of records stays on its line, shows what does not print, and is no formula."""
    finding = finding_message()
    finding.name = "findings/x"
    finding.actor_arn = finding.assignee = HOSTILE
    finding.search.name_patterns[:] = [HOSTILE]
    finding.labels["k"] = HOSTILE
    server.findings.findings = [finding]

    text = run("--server", server.target, "findings", *verb, "-o", form).stdout

    assert "calc" in text
    assert not {"\x1b", "\u202e"} & set(text)
    if form == "csv":
        for row in csv.reader(io.StringIO(text)):
            assert not any(cell.startswith(("=", "@", "+", "-")) for cell in row)
    if form in {"csv", "wide", "ndjson"}:
        assert len(text.splitlines()) == (1 if form == "ndjson" else 2)


def test_wide_has_what_a_table_leaves_out(server: ScriptedServer) -> None:
    """Wide is one line a finding with assignee, labels, images and reasons."""
    server.findings.findings = [finding_message()]

    header, row = run(
        "--server", server.target, "findings", "list", "-o", "wide"
    ).stdout.splitlines()

    for text in ("ASSIGNEE", "LABELS", "IMAGES", "REASONS", "UPDATED (UTC)"):
        assert text in header
    for text in ("ops", "team=blue", "ami-1, ami-2", "NO_OWNER", "RISK_ACCEPTED"):
        assert row[header.index("ASSIGNEE") - 30 :].count(text) == 1


def test_data_goes_to_output_and_talk_to_error(server: ScriptedServer) -> None:
    """What a program reads has nothing in it that is meant for people."""
    server.findings.findings = [finding_message()] * 3

    result = run("--server", server.target, "findings", "list", "-o", "csv")

    assert "There is more" not in result.stdout
    assert result.stderr == "There is more: --all, or --page-token 2\n"


@pytest.mark.parametrize("terminal", ["dumb", "xterm-256color"])
def test_piped_output_has_no_color(server: ScriptedServer, terminal: str) -> None:
    """Colors are for terminals."""
    server.findings.findings = [finding_message()]

    done = run_program("--server", server.target, "findings", "list", TERM=terminal)

    assert done.returncode == 0
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(("variables", "has_color"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colors_on_a_terminal_can_be_turned_off(
    server: ScriptedServer, variables: dict[str, str], *, has_color: bool
) -> None:
    """NO_COLOR leaves a terminal without colors, and the table whole."""
    server.findings.findings = [finding_message()]

    shown = at_a_terminal("--server", server.target, "findings", "list", **variables)

    assert ("\x1b[1;31m" in shown) == has_color
    assert "HIGH 95" in shown


@pytest.mark.parametrize("columns", [80, 120, 400])
def test_terminal_shows_the_columns_that_fit(server: ScriptedServer, columns: int) -> None:
    """A narrow terminal has one line a finding, too: the columns for which there is room."""
    finding = finding_message()
    finding.name = f"findings/000123456789-{'a' * 24}"
    server.findings.findings = [finding]

    shown = at_a_terminal(*("--server", server.target, "findings", "list"), COLUMNS=str(columns))

    header, _, row = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert header.startswith("FINDING")
    assert f"000123456789-{'a' * 24}" in row
    assert len(row) <= columns
    assert ("ACTOR" in header) == (columns == 400)


def test_reader_that_goes_away_is_no_trouble(server: ScriptedServer) -> None:
    """`| head -1` ends the program quietly, with the code that shells give for it."""
    big = finding_pb2.Finding(name="findings/x", actor_arn="a" * 100_000)
    server.findings.findings = [big] * 20
    command = [sys.executable, "-m", "amiguard_client.cli", "--server", server.target]

    with subprocess.Popen(
        [*command, "findings", "list", "--all", "-o", "ndjson"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        process.wait(timeout=60)

    assert (process.returncode, said) == (141, b"")


def at_a_terminal(*args: object, **environment: str) -> str:
    """Runs a command whose standard output is a terminal; returns what it shows."""
    keyboard, terminal = os.openpty()
    base = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "400"}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        base.pop(name, None)
    with subprocess.Popen(
        [sys.executable, "-m", "amiguard_client.cli", *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        env={**base, **environment},
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while more := os.read(keyboard, 65_536):
                shown += more
        except OSError:
            pass  # what Linux says once nobody has the terminal any more
        finally:
            os.close(keyboard)
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


def test_offline_findings_have_every_form(tmp_path: Path) -> None:
    """`hunt` writes what it finds in the forms of `findings list`."""
    from tests.data.delivery import write_demo

    write_demo(tmp_path)

    forms = {form: run("hunt", tmp_path, "-o", form).stdout for form in FINDING_FORMS}

    count = len(json.loads(forms["json"])["findings"])
    assert count > 1
    assert len(yaml.safe_load(forms["yaml"])["findings"]) == count
    assert len(forms["csv"].splitlines()) == len(forms["wide"].splitlines()) == count + 1
    assert len(forms["ndjson"].splitlines()) == count

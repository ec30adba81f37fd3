"""`amiguardctl findings`: the JSON of the contract, and what people read."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf import json_format

from amiguard.v1 import finding_pb2, finding_service_pb2
from tests.clients.cli.command_line import run
from tests.clients.messages import (
    FINDING,
    OCCURRENCE,
    finding_message,
    occurrence_message,
    pinned_occurrence_message,
)
from tests.clients.scripted_server import ScriptedServer, reason, status


@pytest.fixture(autouse=True)
def five_findings(server: ScriptedServer) -> None:
    """Puts five findings and five occurrences on the server, two a page."""
    for number in range(5):
        finding = finding_message()
        finding.name = f"findings/{number:032x}"
        server.findings.findings.append(finding)
    server.findings.occurrences = [occurrence_message()] * 5


def test_get_as_json_is_the_finding_of_the_contract(server: ScriptedServer) -> None:
    """`get -o json` is the JSON of the message, with the contract's field names."""
    result = run("--server", server.target, "findings", "get", f"{3:032x}", "-o", "json")

    assert json.loads(result.stdout) == {**FINDING, "name": f"findings/{3:032x}"}


def test_list_as_json_is_the_response_of_the_contract(server: ScriptedServer) -> None:
    """`list -o json` is the JSON of one response, with the token of the next page."""
    result = run("--server", server.target, "findings", "list", "-o", "json")

    response = json_format.Parse(result.stdout, finding_service_pb2.GetFindingsResponse())
    assert [finding.name for finding in response.findings] == [
        f"findings/{0:032x}",
        f"findings/{1:032x}",
    ]
    assert response.next_page_token == "2"
    assert list(json.loads(result.stdout)) == ["findings", "next_page_token"]


def test_list_of_everything_is_one_object(server: ScriptedServer) -> None:
    """`list --all -o json` is one object with every finding and no token."""
    result = run("--server", server.target, "findings", "list", "--all", "-o", "json")

    assert [f["name"] for f in json.loads(result.stdout)["findings"]] == [
        f"findings/{n:032x}" for n in range(5)
    ]
    assert list(json.loads(result.stdout)) == ["findings"]


def test_list_as_lines_is_a_finding_a_line(server: ScriptedServer) -> None:
    """`-o ndjson` is the JSON of one finding on each line."""
    result = run("--server", server.target, "findings", "list", "--all", "-o", "ndjson")

    lines = result.stdout.splitlines()
    assert len(lines) == 5
    assert json.loads(lines[4]) == {**FINDING, "name": f"findings/{4:032x}"}


def test_empty_list_is_valid_json(server: ScriptedServer) -> None:
    """A list of nothing is an object with an empty list."""
    server.findings.findings = []

    result = run("--server", server.target, "findings", "list", "-o", "json")

    assert json.loads(result.stdout) == {"findings": []}


def test_options_reach_the_server(server: ScriptedServer) -> None:
    """Filter, order, page size and token are passed on as they are."""
    run(
        *("--server", server.target, "findings", "list", "--filter", "state = OPEN"),
        *("--order-by", "create_time desc", "--page-size", 3, "--page-token", "1"),
    )

    assert server.findings.requests == [
        finding_service_pb2.GetFindingsRequest(
            filter="state = OPEN", order_by="create_time desc", page_size=3, page_token="1"
        )
    ]


def test_token_of_one_page_leads_to_the_next(server: ScriptedServer) -> None:
    """A page that is not the last says how to see the next."""
    result = run("--server", server.target, "findings", "list")

    assert result.stderr == "There is more: --all, or --page-token 2\n"


def test_table_is_not_cut_when_piped(server: ScriptedServer) -> None:
    """Where there is no terminal there is no width: each finding is one whole line."""
    long_name = "arn:aws:iam::000123456789:role/" + "x" * 500
    server.findings.findings[0].actor_arn = long_name

    result = run("--server", server.target, "findings", "list", "--all")

    header, _, *rows = result.stdout.splitlines()
    assert header.split()[0] == "FINDING"
    assert len(rows) == 5
    assert long_name in rows[0]
    assert rows[0].startswith(f"{0:032x}")


def test_table_of_nothing_says_so(server: ScriptedServer) -> None:
    """No findings make no table, and a word on standard error."""
    server.findings.findings = []

    result = run("--server", server.target, "findings", "list")

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "Nothing to show.\n"


def test_occurrences_as_json(server: ScriptedServer) -> None:
    """Occurrences come as the JSON of the contract, too."""
    result = run(
        *("--server", server.target, "findings", "occurrences", "f"),
        *("--all", "-o", "json"),
    )

    assert json.loads(result.stdout) == {"occurrences": [OCCURRENCE] * 5}


def test_occurrences_as_table(server: ScriptedServer) -> None:
    """Occurrences come one a line, with the time from search to launch."""
    result = run("--server", server.target, "findings", "occurrences", "f", "--page-size", 3)

    header, _, *rows = result.stdout.splitlines()
    assert header.split()[:2] == ["SEARCH", "(UTC)"]
    assert len(rows) == 3
    assert "42 s" in rows[0]


def test_detail_answers_what_a_person_asks(server: ScriptedServer) -> None:
    """The view of one finding has score steps, search, timeline, triage steps and the fix."""
    result = run("--server", server.target, "findings", "get", f"{0:032x}")

    for expected in (
        "HIGH 95  confidence 75  CLOSED (RISK_ACCEPTED)",
        "ubuntu/images/*",
        "architecture",
        "no owner",
        "ORGANIZATION_PATTERN",
        "allowlistEntries/ours",
        "2026-03-01 10:00:42",
        "RunInstances 42 s after the search",
        "1.  Look into the principal.",
        'owners = ["099720109477"]',
    ):
        assert expected in result.stdout


HOSTILE = "\x1b]0;owned\x07[bold red]\u202e"
SHOWN = r"\x1b]0;owned\x07[bold red]\u202e"


@pytest.mark.parametrize("command", [("list",), ("get", f"{0:032x}"), ("occurrences", "f")])
def test_records_cannot_command_the_terminal(
    server: ScriptedServer, command: tuple[str, ...]
) -> None:
    """Text of records is shown as text: no control characters, no markup."""
    finding, occurrence = server.findings.findings[0], occurrence_message()
    occurrence.user_agent = occurrence.principal_arn = HOSTILE
    finding.recent_occurrences[0].CopyFrom(occurrence)
    finding.actor_arn = finding.search.name_patterns[0] = HOSTILE
    finding.search.other_filters[0].name = HOSTILE
    finding.remediation.fix_snippet = HOSTILE
    server.findings.occurrences = [occurrence]

    result = run("--server", server.target, "findings", *command)

    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert SHOWN in result.stdout


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_json_cannot_command_the_terminal(server: ScriptedServer, output: str) -> None:
    """JSON escapes what does not print, and reads back as it was."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f", actor_arn=HOSTILE)]

    result = run("--server", server.target, "findings", "list", "-o", output)

    assert result.stdout.isascii()
    assert HOSTILE in json.dumps(json.loads(result.stdout), ensure_ascii=False).encode().decode(
        "utf-8"
    ).replace("\\u001b", "\x1b").replace("\\u0007", "\x07")


def test_filter_error_points_at_the_place(server: ScriptedServer) -> None:
    """A filter the server does not understand is shown with a mark where it stopped."""
    server.findings.failure = status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "filter does not parse",
        (reason("FILTER_SYNTAX", offset="8", expected="a value"),),
    )

    result = run("--server", server.target, "findings", "list", "--filter", "state = ")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[:2] == ["  state = ", "          ^"]


def test_launch_from_a_template_is_told_with_what_pinned_its_image(server: ScriptedServer) -> None:
    """The launch, the call that pinned the image and the search, each with its time and event."""
    pinned = pinned_occurrence_message()
    pinned.principal_arn = ""
    del server.findings.findings[0].recent_occurrences[:]
    server.findings.findings[0].recent_occurrences.append(pinned)
    server.findings.occurrences = [pinned]

    detail = run("--server", server.target, "findings", "get", f"{0:032x}").stdout
    listed = run("--server", server.target, "findings", "occurrences", f"{0:032x}").stdout

    for expected in (
        "2026-03-01 10:00:42  RunInstances from lt-1 version 2; ami-1",
        "2026-03-01 10:00:30  CreateLaunchTemplateVersion 30 s after the search; made lt-1 ver",
        "2026-03-01 10:00:00  DescribeImages; event s1",
        "by nobody that the record names",
    ):
        assert expected in detail
    assert "RunInstances from lt-1 version 2" in listed

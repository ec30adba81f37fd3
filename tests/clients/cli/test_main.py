"""The command line as a whole: help, exit codes, and what is not loaded."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from google.rpc import error_details_pb2

from amiguard.v1 import finding_pb2
from tests.clients.cli.command_line import run, run_program
from tests.clients.scripted_server import ScriptedServer, reason, serve, status

FINDINGS = ("ack", "close", "reopen", "assign", "label", "history", "watch")
ALLOW = ("list", "get", "add", "update", "remove", "export", "apply", "lint", "test")
RULES = ("get", "list", "diff", "set", "rollback", "status", "backtest")
HEAVY = ("grpc", "google.protobuf", "msgspec", "pygments", "yaml")
COMMANDS = [
    (),
    ("submit",),
    ("findings",),
    ("findings", "list"),
    ("findings", "get"),
    ("findings", "occurrences"),
    ("explain",),
    ("hunt",),
    *(("findings", verb) for verb in FINDINGS),
    ("allow",),
    *(("allow", verb) for verb in ALLOW),
    ("rules",),
    *(("rules", verb) for verb in RULES),
    ("images",),
    *(("images", verb) for verb in ("import", "list", "forget")),
    ("audit",),
    *(("audit", verb) for verb in ("list", "verify")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help(command: tuple[str, ...], flag: str) -> None:
    """Each command says how it is used, and succeeds in it."""
    result = run(*command, flag)

    assert result.exit_code == 0
    assert "Usage: main " + " ".join(command) in " ".join(result.stdout.split())


def test_help_lists_every_command() -> None:
    """The help of the root names the commands with a line for each."""
    lines = run("--help").stdout.splitlines()

    for command, *_ in filter(None, COMMANDS):
        assert any(command in line and "." in line for line in lines)


@pytest.mark.parametrize(
    "command", [("--version",), *((*command, "--help") for command in COMMANDS)], ids=" ".join
)
def test_help_loads_neither_grpc_nor_the_rule(command: tuple[str, ...]) -> None:
    """What only says how to use a command starts without what only running it needs."""
    code = (
        "import sys\n"
        "from amiguard_client.cli.main import main\n"
        f"main({list(command)!r}, standalone_mode=False)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_that_of_the_distribution() -> None:
    """`--version` says which release is installed."""
    from importlib.metadata import version

    assert version("amiguard") in run("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("findings", "nonsense"),
        ("submit",),
        ("findings", "list", "--page-size", "0"),
        ("--timeout", "soon", "findings", "list"),
        ("hunt", ".", "--window", "25h"),
        ("hunt", ".", "--window", "0s"),
        ("hunt", ".", "--mode", "lenient"),
        ("--cert", "missing.pem", "--tls", "findings", "list"),
        ("--ca", "missing.pem", "findings", "list"),
        ("--insecure", "--ca", "missing.pem", "findings", "list"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(arguments: tuple[str, ...]) -> None:
    """A command line that cannot be meant ends with 2 and an explanation on standard error."""
    result = run(*arguments)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr != ""


def test_unreachable_server_exits_3() -> None:
    """A server that is not there ends a command with 3 and its address."""
    with serve() as stopped:
        target = stopped.target

    done = run_program("--server", target, "findings", "list")

    assert done.returncode == 3
    assert done.stdout == b""
    assert target.encode() in done.stderr


def test_server_is_taken_from_the_environment(server: ScriptedServer) -> None:
    """AMIGUARD_SERVER and AMIGUARD_TOKEN stand in for the options."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]

    done = run_program(
        "findings", "get", "f", AMIGUARD_SERVER=server.target, AMIGUARD_TOKEN="secret"
    )

    assert done.returncode == 0
    assert server.findings.metadata[0]["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, 3),
        (grpc.StatusCode.NOT_FOUND, 1),
        (grpc.StatusCode.PERMISSION_DENIED, 1),
        (grpc.StatusCode.INTERNAL, 1),
    ],
)
def test_errors_of_the_server_decide_the_exit_code(
    server: ScriptedServer, code: grpc.StatusCode, expected: int
) -> None:
    """3 says that trying later may help, 1 that it failed; both say why on standard error."""
    server.findings.failure = status(code, "for a reason")

    result = run("--server", server.target, "findings", "get", "f")

    assert result.exit_code == expected
    assert "for a reason" in result.stderr
    assert result.stdout == ""


def test_refused_request_names_reason_and_field(server: ScriptedServer) -> None:
    """A refused request is told with the cause of the contract and the field."""
    details = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="order_by", description="got 'x'")
        ]
    )
    server.findings.failure = status(
        grpc.StatusCode.INVALID_ARGUMENT, "invalid", (reason("INVALID_FIELD"), details)
    )

    result = run("--server", server.target, "findings", "list", "--order-by", "x")

    assert result.exit_code == 1
    assert "order_by: got 'x'" in result.stderr
    assert "INVALID_FIELD" in result.stderr


def test_errors_cannot_command_the_terminal(server: ScriptedServer) -> None:
    """What a server says reaches the terminal as text, whatever is in it."""
    server.findings.failure = status(grpc.StatusCode.NOT_FOUND, "no \x1b[2J such")

    result = run("--server", server.target, "findings", "get", "f")

    assert r"no \x1b[2J such" in result.stderr

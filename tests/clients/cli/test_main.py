"""The command line as a whole: help, exit codes, and what is not loaded."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import grpc
import pytest
from google.rpc import error_details_pb2

from amiguard.v1 import finding_pb2
from amiguard_client.cli.exits import MEANINGS
from amiguard_client.cli.main import main
from amiguard_client.cli.man import contexts_of
from amiguard_service.identity import Role
from tests.clients.cli.command_line import run, run_program
from tests.clients.live_server import live_server, people
from tests.clients.scripted_server import ScriptedServer, reason, serve, status

ROOT = Path(__file__).parents[3]
HEAVY = (
    "amiguard",
    "amiguard_core",
    "asyncio",
    "boto3",
    "concurrent.futures",
    "google",
    "grpc",
    "importlib.metadata",
    "isal",
    "logging",
    "msgspec",
    "multiprocessing",
    "pygments",
    "rich",
    "ssl",
    "yaml",
)
"""What takes its time to import, and is needed for no help."""
COMMANDS = [
    tuple(ctx.command_path.split()[1:])
    for ctx in contexts_of(click.Context(main, info_name="amiguardctl"))
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
    "command", [*((*command, "--help") for command in COMMANDS), ("nonsense",)], ids=" ".join
)
def test_help_loads_nothing_heavy(command: tuple[str, ...]) -> None:
    """What only says how to use a command starts without what only running it needs."""
    code = (
        "import sys\n"
        "from amiguard_client.cli.main import main\n"
        "try:\n"
        f"    main({list(command)!r}, prog_name='amiguardctl')\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_version_loads_no_more_than_it_says() -> None:
    """`--version` starts as fast, but for what knows the version."""
    code = (
        "import sys\n"
        "from amiguard_client.cli.main import main\n"
        "main(['--version'], standalone_mode=False)\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules and m != 'importlib.metadata'])"
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
        *("findings", "get", "f", "--insecure"),
        AMIGUARD_SERVER=server.target,
        AMIGUARD_TOKEN="secret",
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


def test_exit_codes_are_those_of_the_documentation() -> None:
    """docs/cli.md has the table of the code, which is a promise."""
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")

    documented = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)

    assert {int(code): meaning for code, meaning in documented} == MEANINGS
    assert set(MEANINGS) == {0, 1, 2, 3, 4, 5, 130, 141}


def test_token_that_is_not_accepted_exits_4(
    migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not know the caller is one line with what to do, and the token is not."""
    with live_server(migrated_sqlite, tmp_path, authenticator=people(reader=Role.READ)) as live:
        monkeypatch.setenv("AMIGUARD_TOKEN", "stale-token")
        wrong = run("--server", live.target, "--insecure", "findings", "list")
        missing = run("--server", live.target, "--token", "", "--insecure", "findings", "list")
        right = run("--server", live.target, "--token", "reader", "--insecure", "findings", "list")

    for result in (wrong, missing):
        assert (result.exit_code, result.stdout) == (4, "")
        assert "Give a valid token" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "stale-token" not in result.stderr
    assert right.exit_code == 0


def test_server_that_is_gone_is_one_line() -> None:
    """A server that is not there is one line, with what to look at."""
    with serve() as stopped:
        target = stopped.target

    result = run("--server", target, "findings", "list", "--timeout", "10s")

    assert result.exit_code == 3
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {target} cannot be reached: ")
    assert line.endswith("Check the address (--server, or the context) and that it runs.")


def test_server_that_speaks_plain_text_is_named_so(server: ScriptedServer) -> None:
    """Encryption that the server does not know has advice of its own."""
    result = run("--server", server.target, "--tls", "--timeout", "10s", "findings", "list")

    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert "--insecure" in result.stderr


@pytest.mark.parametrize("token", ["a b", "a\nb", "\u00e9", "x\ty", "\x7f"])
def test_token_that_cannot_be_sent_exits_2(token: str) -> None:
    """What fits into no header is refused before anything is sent, and is not shown."""
    result = run("--server", "127.0.0.1:1", "--token", token, "findings", "list")

    assert result.exit_code == 2
    assert "got a token with characters that no token has" in result.stderr
    assert token not in result.stderr


def test_token_may_end_with_a_line(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the line that a secret was written with is no part of it."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]
    monkeypatch.setenv("AMIGUARD_TOKEN", "secret\n")

    result = run("--server", server.target, "--insecure", "findings", "get", "f")

    assert result.exit_code == 0
    assert server.findings.metadata[0]["authorization"] == "Bearer secret"


def test_options_of_the_server_stand_anywhere(server: ScriptedServer) -> None:
    """After the command they mean what they mean before it, and win over it."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]

    result = run(
        *("--server", "127.0.0.1:1", "--token", "early", "findings", "get", "f"),
        *("--server", server.target, "--token", "late", "--insecure", "--timeout", "20s"),
    )

    assert result.exit_code == 0
    assert server.findings.metadata[0]["authorization"] == "Bearer late"


def test_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt ends a command without a word, with the code that shells give for it."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("amiguard_client.channel.connect", interrupted)

    result = run("--server", "127.0.0.1:1", "findings", "list")

    assert (result.exit_code, result.output) == (130, "")


def test_missing_extra_is_one_line(tmp_path: Path) -> None:
    """Without what the command line needs, the program says what to install."""
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError('no', name='click')")

    done = run_program("--help", PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == b"Error: no module click: pip install 'amiguard[cli]'\n"


def test_errors_cannot_command_the_terminal(server: ScriptedServer) -> None:
    """What a server says reaches the terminal as text, whatever is in it."""
    server.findings.failure = status(grpc.StatusCode.NOT_FOUND, "no \x1b[2J such")

    result = run("--server", server.target, "findings", "get", "f")

    assert r"no \x1b[2J such" in result.stderr

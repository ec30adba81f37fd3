"""Completion in shells: real ones where they are, and click's protocol for each."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from amiguard_client.cli.completion import SHELLS
from tests.clients.cli.command_line import run
from tests.clients.live_server import Live
from tests.clients.messages import finding_message
from tests.clients.scripted_server import ScriptedServer

TIMEOUT_SECONDS = 60
BASH_PROGRAM = shutil.which("bash") or "bash"
BASH = """
source <("$AMIGUARDCTL" completion bash)
complete -p amiguardctl >/dev/null || exit 9
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_amiguardctl_completion "$AMIGUARDCTL" "${COMP_WORDS[COMP_CWORD]}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
$AMIGUARDCTL completion fish | source
complete --do-complete "$argv"
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the shells find the program, and no contexts but those of the test."""
    program = Path(sys.executable).parent / "amiguardctl"
    monkeypatch.setenv("AMIGUARDCTL", str(program))
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AMIGUARD_CONFIG", str(tmp_path / "contexts.yaml"))
    monkeypatch.delenv("AMIGUARD_SERVER", raising=False)
    # Of the usual second a busy machine may need all before anything is asked.
    monkeypatch.setenv("AMIGUARD_TIMEOUT", "30s")


def in_bash(*words: str) -> list[str]:
    """Has bash complete the last of the words; nothing may be said about it."""
    done = subprocess.run(
        [BASH_PROGRAM, "--norc", "-c", BASH, "bash", "amiguardctl", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def by_protocol(shell: str, *words: str) -> list[str]:
    """Asks as the script of a shell does; returns the lines of the answer."""
    line = ["amiguardctl", *words]
    number = {"fish": words[-1]}.get(shell, str(len(words)))
    done = subprocess.run(
        [os.environ["AMIGUARDCTL"]],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        env={
            **os.environ,
            "_AMIGUARDCTL_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(line[:-1] if shell == "fish" else line),
            "COMP_CWORD": number,
        },
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_bash_completes_commands_and_options() -> None:
    """What the command line knows by itself needs no server."""
    assert in_bash("fin") == ["findings"]
    assert in_bash("findings", "re") == ["reopen"]
    assert in_bash("findings", "list", "--order") == ["--order-by"]
    assert in_bash("findings", "list", "-o", "nd") == ["ndjson"]


def test_bash_completes_what_the_server_has(live: Live) -> None:
    """Findings, entries and revisions are those of the server that the line names."""
    finding = live.occur(1).removeprefix("findings/")
    server = ("--server", live.target)

    assert in_bash(*server, "findings", "get", "") == [finding]
    assert in_bash(*server, "findings", "close", finding[:5]) == [finding]
    assert in_bash("findings", "get", *server, "") == [finding]
    assert in_bash(*server, "findings", "get", "zz") == []
    assert in_bash(*server, "allow", "get", "alias-s") == ["alias-self"]
    assert in_bash(*server, "rules", "rollback", "") == ["1"]


def test_bash_completes_contexts(live: Live) -> None:
    """Contexts are completed by name, and the one in use says which findings there are."""
    finding = live.occur(1).removeprefix("findings/")
    run("context", "add", "prod", "--server", live.target)
    run("context", "add", "test", "--server", "127.0.0.1:1")

    assert in_bash("context", "use", "") == ["prod", "test"]
    assert in_bash("--context", "t") == ["test"]
    assert in_bash("findings", "list", "--context", "p") == ["prod"]
    assert in_bash("findings", "get", "") == [finding]
    assert in_bash("--context", "test", "findings", "get", "") == []


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("trouble", ["server away", "broken file", "bad token file", "nonsense"])
def test_no_error_reaches_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, trouble: str
) -> None:
    """Whatever is wrong, nothing is offered and nothing is said."""
    monkeypatch.delenv("AMIGUARD_TIMEOUT")
    words = ["findings", "get", ""]
    match trouble:
        case "server away":
            run("context", "add", "x", "--server", "127.0.0.1:1")
        case "broken file":
            (tmp_path / "contexts.yaml").write_text("contexts: [")
        case "bad token file":
            run("context", "add", "x", "--server", "127.0.0.1:1", "--token-file", tmp_path / "no")
        case _:
            words = ["findings", "nonsense", ""]

    answer = by_protocol(shell, *words)

    assert answer == [] or trouble == "nonsense"


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_ids_with_notes(server: ScriptedServer, shell: str) -> None:
    """The protocol of each shell has the ids; where a shell shows notes, what tells them apart."""
    server.findings.findings = [finding_message()]
    run("context", "add", "x", "--server", server.target)

    answer = by_protocol(shell, "findings", "get", "00")

    note = "HIGH CLOSED 000123456789 eu-west-1 ubuntu/images/*"
    expected = {
        "bash": ["plain,00ff"],
        "zsh": ["plain", "00ff", note],
        "fish": [f"plain,00ff\t{note}"],
    }
    assert answer == expected[shell]


@pytest.mark.parametrize("name", ["$(reboot)", "a b", "-rf", "x;y", "`x`", "a\nb", "*"])
def test_server_puts_nothing_harmful_on_the_line(server: ScriptedServer, name: str) -> None:
    """A name that a shell would take for more than a word is not offered."""
    server.findings.findings = [finding_message(), finding_message()]
    server.findings.findings[0].name = f"findings/{name}"
    run("context", "add", "x", "--server", server.target)

    assert by_protocol("bash", "findings", "get", "") == ["plain,00ff"]


def test_scripts_are_taken_by_the_shells_there_are() -> None:
    """Each shell that is installed reads its script without a complaint."""
    for shell in filter(shutil.which, SHELLS):
        script = run("completion", shell).stdout

        read = subprocess.run(
            [shell, "-n"], input=script, check=False, capture_output=True, text=True
        )

        assert (read.returncode, read.stderr) == (0, ""), shell


def test_fish_completes_what_the_server_has(live: Live) -> None:
    """Where fish is installed, it offers findings; elsewhere its protocol is held to it."""
    finding = live.occur(1).removeprefix("findings/")
    run("context", "add", "prod", "--server", live.target)
    fish = shutil.which("fish")
    if fish is None:
        (answer,) = by_protocol("fish", "findings", "get", "")
        assert answer.split("\t")[0] == f"plain,{finding}"
        return

    done = subprocess.run(
        [fish, "--no-config", "-c", FISH, "amiguardctl findings get "],
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )

    assert done.stderr == ""
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [finding]


def test_server_that_says_nothing_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and never answers costs the deadline and no more."""
    monkeypatch.delenv("AMIGUARD_TIMEOUT")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()

        assert in_bash("--server", f"{host}:{port}", "findings", "get", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_script_names_the_program(shell: str) -> None:
    """The script of each shell is for amiguardctl, and asks it with the variable it looks at."""
    script = run("completion", shell).stdout

    assert "amiguardctl" in script
    assert f"_AMIGUARDCTL_COMPLETE={shell}_complete" in script


def test_other_shells_exit_2() -> None:
    """A shell that is not known is refused with those that are."""
    result = run("completion", "tcsh")

    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr

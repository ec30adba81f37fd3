"""`amiguardctl context`: servers by name, and what wins over what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amiguard.v1 import finding_pb2
from amiguard_client.cli.contexts import config_path, load_config
from tests.clients.cli.command_line import run, run_program
from tests.clients.cli.terminal import asking
from tests.clients.scripted_server import ScriptedServer

TOKEN = "very-secret"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the file of contexts into a folder of its own, and no server into the environment."""
    for name in ("CONTEXT", "SERVER", "CA", "TOKEN"):
        monkeypatch.delenv(f"AMIGUARD_{name}", raising=False)
    path = tmp_path / "conf" / "contexts.yaml"
    monkeypatch.setenv("AMIGUARD_CONFIG", str(path))
    return path


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A file with a token that is its owner's alone."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture(autouse=True)
def one_finding(server: ScriptedServer) -> None:
    """Puts a finding on the server."""
    server.findings.findings = [finding_pb2.Finding(name="findings/f")]


def add(*args: object) -> None:
    """Adds a context, which has to succeed."""
    result = run("context", "add", *args)
    assert result.exit_code == 0, result.stderr


def sent_token(server: ScriptedServer, *args: object) -> object:
    """Asks for the finding; returns the credentials that reached the server."""
    result = run(*args, "findings", "get", "f")
    assert result.exit_code == 0, result.stderr
    return server.findings.metadata[-1].get("authorization")


def test_first_context_is_in_use(server: ScriptedServer, token_file: Path) -> None:
    """A context that is added to none names the server from then on, with its token."""
    add("here", "--server", server.target, "--insecure", "--token-file", token_file)

    assert sent_token(server) == f"Bearer {TOKEN}"


def test_context_is_named_anywhere(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """--context before the command, after it, or AMIGUARD_CONTEXT: the same."""
    add("away", "--server", "127.0.0.1:1")
    add("here", "--server", server.target)

    before = run("--context", "here", "findings", "get", "f")
    after = run("findings", "get", "f", "--context", "here")
    monkeypatch.setenv("AMIGUARD_CONTEXT", "here")
    by_variable = run("findings", "get", "f")

    assert [r.exit_code for r in (before, after, by_variable)] == [0, 0, 0]


def test_use_changes_the_context(server: ScriptedServer) -> None:
    """`context use` decides which server is asked when none is named."""
    add("away", "--server", "127.0.0.1:1")
    add("here", "--server", server.target)

    away = run("findings", "get", "f")
    used = run("context", "use", "here")
    here = run("findings", "get", "f")

    assert (away.exit_code, used.exit_code, here.exit_code) == (3, 0, 0)


@pytest.mark.parametrize("place", ["option", "after", "variable"])
def test_server_wins_over_the_context(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A server of the command line or the environment wins over the one of a named context."""
    add("away", "--server", "127.0.0.1:1")
    named = ("--context", "away")
    if place == "variable":
        monkeypatch.setenv("AMIGUARD_SERVER", server.target)
        result = run(*named, "findings", "get", "f")
    elif place == "after":
        result = run(*named, "findings", "get", "f", "--server", server.target)
    else:
        result = run(*named, "--server", server.target, "findings", "get", "f")

    assert result.exit_code == 0, result.stderr


def test_token_wins_over_the_context(
    server: ScriptedServer, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option wins over the variable, and the variable over the context."""
    add("here", "--server", server.target, "--insecure", "--token-file", token_file)

    by_context = sent_token(server)
    monkeypatch.setenv("AMIGUARD_TOKEN", "of-variable")
    by_variable = sent_token(server)
    by_option = sent_token(server, "--token", "of-option")

    assert [by_context, by_variable, by_option] == [
        f"Bearer {TOKEN}",
        "Bearer of-variable",
        "Bearer of-option",
    ]


def test_token_goes_to_nobody_in_plain_text_unless_told(
    server: ScriptedServer, token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever listens at a port of this machine might be anybody."""
    add("here", "--server", server.target, "--token-file", token_file)
    by_context = run("--timeout", "5s", "findings", "get", "f")
    monkeypatch.setenv("AMIGUARD_TOKEN", TOKEN)
    by_variable = run("--server", server.target, "--timeout", "5s", "findings", "get", "f")
    away = run("--server", "amiguard.invalid:7443", "--insecure", "findings", "get", "f")

    assert (by_context.exit_code, by_variable.exit_code, away.exit_code) == (3, 3, 2)
    assert "wanted TLS" in away.stderr
    assert server.findings.metadata == []


def test_token_goes_to_no_other_server(server: ScriptedServer, token_file: Path) -> None:
    """With another server than the context's, its token stays where it is, unless it is named."""
    add("prod", "--server", "127.0.0.1:1", "--insecure", "--token-file", token_file)

    other = sent_token(server, "--server", server.target)
    forwarded = sent_token(server, "--context", "prod", "--server", server.target)

    assert other is None
    assert forwarded == f"Bearer {TOKEN}"


def test_token_of_a_variable(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context may name the variable that has the token; unset, it is said which."""
    add("here", "--server", server.target, "--insecure", "--token-env", "PROD_TOKEN")

    missing = run("findings", "get", "f")
    monkeypatch.setenv("PROD_TOKEN", TOKEN)
    sent = sent_token(server)

    assert missing.exit_code == 2
    assert "PROD_TOKEN is not set" in missing.stderr
    assert sent == f"Bearer {TOKEN}"


@pytest.mark.parametrize("form", ["table", "wide", "json", "ndjson", "yaml", "csv"])
def test_no_token_is_ever_shown(token_file: Path, config: Path, form: str) -> None:
    """What lists and shows contexts says where a token is, and so does the file."""
    add("prod", "--server", "example.com:443", "--token-file", token_file)

    listed = run("context", "list", "-o", form)
    shown = run("context", "show", "-o", form if form in {"json", "yaml"} else "table")

    assert str(token_file) in listed.stdout
    assert str(token_file) in "".join(shown.stdout.split())
    assert TOKEN not in listed.output + shown.output + config.read_text()


def test_file_is_its_owners_alone(config: Path) -> None:
    """The file and the folder that is made for it can be read by nobody else, and nothing stays."""
    add("prod", "--server", "example.com:443")
    add("prod", "--server", "example.com:444", "--replace")

    assert config.stat().st_mode & 0o777 == 0o600
    assert config.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in config.parent.iterdir()] == [config.name]


def test_file_that_is_a_link_stays_one(config: Path, tmp_path: Path) -> None:
    """Who keeps the file elsewhere finds the change there."""
    kept = tmp_path / "dotfiles.yaml"
    kept.touch()
    config.parent.mkdir()
    config.symlink_to(kept)

    add("prod", "--server", "example.com:443")

    assert config.is_symlink()
    assert "example.com:443" in kept.read_text()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"AMIGUARD_CONFIG": "/a/b.yaml", "XDG_CONFIG_HOME": "/x"}, "/a/b.yaml"),
        ({"AMIGUARD_CONFIG": "", "XDG_CONFIG_HOME": "/x"}, "/x/amiguard/config.yaml"),
        ({"AMIGUARD_CONFIG": "", "XDG_CONFIG_HOME": ""}, "/home/me/.config/amiguard/config.yaml"),
        ({"AMIGUARD_CONFIG": "", "XDG_CONFIG_HOME": "x"}, "/home/me/.config/amiguard/config.yaml"),
    ],
)
def test_place_of_the_file(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    """AMIGUARD_CONFIG, else XDG_CONFIG_HOME if it is absolute, else the home folder."""
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert config_path() == Path(expected)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("contexts: [", ":2: did not find"),
        ("contexts:\n  a:\n    sever: x\n", ":3: contexts.a.sever: got a key that is not known"),
        ("contexts:\n  a:\n    server: 1\n", ":3: contexts.a.server: got 1 without quotes"),
        ("contexts:\n  a: {}\n", ":2: contexts.a: got no server, which is required"),
        ("contexts:\n  a:\n    server: ''\n", ":3: contexts.a: got an empty server"),
        ("contexts:\n  'a b':\n    server: x\n", ":3: contexts.a b: got this name, wanted"),
        (
            "contexts:\n  a:\n    server: x\n    token_file: y\n    token_env: Z\n",
            ":3: contexts.a: got token_file and token_env, wanted one of them",
        ),
        (
            "contexts:\n  a:\n    server: x\n    cert: y\n",
            ":3: contexts.a: got one of cert and key",
        ),
        (
            "contexts:\n  a:\n    server: x\n    insecure: true\n    ca: y\n",
            ":3: contexts.a: got certificates with insecure",
        ),
        ("\ncurrent_context: b\n", ":2: current_context: got b, wanted"),
        ("- a\n", ":1: got a list, wanted a mapping"),
        ("contexts: {a: {server: x}, a: {server: y}}\n", ":1: got the key a twice"),
    ],
)
def test_broken_file_is_one_line_with_the_place(config: Path, text: str, complaint: str) -> None:
    """What is wrong with the file is said with its line, and nothing else is."""
    config.parent.mkdir()
    config.write_text(text)

    for command in (("findings", "list"), ("context", "list"), ("context", "use", "a")):
        result = run(*command)

        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"{config}{complaint}")


def test_broken_file_is_no_matter_where_the_server_is_named(
    server: ScriptedServer, config: Path
) -> None:
    """Nothing is read of the file where it decides nothing."""
    config.parent.mkdir()
    config.write_text("contexts: [")

    assert sent_token(server, "--server", server.target) is None


def test_file_that_others_may_write_is_refused(config: Path) -> None:
    """Whoever may write the file could have the tokens sent to a server of theirs."""
    add("prod", "--server", "example.com:443")
    config.chmod(0o620)

    result = run("context", "list")

    assert result.exit_code == 2
    assert result.stderr == f"{config}: others may write it, wanted: chmod 600 {config}\n"


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        (b"t\n", 0o640, "others may read the token"),
        (b"", 0o600, "got no token"),
        (b"a\nb\n", 0o600, "got no token"),
        (b"\xff", 0o600, "got no token"),
        (b"x" * 70_000, 0o600, "got no token"),
    ],
)
def test_token_file_that_is_none_exits_2(
    server: ScriptedServer, token_file: Path, content: bytes, mode: int, complaint: str
) -> None:
    """A file that others read, or that holds something else, is not sent anywhere."""
    add("here", "--server", server.target, "--insecure", "--token-file", token_file)
    token_file.write_bytes(content)
    token_file.chmod(mode)

    result = run("findings", "get", "f")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"{token_file}: {complaint}")
    assert len(result.stderr.splitlines()) == 1
    assert server.findings.requests == []


def test_missing_token_file_is_named(server: ScriptedServer, token_file: Path) -> None:
    """A token file that is not there is one line."""
    add("here", "--server", server.target, "--insecure", "--token-file", token_file)
    token_file.unlink()

    result = run("findings", "get", "f")

    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert f"{token_file}: No such file" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("-x", "--server", "a:1"),
        ("a/b", "--server", "a:1"),
        ("a", "--server", ""),
        ("a",),
        ("a", "--server", "a:1", "--token-env", "T", "--token-file", "t"),
        ("a", "--server", "a:1", "--cert", "c"),
        ("a", "--server", "a:1", "--insecure", "--ca", "c"),
    ],
    ids=" ".join,
)
def test_context_that_cannot_be_meant_is_not_added(
    config: Path, arguments: tuple[str, ...]
) -> None:
    """What would be a broken file is refused before it is one."""
    result = run("context", "add", *arguments)

    assert result.exit_code == 2
    assert not config.exists()


def test_other_context_of_a_name_is_not_lost() -> None:
    """A name that is taken is replaced on request alone."""
    add("prod", "--server", "example.com:443")

    again = run("context", "add", "prod", "--server", "example.org:443")

    assert again.exit_code == 2
    assert load_config().contexts["prod"].server == "example.com:443"


def test_relative_files_are_kept_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A context means the same in whichever folder it is used."""
    monkeypatch.chdir(tmp_path)

    add("prod", "--server", "example.com:443", "--ca", "ca.pem")

    assert load_config().contexts["prod"].ca == str(tmp_path / "ca.pem")


def test_removing_asks() -> None:
    """It is done for a yes alone, without a terminal for --yes alone; then none is in use."""
    add("prod", "--server", "example.com:443")

    silent = run_program("context", "remove", "prod")
    with asking("context", "remove", "prod") as asked:
        asked.wait_for("Remove prod, example.com:443, which is in use? [y/N]")
        code, _, _ = asked.answer("n")
    still = load_config()
    done = run("context", "remove", "prod", "--yes")

    assert (silent.returncode, code, done.exit_code) == (2, 1, 0)
    assert "prod" in still.contexts
    assert load_config().contexts == {}
    assert load_config().current_context is None


@pytest.mark.parametrize(
    "command",
    [
        ("--context", "nope", "findings", "list"),
        ("context", "use", "nope"),
        ("context", "show", "nope"),
        ("context", "remove", "nope", "--yes"),
    ],
    ids=" ".join,
)
def test_context_that_is_not_there_exits_2(command: tuple[str, ...]) -> None:
    """A name that is not known comes with those that are."""
    add("prod", "--server", "example.com:443")

    result = run(*command)

    assert result.exit_code == 2
    assert "got the context 'nope', there is prod" in result.stderr


def test_show_without_any_context_exits_1(config: Path) -> None:
    """Nothing in use is said, with the file."""
    result = run("context", "show")

    assert result.exit_code == 1
    assert str(config) in result.stderr


def test_list_says_which_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in use is marked, and a variable that wins over it is said."""
    add("a", "--server", "a:1")
    add("b", "--server", "b:1", "--use")
    monkeypatch.setenv("AMIGUARD_SERVER", "c:1")

    table = run("context", "list")
    listed = json.loads(run("context", "list", "-o", "json").stdout)["contexts"]

    assert [line.split()[:2] for line in table.stdout.splitlines()[2:]] == [
        ["a", "a:1"],
        ["*", "b"],
    ]
    assert [(c["name"], c["is_current"]) for c in listed] == [("a", False), ("b", True)]
    assert table.stderr == "AMIGUARD_SERVER is set, and wins over the context in use.\n"

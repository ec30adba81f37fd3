"""Laws of configuration: where settings come from, and what stops the start."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_service.config import ConfigError, check_database, check_security, load
from amiguard_service.limits import Limits
from amiguard_service.settings import SETTINGS, Address, hide_password

ROOT = Path(__file__).resolve().parents[2]
INSECURE = {"insecure": True}
SAMPLES: dict[str, tuple[Any, Any]] = {
    "listen": ("127.0.0.1:1", Address("127.0.0.1", 1)),
    "database": ("sqlite:///x.db", "sqlite:///x.db"),
    "ephemeral": ("true", True),
    "database_connections": ("7", 7),
    "insecure": ("true", True),
    "tls_certificate": ("cert.pem", Path("cert.pem")),
    "tls_key": ("key.pem", Path("key.pem")),
    "tls_client_ca": ("ca.pem", Path("ca.pem")),
    "tokens": ("tokens.toml", Path("tokens.toml")),
    "sinks": ("sinks.toml", Path("sinks.toml")),
    "grace_seconds": ("3", 3),
    "ready_file": ("ready", Path("ready")),
    "unpack_workers": ("3", 3),
    **{
        each.name: (str(each.default + 1), each.default + 1)
        for each in SETTINGS
        if each.name in {field.name for field in fields(Limits)}
    },
    "retention_waiting": ("9d", timedelta(days=9)),
    "retention_rejected": ("36h", timedelta(hours=36)),
    "retention_changes": ("9d", timedelta(days=9)),
    "retention_findings": ("9d", timedelta(days=9)),
    "retention_coverage": ("9d", timedelta(days=9)),
    "log_level": ("debug", "debug"),
    "log_format": ("json", "json"),
}
"""A value of each setting, as an environment has it and as it is read."""
TLS = {"tls_certificate": "cert.pem", "tls_key": "key.pem", "tokens": "tokens.toml"}


def file_of(tmp_path: Path, text: str) -> Path:
    """Writes a configuration file."""
    path = tmp_path / "amiguard.toml"
    path.write_text(text, encoding="utf-8")
    return path


def wrong(flags: dict[str, Any], environment: dict[str, str] | None = None, **file: Any) -> str:
    """Returns why a start is stopped."""
    with pytest.raises(ConfigError) as caught:
        check_security(load(flags, environment or {}, **file))
    return str(caught.value)


def test_every_setting_has_a_sample() -> None:
    """The laws below speak of every setting."""
    assert [setting.name for setting in SETTINGS] == list(SAMPLES)


def test_without_anything_the_defaults_are_in_force() -> None:
    """A server of this machine alone needs to be told nothing but that."""
    settings = load(INSECURE, {}).settings

    assert Address("127.0.0.1", 7443) == settings.listen
    assert settings.database == "sqlite:///amiguard.db"


@pytest.mark.parametrize("name", SAMPLES)
def test_each_setting_can_come_from_the_environment(name: str) -> None:
    """A variable is named AMIGUARD_ and the name of the setting in capitals."""
    text, value = SAMPLES[name]
    variable = f"AMIGUARD_{name.upper()}"

    effective = load({}, {variable: text})

    assert value == getattr(effective.settings, name)
    assert f"the variable {variable}" == effective.sources[name]


@pytest.mark.parametrize("name", SAMPLES)
def test_each_setting_can_come_from_a_file(name: str, tmp_path: Path) -> None:
    """A file names settings as they are named here, with values of TOML's own types or texts."""
    text, value = SAMPLES[name]
    file = file_of(
        tmp_path, f'insecure = true\n{name} = "{text}"' if name != "insecure" else "insecure = true"
    )

    effective = load({}, {}, file=file)

    assert value == getattr(effective.settings, name)
    assert str(file) in effective.sources[name]


def test_numbers_and_switches_may_be_written_as_such(tmp_path: Path) -> None:
    """A file may write a number as a number and a switch as a switch."""
    file = file_of(tmp_path, "insecure = true\ngrace_seconds = 5")

    settings = load({}, {}, file=file).settings

    assert (settings.insecure, settings.grace_seconds) == (True, 5)


@given(st.lists(st.sampled_from(["file", "environment", "flags"]), unique=True, min_size=1))
def test_flags_win_over_the_environment_and_that_over_a_file(given_by: list[str]) -> None:
    """The last of file, environment and flags that gives a setting decides it."""
    seconds = {"file": 1, "environment": 2, "flags": 3}
    flags: dict[str, Any] = dict(INSECURE)
    environment = {}
    if "flags" in given_by:
        flags["grace_seconds"] = "3"
    if "environment" in given_by:
        environment["AMIGUARD_GRACE_SECONDS"] = "2"
    file = ROOT / "tests" / "service" / "grace.toml" if "file" in given_by else None

    settings = load(flags, environment, file=file).settings

    assert max(seconds[source] for source in given_by) == settings.grace_seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "nowhere"),
        ("listen", ":7443"),
        ("listen", "127.0.0.1:"),
        ("listen", "127.0.0.1:65536"),
        ("listen", "127.0.0.1:-1"),
        ("listen", "::1:7443"),
        ("database", "amiguard.db"),
        ("database", "mysql://host/name"),
        ("database_connections", "0"),
        ("database_connections", "many"),
        ("grace_seconds", "601"),
        ("grace_seconds", "1.5"),
        ("insecure", "perhaps"),
        ("tokens", ""),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("unpack_workers", "-1"),
    ],
)
def test_a_wrong_value_stops_the_start(name: str, value: str) -> None:
    """What is wrong with a setting is said with its name, value, source and what was expected."""
    message = wrong({}, {f"AMIGUARD_{name.upper()}": value})

    assert message.startswith(f"{name}: got {value!r} from the variable AMIGUARD_{name.upper()}")
    assert "expected " in message
    assert "\n" not in message


def test_an_unknown_name_stops_the_start(tmp_path: Path) -> None:
    """A setting that does not exist is an error, wherever it is given."""
    file = file_of(tmp_path, "lisen = '127.0.0.1:1'")

    from_file = wrong({}, file=file)
    from_environment = wrong({}, {"AMIGUARD_LISEN": "127.0.0.1:1"})

    assert from_file.startswith(f"lisen: got an unknown name from the file {file}")
    assert from_environment.startswith(
        "lisen: got an unknown name from the variable AMIGUARD_LISEN"
    )
    assert "listen" in from_file
    assert "listen" in from_environment


@pytest.mark.parametrize(
    "variable",
    [
        "AMIGUARD_TOKEN",
        "AMIGUARD_SERVER",
        "AMIGUARD_TEST_POSTGRES_URL",
        "AMIGUARD_SERVICE_HOST",
        "AMIGUARD_SERVICE_PORT_GRPC",
        "AMIGUARD_PORT",
        "AMIGUARD_PORT_7443_TCP_ADDR",
        "AMIGUARD_SERVER_PORT_7443_TCP",
        "PATH",
    ],
)
def test_variables_of_others_are_left_alone(variable: str) -> None:
    """What the client reads, and what Kubernetes sets for a service of our name, is not ours."""
    effective = load(INSECURE, {variable: "tcp://10.0.0.1:7443"})

    assert {"the default", "the flag --insecure"} == set(effective.sources.values())


def test_no_variable_of_the_client_stops_the_server() -> None:
    """The client and the server can be used from one shell."""
    sources = (ROOT / "clients").rglob("*.py")
    named = {
        name
        for path in sources
        for name in re.findall(r"\bAMIGUARD_[A-Z_]+\b", path.read_text(encoding="utf-8"))
    }

    load(INSECURE, dict.fromkeys(named, "x"))

    assert "AMIGUARD_TOKEN" in named


@pytest.mark.parametrize("text", ["= 1", "\0", "listen = "])
def test_a_file_that_is_no_toml_stops_the_start(tmp_path: Path, text: str) -> None:
    """A configuration file that cannot be read is an error with its path."""
    file = file_of(tmp_path, text)

    message = wrong({}, file=file)

    assert message.startswith("config: got ")
    assert str(file) in message


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    """A configuration file that was asked for has to be there."""
    message = wrong({}, file=tmp_path / "none.toml")

    assert "No such file" in message


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:7443", "192.0.2.1:1", "example.com:7443", "[::]:1", "[2001:db8::1]:1"]
)
def test_insecure_is_for_loopback_alone(listen: str) -> None:
    """Plain text without credentials stops the start where another machine could reach it."""
    message = wrong({"insecure": True, "listen": listen})

    assert message.startswith("listen: got ")
    assert "loopback" in message


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.9.9.9:1", "[::1]:7443", "localhost:1"])
def test_every_loopback_address_will_do(listen: str) -> None:
    """Insecure is allowed wherever this machine alone can connect to."""
    effective = load({"insecure": True, "listen": listen}, {})

    check_security(effective)

    assert listen == str(effective.settings.listen)


@pytest.mark.parametrize("missing", TLS)
def test_certificate_key_and_tokens_are_needed(missing: str) -> None:
    """A server that is not insecure has all it takes to be secure."""
    message = wrong({name: value for name, value in TLS.items() if name != missing})

    assert message.startswith(f"{missing}: got nothing")
    assert "insecure" in message


@pytest.mark.parametrize("name", [*TLS, "tls_client_ca"])
def test_insecure_and_secure_exclude_each_other(name: str) -> None:
    """Credentials that nobody would be asked for are an error."""
    message = wrong({"insecure": True, name: "file"})

    assert message.startswith(f"{name}: got 'file'")


def said_of(url: str) -> str:
    """Returns the settings with a database, or why there can be none with it."""
    try:
        return load({"insecure": True, "database": url}, {}).as_toml()
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h/db", "postgresql://u:***@h/db"),
        ("postgresql://u:p@ss:w/rd@h/db", "postgresql://u:***@h/db"),
        ("postgresql://h/db?user=u&password=p", "postgresql://h/db?user=u&password=***"),
        ("postgresql://h/db?sslpassword=p&x=1", "postgresql://h/db?sslpassword=***&x=1"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
    ],
)
def test_passwords_are_hidden(url: str, shown: str) -> None:
    """The password of a database is in nothing that is shown."""
    assert shown == hide_password(url)
    assert shown in said_of(url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("", "sqlite:///PATH or postgresql://"),
        ("amiguard.db", "sqlite:///PATH or postgresql://"),
        ("mysql://h/db", "sqlite:///PATH or postgresql://"),
        ("sqlite://amiguard.db", "three slashes"),
        ("sqlite:///", "--ephemeral"),
        ("sqlite://", "--ephemeral"),
        ("sqlite:///:memory:", "--ephemeral"),
        ("sqlite:///file:a?mode=memory&uri=true", "without parameters"),
        ("postgresql://h:port/db", "HOST:PORT"),
        ("postgresql://h:0/db", "HOST:PORT"),
        ("postgresql://h:65536/db", "HOST:PORT"),
        ("postgresql://u:p@ss@h/db", "%40"),
        ("postgresql://a:1,b:2/db", "?host=HOST:PORT&host=HOST:PORT"),
        ("postgresql:///db?host=a:1&host=b:x", "?host=HOST:PORT&host=HOST:PORT"),
        ("postgresql://h/db?sslmod=require", "sslmod is none"),
        ("postgresql://h/db?prepare_threshold=some", "prepare_threshold=none"),
    ],
)
def test_a_database_that_cannot_be_meant_is_refused(url: str, wanted: str) -> None:
    """Nobody finds out after the start that nothing is kept, or kept elsewhere."""
    message = wrong(INSECURE | {"database": url})

    assert message.startswith("database: got ")
    assert wanted in message.partition(", expected ")[2]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///amiguard.db",
        "sqlite:////var/lib/amiguard/amiguard.db",
        "postgresql://h/db?prepare_threshold=none",
        "postgresql://h/db?prepare_threshold=0",
        "postgresql://u:p%40ss@h:5432/db?sslmode=require&connect_timeout=3",
        "postgresql:///db?host=/run/postgresql",
        "postgresql:///db?host=a:1&host=b:2&target_session_attrs=read-write",
    ],
)
def test_a_database_is_named_as_its_library_has_it(url: str) -> None:
    """Files, sockets, several hosts and whatever libpq knows."""
    assert load(INSECURE | {"database": url}, {}).settings.database == url


def test_memory_is_a_database_only_when_asked_for() -> None:
    """An ephemeral server has no other database, which is an error where it was given one."""
    alone = load(INSECURE | {"ephemeral": True}, {})
    both = load(INSECURE | {"ephemeral": True, "database": "sqlite:///a.db"}, {})

    check_database(alone)
    with pytest.raises(ConfigError, match=r"database: got 'sqlite:///a.db'.* ephemeral"):
        check_database(both)

    assert alone.settings.database_url == "sqlite://"


def test_a_wrong_database_url_hides_its_password_too() -> None:
    """An error about a database URL does not tell its password."""
    message = wrong({"database": "mysql://root:hunter2@host/name"})

    assert "hunter2" not in message


def test_what_is_shown_can_be_read_back(tmp_path: Path) -> None:
    """The settings in force, written to a file, are the same settings again."""
    effective = load({"insecure": True, "ready_file": 'a"b\\c', "grace_seconds": "9"}, {})
    file = file_of(tmp_path, effective.as_toml())

    again = load({}, {}, file=file)

    assert effective.settings == again.settings
    assert "the flag --grace-seconds" in effective.as_toml()
    assert tomllib.loads(effective.as_toml())["grace_seconds"] == 9

"""The server's settings: what each is, and what its value has to be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from amiguard_service.limits import Limits
from amiguard_service.retention import Retention
from amiguard_service.store.connect import IN_MEMORY, is_in_memory, parse_url
from amiguard_service.store.errors import DatabaseUrlError

_LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})
_PASSWORD: Final = re.compile(r"(://[^:/?#]*):.*@")
_PASSWORD_PARAMETER: Final = re.compile(r"([?&][^=&]*password)=[^&]*", re.IGNORECASE)
_HIDDEN: Final = "***"
_DURATION: Final = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)
_UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_KEEP: Final = Retention()
_LIMITS: Final = Limits()
_MIN_RETENTION: Final = timedelta(minutes=10)
"""Whoever looks at what was just set aside, or reconnects a watcher, takes minutes to do so."""
_MAX_RETENTION: Final = timedelta(days=3_650)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host in _LOOPBACK_NAMES


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value in force."""

    listen: Address
    database: str
    ephemeral: bool
    database_connections: int
    insecure: bool
    tls_certificate: Path | None
    tls_key: Path | None
    tls_client_ca: Path | None
    tokens: Path | None
    sinks: Path | None
    grace_seconds: int
    ready_file: Path | None
    unpack_workers: int
    max_batches_in_flight: int
    max_message_bytes: int
    max_inflated_bytes: int
    max_streams: int
    max_streams_per_principal: int
    max_calls: int
    max_calls_per_principal: int
    max_streams_per_connection: int
    max_health_streams: int
    max_health_streams_per_connection: int
    health_stream_seconds: int
    handshake_seconds: int
    first_message_seconds: int
    max_stream_idle_seconds: int
    max_stream_age_seconds: int
    max_connection_idle_seconds: int
    max_connection_age_seconds: int
    retention_waiting: timedelta
    retention_rejected: timedelta
    retention_changes: timedelta
    retention_findings: timedelta
    retention_coverage: timedelta
    log_level: str
    log_format: str

    @property
    def limits(self) -> Limits:
        """What the server holds at most."""
        names = {each.name for each in fields(Limits)} & {each.name for each in fields(self)}
        return Limits(**{name: getattr(self, name) for name in names})

    @property
    def database_url(self) -> str:
        """The URL of what the server works on."""
        return IN_MEMORY if self.ephemeral else self.database


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `read` takes what a source gives, and raises ValueError with what it expected.

    `show` gives a value as a configuration file has it, without its secrets.
    """

    name: str
    default: Any
    read: Callable[[Any], Any]
    help: str
    show: Callable[[Any], str] = str


def hide_password(url: str) -> str:
    """Returns a database URL without the password in it, if there is one."""
    without = _PASSWORD.sub(rf"\1:{_HIDDEN}@", url)
    return _PASSWORD_PARAMETER.sub(rf"\1={_HIDDEN}", without)


def _read_address(value: Any) -> Address:
    expected = "HOST:PORT, such as 127.0.0.1:7443 or [::1]:7443"
    if not isinstance(value, str):
        raise ValueError(expected)  # noqa: TRY004 - it is the value of a setting that is wrong
    host, _, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(expected)
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the highest port there is
        raise ValueError(expected)
    return Address(host, int(port))


def _read_database(value: Any) -> str:
    text = str(value)
    try:
        url = parse_url(text)
    except DatabaseUrlError as error:
        raise ValueError(error.wanted) from None
    if is_in_memory(url):
        raise ValueError("a path after sqlite:///, or --ephemeral in place of a database")
    return text


def _read_switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    switch = {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower())
    if switch is None:
        raise ValueError("true or false")
    return switch


def _read_path(value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("a path")
    return Path(value)


def _read_number(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return number

    return read


def show_duration(duration: timedelta | str) -> str:
    """Returns a duration in the greatest unit it is whole in; what is no duration, as it is."""
    if isinstance(duration, str):
        return duration
    unit, size = next((u, s) for u, s in _UNITS.items() if not duration % s)
    return f"{duration // size}{unit}"


def read_duration(least: timedelta, most: timedelta) -> Callable[[Any], timedelta]:
    """Returns what reads a duration within bounds, and raises ValueError with what it expected."""

    def read(value: Any) -> timedelta:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        duration = int(match[1]) * _UNITS[match[2]] if match else None
        if duration is None or not least <= duration <= most:
            least_text, most_text = show_duration(least), show_duration(most)
            raise ValueError(f"a whole number and m, h or d, from {least_text} to {most_text}")
        return duration

    return read


def _read_choice(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return read


def _limit(name: str, least: int, most: int, about: str) -> Setting:
    """Returns the setting of one of `Limits`."""
    return Setting(name, getattr(_LIMITS, name), _read_number(least, most), about)


SETTINGS: Final = (
    Setting(
        "listen",
        Address("127.0.0.1", 7443),
        _read_address,
        "HOST:PORT to serve at; port 0 takes any free one, which the log and the ready file tell",
    ),
    Setting(
        "database",
        "sqlite:///amiguard.db",
        _read_database,
        "URL of the database: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
        show=hide_password,
    ),
    Setting(
        "ephemeral",
        default=False,
        read=_read_switch,
        help="keep everything in memory, and lose it at the end; for trials, without a database",
    ),
    Setting(
        "database_connections",
        4,
        _read_number(1, 64),
        "connections to PostgreSQL that write side by side; as many more read",
    ),
    Setting(
        "insecure",
        default=False,
        read=_read_switch,
        help="serve in plain text and ask for no credentials; on a loopback address alone",
    ),
    Setting("tls_certificate", None, _read_path, "file of the certificate chain, PEM"),
    Setting("tls_key", None, _read_path, "file of the certificate's private key, PEM"),
    Setting(
        "tls_client_ca",
        None,
        _read_path,
        "file of the authorities, PEM, one of which has to have signed the client's certificate",
    ),
    Setting(
        "tokens",
        None,
        _read_path,
        "TOML file of bearer tokens: tables [[tokens]] of principal, sha256 and roles",
    ),
    Setting(
        "sinks",
        None,
        _read_path,
        "TOML file of where findings are delivered to: tables [[sinks]], see docs/sinks.md",
    ),
    Setting(
        "grace_seconds",
        20,
        _read_number(1, 600),
        "how long a stop waits for calls that are being served",
    ),
    Setting(
        "ready_file",
        None,
        _read_path,
        "file to write the address to once calls are served; removed at the end",
    ),
    Setting(
        "unpack_workers",
        2,
        _read_number(1, 64),
        "processes that inflate and decode log files, at most one for each core",
    ),
    _limit(
        "max_batches_in_flight",
        1,
        1_024,
        "batches of a stream that may wait for their acknowledgement",
    ),
    _limit(
        "max_message_bytes",
        1_048_576,
        268_435_456,
        "bytes of a message that is taken in",
    ),
    _limit(
        "max_inflated_bytes",
        1_048_576,
        1_073_741_824,
        "bytes of a log file once it is inflated",
    ),
    _limit(
        "max_streams",
        1,
        4_096,
        "streams of batches at a time, and as many watches of findings",
    ),
    _limit(
        "max_streams_per_principal",
        1,
        4_096,
        "how many of them one principal may have",
    ),
    _limit(
        "max_calls",
        1,
        4_096,
        "calls of a kind at a time: reads, changes, submissions",
    ),
    _limit(
        "max_calls_per_principal",
        1,
        4_096,
        "how many of them one principal may have",
    ),
    _limit(
        "max_streams_per_connection",
        1,
        4_096,
        "calls and streams at a time over one connection",
    ),
    _limit(
        "max_health_streams",
        1,
        4_096,
        "watches of the health service at a time, which need no credentials",
    ),
    _limit(
        "max_health_streams_per_connection",
        1,
        4_096,
        "how many of them one connection may have",
    ),
    _limit(
        "health_stream_seconds",
        1,
        86_400,
        "how long such a watch lasts before its client has to call again",
    ),
    _limit(
        "handshake_seconds",
        1,
        600,
        "what a new connection gets for its handshake",
    ),
    _limit(
        "first_message_seconds",
        1,
        600,
        "what a call gets to send its first message",
    ),
    _limit(
        "max_stream_idle_seconds",
        1,
        86_400,
        "after how long without a batch a stream is asked to leave",
    ),
    _limit(
        "max_stream_age_seconds",
        1,
        86_400,
        "after how long a stream is asked to leave, and a watch ended",
    ),
    _limit(
        "max_connection_idle_seconds",
        1,
        86_400,
        "after how long without a call a connection is closed",
    ),
    _limit(
        "max_connection_age_seconds",
        1,
        86_400,
        "after how long a connection takes no new calls",
    ),
    Setting(
        "retention_waiting",
        _KEEP.waiting,
        read_duration(timedelta(0), timedelta(days=36)),
        "the least that searches and launches are kept for to be paired, whatever the rule says",
        show=show_duration,
    ),
    Setting(
        "retention_rejected",
        _KEEP.rejected,
        read_duration(_MIN_RETENTION, _MAX_RETENTION),
        "how long records are kept that were set aside, and what is wrong with them",
        show=show_duration,
    ),
    Setting(
        "retention_changes",
        _KEEP.changes,
        read_duration(_MIN_RETENTION, _MAX_RETENTION),
        "how long the log of changes is kept, and so how far back a watcher may start",
        show=show_duration,
    ),
    Setting(
        "retention_findings",
        _KEEP.findings,
        read_duration(timedelta(days=1), _MAX_RETENTION),
        "how long findings are kept after their last change, whatever their state, with their "
        "occurrences and history",
        show=show_duration,
    ),
    Setting(
        "retention_coverage",
        _KEEP.coverage,
        read_duration(timedelta(days=2), _MAX_RETENTION),
        "how long the daily counts of what came in are kept",
        show=show_duration,
    ),
    Setting(
        "log_level",
        "info",
        _read_choice("debug", "info", "warning", "error"),
        "least level that is logged: debug, info, warning or error",
    ),
    Setting(
        "log_format",
        "auto",
        _read_choice("auto", "console", "json"),
        "json (one object a line), console, or auto: console on a terminal",
    ),
)
"""Every setting, in the order they are shown. The names are those of the fields of Settings."""

assert [s.name for s in SETTINGS] == [f.name for f in fields(Settings)]  # noqa: S101 - a typo here would otherwise wait for a start

"""The file of sinks: TOML with a table `[[sinks]]` for each."""

from __future__ import annotations

import re
import ssl
import tomllib
from base64 import b64decode
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urlsplit

from amiguard_core.findings import HIGH_FROM, MEDIUM_FROM, Likelihood
from amiguard_service.addresses import is_public
from amiguard_service.delivery import RetryLimits
from amiguard_service.filters import (
    FINDING_FIELDS,
    And,
    Comparison,
    Filter,
    FilterSyntaxError,
    MatchAll,
    Operator,
    hide_suppressed,
    parse_filter,
)
from amiguard_service.notices import NoticeUrlError, open_service
from amiguard_service.settings import read_duration
from amiguard_service.sinks import Payload, Sink, SinkKind

MAX_SINKS: Final = 32
"""Sinks of a file: each asks the database for work twice a second."""
MIN_SECRET_BYTES: Final = 24
MAX_SECRET_BYTES: Final = 64
"""The lengths that Standard Webhooks allows."""

_INSTALL: Final = "install amiguard[sinks]"
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how a secret begins
_SCORES: Final = {Likelihood.LOW: 0, Likelihood.MEDIUM: MEDIUM_FROM, Likelihood.HIGH: HIGH_FROM}
_KEYS: Final = frozenset(
    {
        "name",
        "kind",
        "url",
        "url_file",
        "url_env",
        "filter",
        "minimum_likelihood",
        "timeout_seconds",
        "max_attempts",
        "max_age",
    }
)
_WEBHOOK_KEYS: Final = _KEYS | {
    "secret_file",
    "secret_env",
    "payload",
    "private_network",
    "tls_ca",
}
ChoiceT = TypeVar("ChoiceT", bound=StrEnum)


class SinkFileError(ValueError):
    """A file of sinks cannot be used; the text says where and why, and never holds a secret."""


def read_sinks(path: Path, environment: Mapping[str, str]) -> tuple[Sink, ...]:
    """Reads a file of sinks, and the secrets that it names the places of.

    Files are named relative to that of the sinks. Raises SinkFileError, or OSError where there is
    no such file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SinkFileError(f"got text that is no TOML ({error}), expected [[sinks]]") from None
    tables = document.pop("sinks", None)
    if document or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise SinkFileError("expected tables [[sinks]] and nothing else")
    if not 0 < len(tables) <= MAX_SINKS:
        raise SinkFileError(f"got {len(tables)} tables [[sinks]], expected 1 to {MAX_SINKS}")
    sinks = [
        _Table(table, f"sinks[{index}]", path.parent, environment).read()
        for index, table in enumerate(tables)
    ]
    names = [sink.sink_id for sink in sinks]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise SinkFileError(f"sinks[{index}].name: got {name!r} again, expected another name")
    return tuple(sinks)


class _Table:
    """One table of the file, under way."""

    def __init__(
        self, table: dict[str, Any], place: str, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._table = table
        self._place = place
        self._folder = folder
        self._environment = environment

    def read(self) -> Sink:
        """Returns the sink."""
        name = self._text("name")
        if not _ID.fullmatch(name):
            raise self._error("name", name, "1 to 63 of a-z, 0-9 and -, not - first")
        kind = self._choice("kind", SinkKind)
        known = _WEBHOOK_KEYS if kind is SinkKind.WEBHOOK else _KEYS
        for key in sorted(self._table.keys() - known):
            expected = ", ".join(sorted(known))
            raise SinkFileError(f"{self._place}.{key}: expected one of {expected}")
        likelihood = self._choice("minimum_likelihood", Likelihood, default=Likelihood.LOW)
        condition = self._filter()
        if likelihood is not Likelihood.LOW:
            field = FINDING_FIELDS["likelihood_score"]
            least = Comparison(field, Operator.GREATER_OR_EQUAL, _SCORES[likelihood])
            condition = least if isinstance(condition, MatchAll) else And((condition, least))
        url = self._secret("url")
        show_url = self._check_url if kind is SinkKind.WEBHOOK else self._check_service
        return Sink(
            sink_id=name,
            kind=kind,
            url=url,
            shown_url=show_url(url),
            secrets=self._signing_secrets() if kind is SinkKind.WEBHOOK else (),
            filter=self._text("filter", default=""),
            minimum_likelihood=likelihood,
            condition=condition,
            payload=self._choice("payload", Payload, default=Payload.FINDING),
            timeout=timedelta(seconds=self._number("timeout_seconds", 1, 60, default=10)),
            limits=RetryLimits(
                self._number("max_attempts", 1, 100_000, default=RetryLimits().max_attempts),
                self._duration("max_age", default=RetryLimits().max_age),
            ),
            private_network=self._switch("private_network"),
            tls_ca=self._authorities(),
        )

    def _filter(self) -> Filter:
        text = self._text("filter", default="")
        try:
            return hide_suppressed(parse_filter(text, FINDING_FIELDS))
        except FilterSyntaxError as error:
            raise self._error("filter", text, f"a filter of findings ({error})") from None

    def _check_url(self, url: str) -> str:
        """Returns what may be shown of a webhook's URL; raises unless it can be used."""
        if find_spec("aiohttp") is None:
            raise SinkFileError(f"{self._place}: a webhook needs aiohttp; {_INSTALL}")
        expected = "https://HOST/PATH"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SinkFileError(f"{self._place}.url: expected {expected}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable():
            raise SinkFileError(f"{self._place}.url: expected {expected}")
        if parts.username is not None or parts.fragment:
            raise SinkFileError(f"{self._place}.url: expected {expected}, without user or #")
        self._check_network(parts)
        shown = f"{parts.scheme}://{_bracketed(parts.hostname)}"
        return shown if port is None else f"{shown}:{port}"

    def _check_service(self, url: str) -> str:
        """Returns what may be shown of a URL for apprise; raises unless it can be used."""
        try:
            open_service(url)
        except ImportError:
            raise SinkFileError(f"{self._place}: needs apprise; {_INSTALL}") from None
        except NoticeUrlError as error:
            raise SinkFileError(f"{self._place}.url: expected {error}") from None
        # Each service has its secrets in another place of the URL.
        return f"{url.partition('://')[0]}://***"

    def _check_network(self, parts: SplitResult) -> None:
        if self._switch("private_network"):
            return
        if parts.scheme == "http":
            raise SinkFileError(
                f"{self._place}.url: got http://, expected https://, or private_network = true"
            )
        if not is_public(parts.hostname or ""):
            raise SinkFileError(
                f"{self._place}.url: got {parts.hostname}, expected a public address, or "
                "private_network = true"
            )

    def _signing_secrets(self) -> tuple[bytes, ...]:
        expected = (
            f"{_SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64, or "
            "several of them with white space between"
        )
        secrets = []
        for text in self._secret("secret").split():
            try:
                secret = b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
            except ValueError:
                secret = b""
            is_long = MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES
            if not is_long or not text.startswith(_SECRET_PREFIX):
                raise SinkFileError(f"{self._place}.secret: expected {expected}")
            secrets.append(secret)
        return tuple(secrets)

    def _secret(self, name: str) -> str:
        """Returns what a file or a variable holds; a URL may stand in the table itself too."""
        keys = [f"{name}_file", f"{name}_env"] + (["url"] if name == "url" else [])
        given = [key for key in keys if key in self._table]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise SinkFileError(f"{self._place}: got {got}, expected one of {', '.join(keys)}")
        (key,) = given
        if key == "url":
            return self._text(key)
        if key.endswith("_env"):
            variable = self._text(key)
            text = self._environment.get(variable, "").strip()
            if not text:
                raise self._error(key, variable, "the name of a variable that is set")
            return text
        path = self._path(key)
        try:
            text = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "no text"
            raise self._error(key, str(path), f"a readable file ({why})") from None
        if not text:
            raise self._error(key, str(path), "a file that is not empty")
        return text

    def _text(self, key: str, *, default: str | None = None) -> str:
        text = self._table.get(key, default)
        if not isinstance(text, str) or (not text and default is None):
            raise SinkFileError(f"{self._place}.{key}: expected text")
        return text

    def _path(self, key: str) -> Path:
        return self._folder / self._text(key)

    def _authorities(self) -> Path | None:
        if "tls_ca" not in self._table:
            return None
        path = self._path("tls_ca")
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise self._error("tls_ca", str(path), f"PEM certificates ({error.strerror})") from None
        return path

    def _number(self, key: str, least: int, most: int, *, default: int) -> int:
        number = self._table.get(key, default)
        if type(number) is not int or not least <= number <= most:
            raise self._error(key, number, f"a whole number from {least} to {most}")
        return number

    def _duration(self, key: str, *, default: timedelta) -> timedelta:
        if key not in self._table:
            return default
        try:
            return read_duration(timedelta(minutes=1), timedelta(days=365))(self._table[key])
        except ValueError as error:
            raise self._error(key, self._table[key], str(error)) from None

    def _switch(self, key: str) -> bool:
        switch = self._table.get(key, False)
        if not isinstance(switch, bool):
            raise self._error(key, switch, "true or false")
        return switch

    def _choice(
        self, key: str, choices: type[ChoiceT], *, default: ChoiceT | None = None
    ) -> ChoiceT:
        given = self._table.get(key, default)
        for choice in choices:
            if given == choice:
                return choice
        raise self._error(key, given, f"one of {', '.join(choices)}")

    def _error(self, key: str, got: object, expected: str) -> SinkFileError:
        return SinkFileError(f"{self._place}.{key}: got {got!r}, expected {expected}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The places settings come from: defaults, file, environment and flags, each over the former."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from amiguard_service.settings import SETTINGS, Setting, Settings

PREFIX: Final = "AMIGUARD_"
"""How the environment variable of a setting begins; its name in capitals follows."""

CONFIG_VARIABLE: Final = "AMIGUARD_CONFIG"
"""The environment variable that names the configuration file."""

_FOREIGN_VARIABLES: Final = re.compile(
    # The command line's and the tests' own, and whatever a file of sinks names.
    r"AMIGUARD_(CA|CONFIG|CONTEXT|SERVER|TIMEOUT|TOKEN|(CLIENT|SINK|TEST)_.*)"
    # What Kubernetes and Docker set in each container for a service called amiguard-something.
    r"|AMIGUARD_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_\d+_.*)?)"
)
_DEFAULT: Final = "the default"
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


class ConfigError(Exception):
    """A setting is wrong; the text gives its name, its value and source, and what was expected."""

    def __init__(self, name: str, *, got: str, source: str, expected: str) -> None:
        super().__init__(f"{name}: got {got} from {source}, expected {expected}")
        self.name = name
        self.got = got
        self.source = source
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Effective:
    """Settings, and where each comes from."""

    settings: Settings
    sources: Mapping[str, str]

    def error(self, name: str, *, got: str | None = None, expected: str) -> ConfigError:
        """Makes the error that says what is wrong with a setting."""
        if got is None:
            value = getattr(self.settings, name)
            got = "nothing" if value is None else repr(_BY_NAME[name].show(value))
        return ConfigError(name, got=got, source=self.sources[name], expected=expected)

    def as_toml(self) -> str:
        """Returns the settings as a configuration file, without secrets."""
        return "".join(
            f"{_toml_line(setting, getattr(self.settings, setting.name))}"
            f"  # from {self.sources[setting.name]}\n"
            for setting in SETTINGS
        )


def load(
    flags: Mapping[str, Any], environment: Mapping[str, str], *, file: Path | None = None
) -> Effective:
    """Returns the settings in force, of the flags that were given, the environment and a file.

    Raises ConfigError for a wrong value and an unknown name.
    """
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    sources = dict.fromkeys(values, _DEFAULT)
    for name, value in _read_file(file).items():
        _put(values, sources, name, value, source=f"the file {file}")
    for name, value in _read_environment(environment).items():
        _put(values, sources, name, value, source=f"the variable {PREFIX}{name.upper()}")
    for name, value in flags.items():
        _put(values, sources, name, value, source=f"the flag --{name.replace('_', '-')}")
    return Effective(Settings(**values), MappingProxyType(sources))


def check_database(effective: Effective) -> None:
    """Raises ConfigError for a database that an ephemeral server would not use."""
    if effective.settings.ephemeral and effective.sources["database"] != _DEFAULT:
        raise effective.error("database", expected="nothing, because ephemeral is set")


def check_security(effective: Effective) -> None:
    """Raises ConfigError for settings that would let anybody in, or nobody."""
    settings = effective.settings
    if settings.insecure:
        for name in ("tls_certificate", "tls_key", "tls_client_ca", "tokens"):
            if getattr(settings, name) is not None:
                raise effective.error(name, expected="nothing, because insecure is set")
        if not settings.listen.is_loopback:
            raise effective.error(
                "listen",
                expected="a loopback address such as 127.0.0.1:7443, because insecure is set",
            )
        return
    for name in ("tls_certificate", "tls_key", "tokens"):
        if getattr(settings, name) is None:
            raise effective.error(name, expected="a file, or insecure on a loopback address")


def _read_file(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        got = error.strerror or "no answer"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        got = str(error)
    raise ConfigError("config", got=got, source=str(file), expected="a readable file of TOML")


def _read_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    return {
        variable.removeprefix(PREFIX).lower(): value
        for variable, value in environment.items()
        if variable.startswith(PREFIX)
        and variable != CONFIG_VARIABLE
        and not _FOREIGN_VARIABLES.fullmatch(variable)
    }


def _put(
    values: dict[str, Any], sources: dict[str, str], name: str, value: Any, *, source: str
) -> None:
    setting = _BY_NAME.get(name)
    if setting is None:
        names = ", ".join(_BY_NAME)
        raise ConfigError(name, got="an unknown name", source=source, expected=f"one of {names}")
    try:
        values[name] = setting.read(value)
    except ValueError as error:
        got = repr(setting.show(value) if isinstance(value, str) else value)
        raise ConfigError(name, got=got, source=source, expected=str(error)) from None
    sources[name] = source


def _toml_line(setting: Setting, value: Any) -> str:
    if value is None:
        return f"# {setting.name} is not set"
    if isinstance(value, bool):
        return f"{setting.name} = {str(value).lower()}"
    if isinstance(value, int):
        return f"{setting.name} = {value}"
    text = setting.show(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'{setting.name} = "{text}"'

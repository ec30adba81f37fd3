"""The rule's settings as YAML, as options, and as the messages of the wire they stand for."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import UNSET, Struct, UnsetType

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client.cli.bad_files import Problems
from amiguard_client.cli.durations import WANTED, duration_of, duration_text
from amiguard_client.cli.yaml_files import YamlFile, read_yaml, write_yaml
from amiguard_core.events import LaunchPath
from amiguard_core.policy import CorrelateBy, Mode, RuleConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

_Choice = TypeVar("_Choice", bound=StrEnum)
_HEADER = """\
# The rule configuration of amiguard. Put it in force with: amiguardctl rules set -f FILE
"""
FIELDS = {
    "correlation_window": "window",
    "max_lateness": "lateness",
    "mode": "mode",
    "correlate_by": "correlate_by",
    "launch_paths": "launch_paths",
    "public_patterns": "public_patterns",
}
"""The settings by the contract's names, and what the rule calls them."""
_LISTS = ("launch_paths", "public_patterns")


class RuleFields(Struct, forbid_unknown_fields=True):
    """Settings as a file has them; what is not set is not given."""

    correlation_window: str | UnsetType = UNSET
    max_lateness: str | UnsetType = UNSET
    mode: str | UnsetType = UNSET
    correlate_by: str | UnsetType = UNSET
    launch_paths: list[str] | UnsetType = UNSET
    public_patterns: list[str] | UnsetType = UNSET


def read_rule(path: Path) -> dict[str, Any]:
    """Returns the settings that a file gives, by the contract's names; raises BadFileError."""
    file = read_yaml(path)
    return parse_rule(file, "$", file.value)


def parse_rule(file: YamlFile, path: str, value: Any) -> dict[str, Any]:
    """Returns the settings that a part of a file gives; raises BadFileError with all problems."""
    problems = Problems()
    with problems.gathering():
        file.convert(path, value, RuleFields)
    settings: dict[str, Any] = {}
    for name in FIELDS:
        raw = value.get(name, UNSET) if isinstance(value, dict) else UNSET
        try:
            if isinstance(raw, str) and name not in _LISTS:
                settings[name] = _setting(name, raw)
            elif isinstance(raw, list) and name == "launch_paths":
                settings[name] = _launch_paths(file, f"{path}.{name}", raw, problems)
            elif isinstance(raw, list) and name in _LISTS:
                # A stand-in for what is no text keeps the places of the others.
                settings[name] = tuple(t if isinstance(t, str) else "some-name" for t in raw)
        except ValueError as error:
            problems.add(file.problem(f"{path}.{name}", str(error)))
    for refusal in apply_settings(RuleConfig(), settings).refusals():
        text = f"got {refusal.got}, wanted {refusal.wanted}"
        problems.add(file.problem(f"{path}.{refusal.field}", text))
    problems.check()
    return settings


def apply_settings(rule: RuleConfig, settings: Mapping[str, Any]) -> RuleConfig:
    """Returns a rule configuration with some settings in place of its own."""
    from msgspec.structs import replace

    return replace(rule, **{FIELDS[name]: value for name, value in settings.items()})


def write_rule(rule: RuleConfig) -> str:
    """Returns the file of a rule configuration."""
    return _HEADER + write_yaml(plain_of(rule))


def plain_of(rule: RuleConfig) -> dict[str, Any]:
    """Returns every setting as files have it."""
    return {
        "correlation_window": duration_text(rule.window),
        "max_lateness": duration_text(rule.lateness),
        "mode": rule.mode.value,
        "correlate_by": rule.correlate_by.value,
        "launch_paths": [path.value for path in rule.launch_paths],
        "public_patterns": list(rule.public_patterns),
    }


def texts_of(rule: RuleConfig) -> dict[str, str]:
    """Returns every setting for people."""
    return {
        name: ", ".join(value) or "none" if isinstance(value, list) else value
        for name, value in plain_of(rule).items()
    }


def rule_of(message: wire.RuleConfig) -> RuleConfig:
    """Returns the rule configuration in a message; ends the command where it is of a later kind."""
    try:
        return RuleConfig(
            revision=message.revision,
            window=message.correlation_window.ToTimedelta(),
            lateness=message.max_lateness.ToTimedelta(),
            mode=Mode(wire.RuleConfig.Mode.Name(message.mode).removeprefix("MODE_")),
            correlate_by=CorrelateBy(
                wire.RuleConfig.CorrelateBy.Name(message.correlate_by).removeprefix("CORRELATE_BY_")
            ),
            launch_paths=tuple(map(LaunchPath, message.launch_paths)),
            public_patterns=tuple(message.public_patterns),
        )
    except ValueError as error:
        raise click.ClickException(
            f"revision {message.revision} has a setting that this amiguardctl is too old to know"
        ) from error


def message_of(rule: RuleConfig, *, etag: str) -> wire.RuleConfig:
    """Returns the message of the wire that asks for a rule configuration."""
    message = wire.RuleConfig(
        mode=wire.RuleConfig.Mode.Value(f"MODE_{rule.mode}"),
        correlate_by=wire.RuleConfig.CorrelateBy.Value(f"CORRELATE_BY_{rule.correlate_by}"),
        launch_paths=rule.launch_paths,
        public_patterns=rule.public_patterns,
        etag=etag,
    )
    message.correlation_window.FromTimedelta(rule.window)
    message.max_lateness.FromTimedelta(rule.lateness)
    return message


def changed_settings(before: RuleConfig, after: RuleConfig) -> tuple[str, ...]:
    """Returns the settings in which two configurations differ, by the contract's names."""
    return tuple(
        name for name, own in FIELDS.items() if getattr(before, own) != getattr(after, own)
    )


def _setting(name: str, raw: str) -> Any:
    match name:
        case "correlation_window" | "max_lateness":
            return _duration(raw)
        case "mode":
            return _one_of(Mode, raw)
        case _:
            return _one_of(CorrelateBy, raw)


def _launch_paths(
    file: YamlFile, path: str, raws: list[Any], problems: Problems
) -> tuple[LaunchPath, ...]:
    found: dict[LaunchPath, None] = {}
    for index, raw in enumerate(raws):
        if isinstance(raw, str):
            try:
                found[_one_of(LaunchPath, raw)] = None
            except ValueError as error:
                problems.add(file.problem(f"{path}[{index}]", str(error)))
    # As the service has it: none are the usual one.
    return tuple(found) or (LaunchPath.RUN_INSTANCES,)


def _duration(raw: str) -> timedelta:
    duration = duration_of(raw)
    if duration is None:
        raise ValueError(f"got {raw!r}, wanted {WANTED}")
    return duration


def _one_of(kind: type[_Choice], raw: str) -> _Choice:
    for member in kind:
        if raw == member.value:
            return member
    raise ValueError(f"got {raw!r}, wanted one of {', '.join(kind)}")

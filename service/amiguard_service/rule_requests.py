"""What people ask of the rule configuration: requests read and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from msgspec.structs import replace

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_core.events import LaunchPath
from amiguard_core.policy import DEFAULT_LATENESS, DEFAULT_WINDOW, CorrelateBy, Mode, RuleConfig
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.request_fields import read_duration, read_paths, shown

RULE: Final = "rule_config"
"""The field of requests in which a configuration stands."""

_PATHS: Final = frozenset(
    {
        "correlation_window",
        "max_lateness",
        "public_patterns",
        "mode",
        "correlate_by",
        "launch_paths",
    }
)

MemberT = TypeVar("MemberT", Mode, CorrelateBy)


def read_rule_patch(
    message: wire.RuleConfig, mask: FieldMask | None = None
) -> Callable[[RuleConfig], RuleConfig]:
    """Returns what makes of a configuration the one that is asked for."""
    given = _PATHS.intersection(field.name for field, _ in message.ListFields())
    paths = read_paths(mask or FieldMask(), known=_PATHS, given=given)
    values = {name: value for path in paths for name, value in [_read_setting(message, path)]}
    return lambda rule: replace(rule, **values)


def _read_setting(message: wire.RuleConfig, path: str) -> tuple[str, Any]:
    """Returns a setting under the name the rule has for it; its first value where it is not set."""
    field = f"{RULE}.{path}"
    match path:
        case "correlation_window":
            given = message.HasField(path)
            window = read_duration(message.correlation_window, field=field)
            return "window", window if given else DEFAULT_WINDOW
        case "max_lateness":
            given = message.HasField(path)
            lateness = read_duration(message.max_lateness, field=field)
            return "lateness", lateness if given else DEFAULT_LATENESS
        case "mode":
            return path, _read_member(Mode, wire.RuleConfig.Mode.items(), message.mode, field=field)
        case "correlate_by":
            known = wire.RuleConfig.CorrelateBy.items()
            return path, _read_member(CorrelateBy, known, message.correlate_by, field=field)
        case "launch_paths":
            return path, _read_launch_paths(message.launch_paths, field=field)
        case _:
            return path, tuple(message.public_patterns)


def _read_member(
    kind: type[MemberT], known: Iterable[tuple[str, int]], value: int, *, field: str
) -> MemberT:
    """Returns the member that an enum's value stands for, the first one for none."""
    members = list(kind)
    if not value:
        return members[0]
    for name, number in known:
        if number == value:
            return next(member for member in members if name.endswith(f"_{member}"))
    raise FieldInvalidError(field, got=str(value), expected=f"one of {', '.join(members)}")


def _read_launch_paths(texts: Sequence[str], *, field: str) -> tuple[LaunchPath, ...]:
    paths = []
    for index, text in enumerate(texts):
        if text not in list(LaunchPath):
            expected = f"one of {', '.join(LaunchPath)}"
            raise FieldInvalidError(f"{field}[{index}]", got=shown(text), expected=expected)
        paths.append(LaunchPath(text))
    return tuple(dict.fromkeys(paths)) or (LaunchPath.RUN_INSTANCES,)

"""Holding findings against what is expected of them in part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amiguard.v1 import finding_pb2

_PREFIXES = {"state": "STATE_", "likelihood": "LIKELIHOOD_"}
_COUNTS = ("occurrence_count", "rule_revision")


def plain_of(message: finding_pb2.Finding) -> dict[str, Any]:
    """Returns a finding as a case has it: states as in filters, counts as numbers, empties too."""
    plain: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for name, prefix in _PREFIXES.items():
        plain[name] = plain[name].removeprefix(prefix)
    for name in _COUNTS:
        plain[name] = int(plain[name])
    return plain


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Returns in what a value is not what is expected of it; nothing where it is.

    A mapping has the keys that are expected, and may have others. A list has items that fulfil
    what is expected, in that order, and may have others between; one that is to be empty is. Null
    is expected of what is absent or empty.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        return [
            difference
            for name, value in expected.items()
            for difference in differences(value, actual.get(name), f"{path}.{name}".lstrip("."))
        ]
    if isinstance(expected, list) and isinstance(actual, list):
        return _list_differences(expected, actual, path)
    if expected is None:
        is_met = actual in (None, "", [], {}, 0)
    else:
        is_met = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return [] if is_met else [f"{path}: got {_shown(actual)}, wanted {_shown(expected)}"]


def assign(expected: Sequence[Any], actual: Sequence[Any]) -> dict[int, int]:
    """Returns which expectation each of as many values as possible fulfils, one each.

    Keys are positions in `expected`, values positions in `actual`.
    """
    fits = [
        [index for index, value in enumerate(actual) if not differences(wanted, value)]
        for wanted in expected
    ]
    owner: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for index in fits[wanted]:
            if index in tried:
                continue
            tried.add(index)
            if index not in owner or place(owner[index], tried):
                owner[index] = wanted
                return True
        return False

    for wanted in range(len(expected)):
        place(wanted, set())
    return {wanted: index for index, wanted in owner.items()}


def _list_differences(expected: list[Any], actual: list[Any], path: str) -> list[str]:
    if not expected:
        return [f"{path}: got {_shown(actual)}, wanted nothing"] if actual else []
    rest = iter(actual)
    for index, item in enumerate(expected):
        if not any(not differences(item, value) for value in rest):
            return [f"{path}[{index}]: got {_shown(actual)}, wanted {_shown(item)} in it"]
    return []


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value)

"""What the Open Cybersecurity Schema Framework asks of an event, from its published schemas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

CLASS = "detection_finding"


@dataclass(frozen=True)
class Ocsf:
    """One release of the schema."""

    release: dict[str, Any]

    def faults(self, event: dict[str, Any], *, profiles: list[str]) -> list[str]:
        """Returns what is wrong with an event of these profiles, attributes unknown included."""
        validator = _validator(self.release["version"], tuple(sorted(profiles)))
        wrong = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(event)]
        return [*wrong, *self._miscaptioned(event, self.release["classes"][CLASS], at="$")]

    def _miscaptioned(
        self, value: dict[str, Any], kind: dict[str, Any], *, at: str
    ) -> Iterator[str]:
        """Yields the numbers that do not go with the captions beside them."""
        for name, attribute in kind["attributes"].items():
            if name not in value:
                continue
            inner, place = value[name], f"{at}.{name}"
            if "enum" in attribute and "sibling" in attribute:
                expected = attribute["enum"][str(inner)]["caption"]
                got = value.get(attribute["sibling"])
                if got != expected:
                    yield f"{place}: {inner} goes with {expected!r}, not with {got!r}"
            if attribute["type"] == "object_t":
                described = self.release["objects"][attribute["object_type"]]
                for one in inner if isinstance(inner, list) else [inner]:
                    yield from self._miscaptioned(one, described, at=place)


@cache
def ocsf(version: str) -> Ocsf:
    """Returns a release of the schema."""
    return Ocsf(get_ocsf_schema(version=version))


@cache
def _validator(version: str, profiles: tuple[str, ...]) -> Draft202012Validator:
    release = ocsf(version).release
    schema = OcsfJsonSchemaEmbedded(release).get_class_schema(CLASS, profiles=list(profiles))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def values_at(event: Any, path: str) -> list[Any]:
    """Returns what a dotted path of an event leads to, `[]` standing for every item of a list."""
    places = [event]
    for step in path.split("."):
        name = step.removesuffix("[]")
        places = [place[name] for place in places if name in place]
        if step.endswith("[]"):
            places = [item for place in places for item in place]
    return places

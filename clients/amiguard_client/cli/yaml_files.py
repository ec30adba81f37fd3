"""YAML read strictly: no key twice, no text guessed to be a number, every complaint with its line.

The values are those of JSON: a plain scalar is null, true, false or a number only where JSON's own
spelling says so, and text otherwise. `no` is text, and so is a time. A number where text is wanted
is a mistake worth naming: YAML drops the zeros of 000123456789.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union, get_args, get_origin

from amiguard_client.cli.bad_files import BadFileError, name_of, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Struct

MAX_DEPTH = 64
"""Lists and mappings inside one another: four times what a CloudTrail record needs."""
_NULLS = {"", "~", "null"}
_BOOLEANS = {"true": True, "false": False}
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_MAX_DIGITS = 300
"""Longer numbers are text: no field is one, and Python takes its time over them."""
_UNKNOWN_FIELD = "Object contains unknown field "
_MISSING_FIELD = "Object missing required field "

T = TypeVar("T")
Event: TypeAlias = Any
"""What the parser gives; the kinds differ, and so do their types."""


class YamlFile:
    """What a file holds, and in which line each part of it stands.

    Parts are named by paths such as `$.entries[0].id`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: Any = None
        self._lines: dict[str, int] = {}
        self._numbers: dict[str, str] = {}

    def mark(self, path: str, line: int, *, number: str | None = None) -> None:
        """Notes where a part stands, and how it is spelt where it is a number without quotes."""
        self._lines[path] = line
        if number is not None:
            self._numbers[path] = number

    def place(self, path: str) -> str:
        """Returns the file and the line of a part, or of what it would stand in."""
        while path not in self._lines and path != "$":
            path = path[: max(path.rfind("."), path.rfind("["))]
        return f"{self.name}:{self._lines.get(path, 1)}"

    def convert(self, path: str, value: Any, kind: type[T]) -> T:
        """Returns a part as a value of a type; raises BadFileError with all that does not fit."""
        import msgspec

        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise BadFileError(self._complaints(path, value, kind)) from error

    def problem(self, path: str, text: str) -> str:
        """Returns a complaint about a part."""
        label = path.removeprefix("$").removeprefix(".")
        return f"{self.place(path)}: {label}: {text}" if label else f"{self.place(path)}: {text}"

    def _complaints(self, path: str, value: Any, kind: Any) -> Iterator[str]:
        """Yields a complaint for each place that does not fit, where msgspec names only one."""
        import msgspec

        kinds = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
        for one in kinds:
            if (
                isinstance(value, dict)
                and isinstance(one, type)
                and issubclass(one, msgspec.Struct)
            ):
                yield from self._field_complaints(path, value, one)
                return
            if isinstance(value, list) and get_origin(one) is list:
                for index, item in enumerate(value):
                    yield from self._complaints(f"{path}[{index}]", item, *get_args(one))
                return
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            message, _, inner = str(error).partition(" - at `")
            yield self._complaint(message, path, inner.rstrip("`"))

    def _field_complaints(
        self, path: str, value: dict[str, Any], kind: type[Struct]
    ) -> Iterator[str]:
        from msgspec.structs import fields

        known = {field.encode_name: field for field in fields(kind)}
        for name, item in value.items():
            if name in known:
                yield from self._complaints(f"{path}.{name}", item, known[name].type)
            elif kind.__struct_config__.forbid_unknown_fields:
                yield self.problem(f"{path}.{name}", "got a key that is not known here")
        if value.keys() - known.keys():
            # The key that is not known may be the missing one, in another spelling.
            return
        for name, field in known.items():
            if field.required and name not in value:
                yield self.problem(path, f"got no {name}, which is required")

    def _complaint(self, message: str, path: str, inner: str) -> str:
        whole = path + inner.removeprefix("$")
        plain = self._numbers.get(whole)
        if plain is not None and "Expected `str" in message:
            wanted = f"got {plain} without quotes, wanted '{plain}': YAML takes it for a number"
            if plain.lstrip("+-").startswith("0"):
                wanted += " and drops its zeros"
            return self.problem(whole, wanted)
        if message.startswith(_UNKNOWN_FIELD):
            field = message.removeprefix(_UNKNOWN_FIELD).strip("`")
            return self.problem(f"{whole}.{field}", "got a key that is not known here")
        if message.startswith(_MISSING_FIELD):
            field = message.removeprefix(_MISSING_FIELD).strip("`")
            return self.problem(whole, f"got no {field}, which is required")
        found = re.fullmatch(r"Expected `(.+)`, got `(.+)`", message)
        if found:
            return self.problem(whole, f"got {_name(found[2])}, wanted {_name(found[1])}")
        return self.problem(whole, message)


def read_yaml(path: Path) -> YamlFile:
    """Reads a YAML file, or standard input; raises BadFileError."""
    return parse_yaml(read_text(path), name=name_of(path))


def parse_yaml(text: str, *, name: str) -> YamlFile:
    """Reads YAML text of a file of this name; raises BadFileError."""
    import yaml

    file = YamlFile(name)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Events, because a composed tree of deep nesting overruns the stack of libyaml's binding.
        _Builder(file, yaml.parse(text, Loader=loader)).build()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise BadFileError([f"{name}:{line}: {error.problem}, wanted YAML"]) from error
    except yaml.YAMLError as error:
        first = str(error).partition("\n")[0]
        raise BadFileError([f"{name}: {first}, wanted YAML"]) from error
    return file


def write_yaml(value: Any, *, is_ascii: bool = False) -> str:
    """Returns YAML that `parse_yaml`, and every other reader of YAML, takes for the same value.

    Where it is ASCII, every other character is an escape.
    """
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]  # which one there is depends on how PyYAML was built
        """Quotes every text that some reader might take for something else."""

        def ignore_aliases(self, data: object) -> bool:
            del data
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        # The emitter folds what it takes for line breaks; escapes are safe from that.
        is_plain = data.isprintable() and (data.isascii() or not is_ascii)
        style = None if is_plain else '"'
        if style is None and not isinstance(_plain(data), str):
            style = "'"
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, text)
    written: str = yaml.dump(
        value, Dumper=Dumper, sort_keys=False, allow_unicode=not is_ascii, width=10_000
    )
    return written


class _Builder:
    """Makes a value of events, and notes where each part of it stands."""

    def __init__(self, file: YamlFile, events: Iterator[Event]) -> None:
        self._file = file
        self._events = events

    def build(self) -> None:
        """Fills the file."""
        import yaml.events

        event = next(self._events)
        while isinstance(event, yaml.events.StreamStartEvent | yaml.events.DocumentStartEvent):
            event = next(self._events)
        if isinstance(event, yaml.events.StreamEndEvent):
            return
        self._file.value = self._value(event, "$", depth=0)
        for event in self._events:
            if isinstance(event, yaml.events.DocumentStartEvent):
                raise self._refuse(event, "got a second document, wanted one")

    def _value(self, event: Event, path: str, *, depth: int) -> Any:
        import yaml.events

        self._file.mark(path, event.start_mark.line + 1)
        if depth > MAX_DEPTH:
            raise self._refuse(event, f"got nesting deeper than {MAX_DEPTH}")
        if isinstance(event, yaml.events.AliasEvent) or event.anchor is not None:
            raise self._refuse(event, "got an anchor or alias, wanted it written out")
        if event.tag is not None and event.tag != "!":
            raise self._refuse(event, f"got the tag {event.tag}, wanted none")
        if isinstance(event, yaml.events.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.events.SequenceStartEvent):
            return self._list(path, depth)
        return self._mapping(path, depth)

    def _scalar(self, event: Event, path: str) -> Any:
        if event.style or event.tag is not None:
            return event.value
        value = _plain(event.value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._file.mark(path, event.start_mark.line + 1, number=event.value)
        return value

    def _list(self, path: str, depth: int) -> list[Any]:
        import yaml.events

        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.events.SequenceEndEvent):
            items.append(self._value(event, f"{path}[{len(items)}]", depth=depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        import yaml.events

        made: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.events.MappingEndEvent):
            if not isinstance(event, yaml.events.ScalarEvent):
                raise self._refuse(event, "got a key that is no text")
            key = event.value
            if key == "<<":
                raise self._refuse(event, "got a merge key, wanted the keys written out")
            if key in made:
                raise self._refuse(event, f"got the key {key} twice")
            made[key] = self._value(next(self._events), f"{path}.{key}", depth=depth + 1)
        return made

    def _refuse(self, event: Event, text: str) -> BadFileError:
        return BadFileError([f"{self._file.name}:{event.start_mark.line + 1}: {text}"])


def _plain(text: str) -> Any:
    """Returns what a scalar without quotes stands for."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if len(text) <= _MAX_DIGITS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
    return text


_NAMES = {
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "a mapping",
}


def _name(kinds: str) -> str:
    """Returns kinds of values as a person names them."""
    names = dict.fromkeys(_NAMES.get(kind.strip(), kind.strip()) for kind in kinds.split("|"))
    return " or ".join(name for name in names if len(names) == 1 or name != "nothing")

"""Typed reading of decoded JSON that knows where it is, so that a refusal can name the path."""

from __future__ import annotations

from typing import Any

from amiguard_core.errors import RecordMalformedError

_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class Node:
    """One JSON value and where it stands. Absent and null are the same: `exists` is False."""

    __slots__ = ("_key", "_parent", "value")

    def __init__(self, value: Any, parent: Node | None = None, key: str | int = "$") -> None:
        self.value = value
        self._parent = parent
        self._key = key

    @property
    def path(self) -> str:
        """The JSON path, worked out for whoever has to name it."""
        if self._parent is None:
            return str(self._key)
        step = f"[{self._key}]" if isinstance(self._key, int) else f".{self._key}"
        return self._parent.path + step

    @property
    def exists(self) -> bool:
        """Whether there is a value other than null."""
        return self.value is not None

    def refuse(self, wanted: str, *, got: str | None = None) -> RecordMalformedError:
        """Makes the error that says what stands here and what was wanted."""
        if got is None:
            got = _KINDS[type(self.value)] if self.exists else "nothing"
        return RecordMalformedError(self.path, got=got, wanted=wanted)

    def child(self, *names: str) -> Node:
        """Returns the value under these names; absent where any of them is absent."""
        node = self
        for name in names:
            value = node.value
            if isinstance(value, dict):
                node = Node(value.get(name), node, name)
            elif value is None:
                node = Node(None, node, name)
            else:
                raise node.refuse("an object")
        return node

    def elements(self) -> list[Node]:
        """Returns the elements of an array; a lone object counts as an array of one."""
        if not self.exists:
            return []
        if isinstance(self.value, dict):
            return [self]
        if not isinstance(self.value, list):
            raise self.refuse("an array")
        return [Node(value, self, index) for index, value in enumerate(self.value)]

    def items(self, set_name: str) -> list[Node]:
        """Returns the items of one of EC2's `…Set` objects: `{"items": [...]}`, `{}` or absent."""
        return self.child(set_name, "items").elements()

    def text(self, *, max_length: int) -> str | None:
        """Returns a string, None when absent or empty; refuses what no AWS text holds."""
        if not self.exists:
            return None
        if not isinstance(self.value, str):
            raise self.refuse("a string")
        if len(self.value) > max_length:
            raise self.refuse(
                f"at most {max_length} characters", got=f"{len(self.value)} characters"
            )
        if "\0" in self.value:
            raise self.refuse("text", got="a NUL character")
        return self.value or None

    def key(self, *, max_bytes: int) -> str | None:
        """Returns a string as `text` does; refuses more bytes than a key of a database has."""
        text = self.text(max_length=max_bytes)
        if text is not None and not text.isascii() and len(text.encode()) > max_bytes:
            raise self.refuse(
                f"at most {max_bytes} bytes in UTF-8", got=f"{len(text.encode())} bytes"
            )
        return text

    def clipped(self, *, max_length: int) -> str:
        """Returns a string cut to a length; empty when absent."""
        if not self.exists:
            return ""
        if not isinstance(self.value, str):
            raise self.refuse("a string")
        return self.value[:max_length].replace("\0", "\N{REPLACEMENT CHARACTER}")

    def flag(self) -> bool:
        """Returns a boolean, which some deliveries write as a string; absent is False."""
        if not self.exists:
            return False
        if isinstance(self.value, bool):
            return self.value
        if self.value in ("true", "false"):
            return bool(self.value == "true")
        raise self.refuse("true or false")

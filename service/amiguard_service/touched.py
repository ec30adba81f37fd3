"""What a call touches, by name, for its line in the log."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

MAX_NAME_LENGTH: Final = 256
"""A name in the log is cut here: a request may bring one of megabytes, which is then refused."""
_RESOURCES: Final = ("finding", "allowlist_entry", "rule_config", "sink")


def touched_by(message: Any) -> dict[str, str | int | bool]:
    """Returns the names and the number of images in a request or a response, and if it is a trial.

    Keys are `finding`, `allowlist_entry`, `rule_config` and `sink`, `name` where the request has
    no other, `image_count`, and `validate_only` where nothing is to change.
    """
    if not isinstance(message, Message):
        return {}
    touched: dict[str, str | int | bool] = {}
    fields = message.DESCRIPTOR.fields_by_name
    for key in ("name", *_RESOURCES):
        if key in fields:
            value = getattr(message, key)
            if isinstance(value, Message):
                value = getattr(value, "name", None) or getattr(value, "revision", None)
            if value:
                touched[key] = _plain(str(value))
    # Fields of whatever message it is: each is looked for first.
    given: Any = message
    if "images" in fields and not message.DESCRIPTOR.name.endswith("Response"):
        touched["image_count"] = len(given.images)
    if "validate_only" in fields and given.validate_only:
        touched["validate_only"] = True
    return touched


def _plain(name: str) -> str:
    """Returns a name without what no terminal should be sent, cut to a length."""
    return "".join(c if c.isprintable() else "?" for c in name[:MAX_NAME_LENGTH])

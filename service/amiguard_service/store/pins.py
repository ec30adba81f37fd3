"""What pinned images into launch templates, kept for as long as the findings made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from amiguard_core.events import Launch, Search
from amiguard_service.store.rows import encode_rows, rows_of
from amiguard_service.store.schema import pinned_templates

_decode_search = msgspec.json.Decoder(Search).decode
_decode_launch = msgspec.json.Decoder(Launch).decode


class PinKey(NamedTuple):
    """Which pin: the key of its row."""

    account_id: str
    finding_id: str
    pin_event_id: str
    pin_digest: str


class StoredPin(NamedTuple):
    """A call that pinned an image, and the latest unsafe search that it followed.

    Where that is Packer's check of a name, `plain_search` is the latest that is none.
    """

    search: Search
    pin: Launch
    plain_search: Search | None = None

    def pairs(self) -> list[tuple[Search, Launch]]:
        """Returns the pin beside each search that it followed."""
        searches = (self.search, self.plain_search)
        return [(search, self.pin) for search in searches if search is not None]

    def records(self) -> list[Search | Launch]:
        """Returns all that is kept of it."""
        return [record for pair in self.pairs() for record in pair]


def replace_pins(connection: Connection, pins: Mapping[PinKey, StoredPin]) -> None:
    """Stores pins, in place of what is stored of them."""
    if not pins:
        return
    connection.execute(
        _DELETE, [{f"of_{name}": v for name, v in key._asdict().items()} for key in pins]
    )
    connection.execute(
        insert(pinned_templates),
        [
            key._asdict()
            | {
                "template_id": _template_of(stored.pin),
                "search": msgspec.json.encode(stored.search),
                "pin": msgspec.json.encode(stored.pin),
                "plain_search": (
                    None
                    if stored.plain_search is None
                    else msgspec.json.encode(stored.plain_search)
                ),
            }
            for key, stored in pins.items()
        ],
    )


def fetch_of_templates(
    connection: Connection, templates: Iterable[tuple[str, str]]
) -> dict[PinKey, StoredPin]:
    """Returns the pins of templates, given by account and id."""
    return _fetch(connection, "template_id", sorted(set(templates)))


def fetch_of_findings(
    connection: Connection, finding_keys: Iterable[tuple[str, str]]
) -> dict[PinKey, StoredPin]:
    """Returns the pins of findings, given by account and id."""
    return _fetch(connection, "finding_id", list(finding_keys))


def _fetch(
    connection: Connection, column: str, rows: list[tuple[str, str]]
) -> dict[PinKey, StoredPin]:
    if not rows:
        return {}
    statement = _select(column, connection.dialect.name)
    return {
        PinKey(row.account_id, row.finding_id, row.pin_event_id, row.pin_digest): StoredPin(
            _decode_search(row.search),
            _decode_launch(row.pin),
            None if row.plain_search is None else _decode_search(row.plain_search),
        )
        for row in connection.execute(statement, {"rows": encode_rows(rows)})
    }


def _template_of(pin: Launch) -> str:
    assert pin.template is not None  # noqa: S101 - a pin made a version of a template
    return pin.template.template_id


@lru_cache
def _select(column: str, backend: str) -> Select[Any]:
    given = rows_of(("account_id", column), backend)
    table = pinned_templates.c
    same = (table.account_id == given.c.account_id) & (table[column] == given.c[column])
    return select(pinned_templates).select_from(given.join(pinned_templates, same))


_DELETE = delete(pinned_templates).where(
    *(pinned_templates.c[name] == bindparam(f"of_{name}") for name in PinKey._fields)
)

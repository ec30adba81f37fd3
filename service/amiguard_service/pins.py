"""Launches from launch templates, whose images were pinned in another lane.

Whoever pins an image and whoever launches it share no lane, so both also take the lane of the
template. A launch may change findings of whoever pinned, and so takes their lanes as well: which
these are is only known once the lane of the template is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import reduce
from typing import TypeAlias

import msgspec
from sqlalchemy import Connection

from amiguard_core.correlate import later, pair, pair_pinned, unique
from amiguard_core.events import TEMPLATE_PATHS, Launch, Search
from amiguard_core.pipeline import occur
from amiguard_core.policy import Policy
from amiguard_core.score import is_prevalidation
from amiguard_service.intake import digest_of
from amiguard_service.store import pending
from amiguard_service.store import pins as store
from amiguard_service.store.pending import EARLIEST, LATEST, Span, WaitingKind
from amiguard_service.store.pins import PinKey, StoredPin

LaneKey: TypeAlias = tuple[str, str]
"""An account, and a lane of it."""
Pair: TypeAlias = tuple[Search, Launch, Launch | None]
"""A search, a launch that follows it, and the pin through which it does, if it does by one."""


class LanesNeededError(Exception):
    """A transaction needs further lanes and has to begin again with them."""

    def __init__(self, lanes: AbstractSet[LaneKey]) -> None:
        """Takes the lanes that the transaction does not hold."""
        super().__init__(f"{len(lanes)} further lanes")
        self.lanes = lanes


def pair_through_pins(
    connection: Connection,
    pairs: Sequence[tuple[Search, Launch]],
    fresh: Iterable[Search | Launch],
    policy: Policy,
    *,
    held: AbstractSet[LaneKey],
) -> list[Pair]:
    """Returns the pairs, by way of a pin, that new pairs and fresh launches make.

    Keeps the pins among the pairs. Raises LanesNeededError where a fresh launch concerns lanes
    other than those that are held.
    """
    if not TEMPLATE_PATHS.intersection(policy.rule.launch_paths):
        return []
    made = [(search, launch) for search, launch in pairs if launch.is_pin]
    launched = [record for record in fresh if isinstance(record, Launch)]
    launched = [launch for launch in launched if launch.is_from_template]
    if not made and not launched:
        return []
    concerned = {_template_key(launch) for launch in (*launched, *(pin for _, pin in made))}
    stored = store.fetch_of_templates(connection, concerned)
    _check_lanes(connection, launched, stored.values(), held)
    # Of what is stored, some may count under another policy alone.
    kept = unique(record for pin in stored.values() for record in pin.records())
    pins = joined_pins([*pair(*kept, policy), *made])
    store.replace_pins(connection, {k: pin for k, pin in pins.items() if stored.get(k) != pin})
    waiting = fetch_launched(connection, [pin for _, pin in made])
    return [
        (search, launch, pin)
        for search, pin, launch in (
            *pair_pinned(made, waiting, policy),
            *pair_pinned((p for pin in pins.values() for p in pin.pairs()), launched, policy),
        )
    ]


def joined_pins(pairs: Iterable[tuple[Search, Launch]]) -> dict[PinKey, StoredPin]:
    """Returns the pins among pairs, each copy of one with the latest searches it follows."""
    pins: dict[PinKey, StoredPin] = {}
    for search, pin in pairs:
        if not pin.is_pin:
            continue
        of_finding = occur(search, pin).key
        key = PinKey(
            of_finding.account_id,
            of_finding.finding_id(),
            pin.origin.event_id,
            digest_of(msgspec.json.encode(pin)),
        )
        known = pins.get(key)
        searches = [search] if known is None else [search, *(s for s, _ in known.pairs())]
        pins[key] = _joined_pin(searches, pin)
    return pins


def _joined_pin(searches: Sequence[Search], pin: Launch) -> StoredPin:
    latest = reduce(later, searches)
    plain = [search for search in searches if not is_prevalidation(search)]
    if not plain or not is_prevalidation(latest):
        return StoredPin(latest, pin)
    return StoredPin(latest, pin, reduce(later, plain))


def _check_lanes(
    connection: Connection,
    launched: Iterable[Launch],
    stored: Iterable[StoredPin],
    held: AbstractSet[LaneKey],
) -> None:
    """Raises LanesNeededError unless all lanes are held in which a launch's image was pinned.

    Those whose pin still waits count too: a search that comes now may make it one.
    """
    spans = [
        _span(launch, WaitingKind.PIN, start=EARLIEST, end=launch.origin.event_time)
        for launch in launched
    ]
    waiting = pending.fetch_spans(connection, spans)
    pins = [*(pin.pin for pin in stored), *waiting]
    lanes = {(pin.origin.account_id or "", pin.origin.lane or "") for pin in pins}
    if not lanes <= held:
        raise LanesNeededError(lanes - held)


def fetch_launched(connection: Connection, records: Iterable[Search | Launch]) -> list[Launch]:
    """Returns the launches that wait and may have been made from what any of the records pinned."""
    pins = [record for record in records if isinstance(record, Launch) and record.is_pin]
    spans = [
        _span(pin, WaitingKind.LAUNCH, start=pin.origin.event_time, end=LATEST) for pin in pins
    ]
    found = pending.fetch_spans(connection, spans)
    return [record for record in found if isinstance(record, Launch)]


def _span(launch: Launch, kind: WaitingKind, *, start: datetime, end: datetime) -> Span:
    account_id, _ = _template_key(launch)
    assert launch.template is not None  # noqa: S101 - the key has it
    return Span(account_id, launch.template.lane, launch.origin.region, kind, start, end)


def _template_key(launch: Launch) -> tuple[str, str]:
    """Returns the account and the id of the template that a launch made or was made from."""
    # What names no account waits nowhere, and so is never looked for.
    assert launch.origin.account_id is not None  # noqa: S101
    assert launch.template is not None  # noqa: S101
    return launch.origin.account_id, launch.template.template_id

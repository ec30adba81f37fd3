"""Which launches follow a search? docs/rule.md, section 5."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import msgspec

from amiguard_core.events import Launch, Origin, Search
from amiguard_core.judge import judge
from amiguard_core.policy import Policy
from amiguard_core.score import is_prevalidation

RecordT = TypeVar("RecordT", Search, Launch)


def prevailing(one: RecordT, other: RecordT) -> RecordT:
    """Returns which of two copies of one event is shown, whichever came first.

    Two paths may deliver one event with different parts cut off: the copy that says more counts.
    """
    return max(one, other, key=weight)


def weight(record: Search | Launch) -> tuple[int, bytes]:
    """Orders copies of one event by how much they say."""
    encoded = msgspec.json.encode(record)
    return len(encoded), encoded


def later(one: Search, other: Search) -> Search:
    """Returns the later of two searches: by time, by event id among equals, then the fuller."""
    when, then = ((search.origin.event_time, search.origin.event_id) for search in (one, other))
    if when == then:
        return prevailing(one, other)
    return one if when > then else other


def unique(records: Iterable[Search | Launch]) -> tuple[list[Search], list[Launch]]:
    """Returns every record once, whatever the order and the repetition of the input.

    Records with one event id are the same when they say the same. Where two copies differ both
    take part, so that no copy, cut or forged, can keep another from being judged.
    """
    kept = dict.fromkeys(records)
    searches = [record for record in kept if isinstance(record, Search)]
    launches = [record for record in kept if isinstance(record, Launch)]
    return searches, launches


def can_pair(record: Search | Launch, policy: Policy) -> bool:
    """Says whether a record can be part of a pair: an unsafe search, or a launch that counts."""
    if isinstance(record, Launch):
        return record.path in policy.rule.launch_paths
    return judge(record.request, policy, account_id=record.origin.account_id).is_unsafe


def pair(
    searches: Iterable[Search], launches: Iterable[Launch], policy: Policy
) -> Iterator[tuple[Search, Launch]]:
    """Yields, for each launch and each fingerprint, the latest unsafe search it follows.

    Where that is Packer's check of a name (`is_prevalidation`), the latest that is none is yielded
    too: only where there is none can the occurrence be suppressed. Ties in time go to the greatest
    event id. Takes each record once: see `unique`. Copies of one
    launch are yielded each. The time is that of sorting, and of what is yielded.
    """
    lines: defaultdict[Hashable, list[Search | Launch]] = defaultdict(list)
    for search in searches:
        key = _line(search.origin, policy)
        if key is not None and can_pair(search, policy):
            lines[key].append(search)
    for launch in launches:
        key = _line(launch.origin, policy)
        # A launch before any search of its line waits in vain only here: all searches are in.
        if key in lines and can_pair(launch, policy):
            lines[key].append(launch)
    for line in lines.values():
        yield from _pair_line(line, policy.rule.window)


def pair_pinned(
    pins: Iterable[tuple[Search, Launch]], launches: Iterable[Launch], policy: Policy
) -> Iterator[tuple[Search, Launch, Launch]]:
    """Yields each pin, with the search it follows, beside each launch made from what it pinned.

    `pins` are pairs that `pair` yielded; of them count those that made a version of a launch
    template. A launch was made from it if its instances carry that version, in the same account
    and region, not before the pin. It may come any time later, and from anybody.
    """
    made: defaultdict[Hashable, list[tuple[Search, Launch]]] = defaultdict(list)
    for search, pin in pins:
        if pin.is_pin:
            made[_version(pin)].append((search, pin))
    if not made:
        return
    for launch in launches:
        if not launch.is_from_template or launch.path not in policy.rule.launch_paths:
            continue
        for search, pin in made.get(_version(launch), ()):
            if pin.origin.event_time <= launch.origin.event_time:
                yield search, pin, launch


def _version(launch: Launch) -> Hashable:
    return launch.origin.account_id, launch.origin.region, launch.template


def _line(origin: Origin, policy: Policy) -> Hashable:
    """Returns what records must share to belong together; None when one belongs to nobody."""
    key = policy.correlation_key(origin)
    return None if key is None else (origin.account_id, origin.region, origin.lane, key)


def _pair_line(line: list[Search | Launch], window: timedelta) -> Iterator[tuple[Search, Launch]]:
    latest: OrderedDict[tuple[str, bool], Search] = OrderedDict()
    for record in sorted(line, key=_in_time):
        time = record.origin.event_time
        if isinstance(record, Search):
            key = record.fingerprint, is_prevalidation(record)
            known = latest.pop(key, record)
            latest[key] = later(known, record)
            continue
        while latest:
            key, oldest = next(iter(latest.items()))
            if time - oldest.origin.event_time <= window:
                break
            del latest[key]
        for (fingerprint, suppresses), search in latest.items():
            other = latest.get((fingerprint, False)) if suppresses else None
            if other is None or later(other, search) is search:
                yield search, record


def _in_time(record: Search | Launch) -> tuple[object, ...]:
    """Orders a line so that, at equal times, searches come first and the greatest id last."""
    origin = record.origin
    return origin.event_time, isinstance(record, Launch), origin.event_id

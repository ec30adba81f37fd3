"""What is thought of each search and launch of an input, and what keeps others apart."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from heapq import nsmallest
from typing import TYPE_CHECKING, TypeVar

from amiguard_core.correlate import pair, pair_pinned, unique
from amiguard_core.events import Launch, Search
from amiguard_core.judge import Judgement, judge
from amiguard_core.pipeline import occur
from amiguard_core.policy import CorrelateBy, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_MISSES = 3
"""Launches a search missed, or searches a launch missed, that are told of: the nearest."""
_NEIGHBOURS = 100
"""How many records before and after in time are looked at for the nearest."""

_Record = TypeVar("_Record", Search, Launch)
_NO_TIME = timedelta(0)


class Cause(StrEnum):
    """Why a launch does not belong to an unsafe search."""

    OTHER_ACCOUNT = "OTHER_ACCOUNT"
    OTHER_REGION = "OTHER_REGION"
    OTHER_PRINCIPAL = "OTHER_PRINCIPAL"
    OTHER_ROLE = "OTHER_ROLE"
    BEFORE_SEARCH = "BEFORE_SEARCH"
    PAST_WINDOW = "PAST_WINDOW"
    LATER_SEARCH = "LATER_SEARCH"
    PATH_NOT_COUNTED = "PATH_NOT_COUNTED"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One cause, and the same for a person with what was got and what was wanted."""

    cause: Cause
    message: str


@dataclass(frozen=True, slots=True)
class Miss:
    """A search and a launch that do not belong together, with every cause."""

    search: Search
    launch: Launch
    obstacles: tuple[Obstacle, ...]

    @property
    def distance(self) -> tuple[int, timedelta]:
        """Orders misses: the fewest causes first, then the least time between the two."""
        return len(self.obstacles), abs(gap_of(self.search, self.launch))


@dataclass(frozen=True, slots=True)
class Pinned:
    """A launch from a launch template, and the call that pinned an image into it after a search."""

    search: Search
    pin: Launch
    launch: Launch


@dataclass(frozen=True, slots=True)
class SearchVerdict:
    """A search, how it is judged, the launches that follow it, else the nearest that do not.

    `pinned` are the launches from templates into which one of these pinned an image.
    """

    search: Search
    judgement: Judgement
    launches: tuple[Launch, ...]
    pinned: tuple[Pinned, ...]
    misses: tuple[Miss, ...]


@dataclass(frozen=True, slots=True)
class LaunchVerdict:
    """A launch, the searches it follows, else the nearest unsafe ones that it does not.

    `pinned` are the ways in which it follows one through a launch template.
    """

    launch: Launch
    searches: tuple[Search, ...]
    pinned: tuple[Pinned, ...]
    misses: tuple[Miss, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Every search and launch once, in order of time."""

    searches: tuple[SearchVerdict, ...]
    launches: tuple[LaunchVerdict, ...]


def explain(searches: Iterable[Search], launches: Iterable[Launch], policy: Policy) -> Verdicts:
    """Judges searches and launches as the rule does and says why each came out so."""
    own_searches, own_launches = unique([*searches, *launches])
    own_searches.sort(key=_in_time)
    own_launches.sort(key=_in_time)
    launches_of: defaultdict[object, list[Launch]] = defaultdict(list)
    searches_of: defaultdict[object, list[Search]] = defaultdict(list)
    pairs = list(pair(own_searches, own_launches, policy))
    for search, launch in pairs:
        launches_of[search].append(launch)
        searches_of[launch].append(search)
    pinned_of: defaultdict[object, list[Pinned]] = defaultdict(list)
    for search, pin, launch in pair_pinned(pairs, own_launches, policy):
        pinned_of[search].append(Pinned(search, pin, launch))
        pinned_of[launch].append(Pinned(search, pin, launch))
    judged = [(search, _judge(search, policy)) for search in own_searches]
    unsafe = [search for search, judgement in judged if judgement.is_unsafe]
    return Verdicts(
        searches=tuple(
            SearchVerdict(
                search,
                judgement,
                launches=tuple(launches_of[search]),
                pinned=tuple(pinned_of[search]),
                misses=_nearest(
                    Miss(search, launch, obstacles(search, launch, policy))
                    for launch in _neighbours(search, own_launches)
                )
                if judgement.is_unsafe and not launches_of[search]
                else (),
            )
            for search, judgement in judged
        ),
        launches=tuple(
            LaunchVerdict(
                launch,
                searches=tuple(searches_of[launch]),
                pinned=tuple(pinned_of[launch]),
                misses=()
                if searches_of[launch] or pinned_of[launch]
                else _nearest(
                    Miss(search, launch, obstacles(search, launch, policy))
                    for search in _neighbours(launch, unsafe)
                ),
            )
            for launch in own_launches
        ),
    )


def gap_of(search: Search, launch: Launch) -> timedelta:
    """Returns the time from a search to a launch, negative when the launch came first."""
    return launch.origin.event_time - search.origin.event_time


def finding_name(search: Search, launch: Launch) -> str:
    """Returns the name of the finding that a search and a launch that follows it belong to.

    A launch from a template belongs to the finding of the call that pinned its image.
    """
    return f"findings/{occur(search, launch).key.finding_id()}"


def obstacles(search: Search, launch: Launch, policy: Policy) -> tuple[Obstacle, ...]:
    """Returns all that keeps a launch from an unsafe search; the last resort is a later search."""
    found = [*_key_obstacles(search, launch, policy), *_time_obstacles(search, launch, policy)]
    if launch.path not in policy.rule.launch_paths:
        found.append(
            Obstacle(Cause.PATH_NOT_COUNTED, f"{launch.path} does not count as a launch here")
        )
    if [one.cause for one in found] == [Cause.OTHER_PRINCIPAL]:
        found = [_with_option(found[0], search, launch)]
    if not found:
        found.append(Obstacle(Cause.LATER_SEARCH, "a later search of the same request is nearer"))
    return tuple(found)


def _key_obstacles(search: Search, launch: Launch, policy: Policy) -> Iterable[Obstacle]:
    asked, started = search.origin, launch.origin
    if asked.account_id is None or asked.account_id != started.account_id:
        yield Obstacle(
            Cause.OTHER_ACCOUNT,
            f"account {started.account_id or 'unknown'} launched, "
            f"{asked.account_id or 'unknown'} searched",
        )
    if asked.region != started.region:
        yield Obstacle(
            Cause.OTHER_REGION, f"launched in {started.region}, searched in {asked.region}"
        )
    is_role = policy.rule.correlate_by is CorrelateBy.ROLE
    searcher = asked.actor_arn if is_role else asked.principal_arn
    launcher = started.actor_arn if is_role else started.principal_arn
    if searcher is None or searcher != launcher:
        cause = Cause.OTHER_ROLE if is_role else Cause.OTHER_PRINCIPAL
        yield Obstacle(cause, f"{launcher or 'nobody'} launched, {searcher or 'nobody'} searched")


def _with_option(obstacle: Obstacle, search: Search, launch: Launch) -> Obstacle:
    """Returns what alone keeps two calls apart, with the option that helps where one does."""
    role = search.origin.actor_arn
    if role is None or role != launch.origin.actor_arn:
        return obstacle
    text = f"{obstacle.message}: sessions of one role, which --correlate-by role takes together"
    return Obstacle(obstacle.cause, text)


def _time_obstacles(search: Search, launch: Launch, policy: Policy) -> Iterable[Obstacle]:
    gap, window = gap_of(search, launch), policy.rule.window
    if gap < _NO_TIME:
        yield Obstacle(Cause.BEFORE_SEARCH, f"launched {seconds(-gap)} before the search")
    elif gap > window:
        yield Obstacle(
            Cause.PAST_WINDOW,
            f"launched {seconds(gap)} after the search, {seconds(gap - window)} past the window "
            f"of {seconds(window)}",
        )


def seconds(duration: timedelta) -> str:
    """Returns a duration in seconds, for people."""
    return f"{duration.total_seconds():,g} s"


def _judge(search: Search, policy: Policy) -> Judgement:
    return judge(search.request, policy, account_id=search.origin.account_id)


def _nearest(misses: Iterable[Miss]) -> tuple[Miss, ...]:
    return tuple(nsmallest(MAX_MISSES, misses, key=lambda miss: miss.distance))


def _neighbours(record: Search | Launch, others: Sequence[_Record]) -> Sequence[_Record]:
    """Returns the others nearest in time, so that a large input takes no square of its size."""
    place = bisect_left(others, record.origin.event_time, key=lambda o: o.origin.event_time)
    return others[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS]


def _in_time(record: Search | Launch) -> tuple[object, ...]:
    return record.origin.event_time, record.origin.event_id

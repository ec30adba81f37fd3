"""Principals, what they did and what was found of it, in any number and each from its number alone.

Principal n is a role of its own. It has waited with RECORDS_PER_PRINCIPAL records, one of them an
unsafe search, and has one finding. Whatever is called rare belongs to RARE_COUNT findings, however
many there are, so that a page of it is as full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from amiguard_core.events import Launch, Origin, Search, SearchFilter, SearchRequest
from amiguard_core.pipeline import occur
from amiguard_core.policy import Policy
from amiguard_core.score import LaunchedImages
from amiguard_migrations.documents import pack
from amiguard_service.ledger import Change, open_finding
from amiguard_service.stored import Disposition, State
from tests.data import agents
from tests.data.draws import Draws
from tests.data.records import NINE_O_CLOCK
from tests.data.scenario import REGIONS

RECORDS_PER_PRINCIPAL: Final = 10
PRINCIPALS_PER_ACCOUNT: Final = 100
RARE_COUNT: Final = 60
SPAN: Final = timedelta(days=1)
RARE_IMAGE: Final = "ami-0fee1900d00000001"
COMMON_IMAGE: Final = "ami-0c033000000000001"
RARE_PATTERN: Final = "team-nobody-*"
COMMON_PATTERN: Final = "acme-base-*"
RARE_ASSIGNEE: Final = "zoe"
RARE_LABEL: Final = "escalated"
COMMON_LABEL: Final = "team"

_AGENTS: Final = (agents.TERRAFORM, agents.BOTO3, agents.PULUMI, agents.ANSIBLE)
_RARE_AGENT: Final = agents.KARPENTER
_PATTERNS: Final = (COMMON_PATTERN, "ubuntu/images/hvm-ssd/ubuntu-jammy-*", "amzn2-ami-hvm-*-gp2")
_BROAD_PATTERN: Final = "*-x86_64"
_FURTHER_FILTERS: Final = (
    (SearchFilter("tag-key", ("team",)),),
    (SearchFilter("product-code", ("3f8t6t8fp5m9xx18yzwriozxi",)),),
    (SearchFilter("is-public", ("false",)),),
    (),
    (),
)
"""What sets the scores of findings apart: the last of them asks for a second, broad pattern."""


@dataclass(frozen=True, slots=True)
class FoundRow:
    """The rows of one finding, by table, without those of its images and patterns."""

    finding_id: str
    account_id: str
    finding: dict[str, Any]
    occurrences: list[dict[str, Any]]
    image_ids: tuple[str, ...]
    patterns: tuple[str, ...]
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Population:
    """So many principals, a number that PRINCIPALS_PER_ACCOUNT divides."""

    size: int

    @property
    def accounts(self) -> Iterator[range]:
        """The principals of each account, in the order of the accounts."""
        for first in range(0, self.size, PRINCIPALS_PER_ACCOUNT):
            yield range(first, first + PRINCIPALS_PER_ACCOUNT)

    def is_rare(self, number: int) -> bool:
        """Whether a principal is one of the RARE_COUNT, which are spread evenly."""
        return (
            number % (self.size // RARE_COUNT) == 0
            and number // (self.size // RARE_COUNT) < RARE_COUNT
        )


def account_of(number: int) -> str:
    """Returns the account of a principal."""
    return f"{number // PRINCIPALS_PER_ACCOUNT + 1:012d}"


def actor_of(number: int) -> str:
    """Returns the role that a principal is."""
    return f"arn:aws:iam::{account_of(number)}:role/ci/service-{number:08d}"


def origin(number: int, *, event_id: str, at: datetime, user_agent: str) -> Origin:
    """Returns who called, when and where."""
    account = account_of(number)
    return Origin(
        event_id=event_id,
        event_time=at,
        region=REGIONS[number % len(REGIONS)],
        account_id=account,
        principal_arn=f"arn:aws:sts::{account}:assumed-role/service-{number:08d}/deploy",
        actor_arn=actor_of(number),
        user_agent=user_agent,
        source_ip_address="203.0.113.17",
    )


def draw_uuid(draws: Draws) -> str:
    """Returns an id of an event, faster than `Draws.uuid`."""
    digits = f"{draws.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def unsafe_request(population: Population, number: int) -> SearchRequest:
    """Returns what a principal asked for without an owner."""
    patterns: tuple[str, ...] = (
        RARE_PATTERN if population.is_rare(number) else _PATTERNS[number % 7 % 3],
    )
    shape = number % 13 % len(_FURTHER_FILTERS)
    if shape == len(_FURTHER_FILTERS) - 1:
        patterns = (_BROAD_PATTERN, *patterns)
    filters = (SearchFilter("name", patterns), *_FURTHER_FILTERS[shape])
    return SearchRequest(filters=tuple(sorted(filters, key=lambda item: item.name)))


def search(who: Origin, request: SearchRequest) -> Search:
    """Returns a search."""
    return Search(who, request, _fingerprint(request))


@lru_cache
def _fingerprint(request: SearchRequest) -> str:
    return request.fingerprint()


SAFE_REQUEST: Final = SearchRequest(
    filters=(SearchFilter("name", (COMMON_PATTERN,)),), owners=("self",)
)


def image_of(population: Population, number: int) -> str:
    """Returns the image that a principal launches."""
    if population.is_rare(number):
        return RARE_IMAGE
    # Whatever else it is: of those with this image as many as of all have 20 occurrences.
    if number % 17 % 5 == 1:
        return COMMON_IMAGE
    return f"ami-0{number // 4:016x}"


def agent_of(population: Population, number: int) -> str:
    """Returns the client that a principal calls with."""
    return _RARE_AGENT if population.is_rare(number) else _AGENTS[number % 4]


def find(population: Population, number: int, *, draws: Draws, policy: Policy) -> FoundRow:
    """Returns what was found of a principal: one occurrence mostly, in one of ten cases 20."""
    from amiguard_service.store import findings, occurrences

    # An odd multiplier scatters the times over the findings, whatever their accounts.
    moment = NINE_O_CLOCK - SPAN + SPAN * (number * 7_919 % population.size) / population.size
    moment = moment.replace(microsecond=0)
    agent = agent_of(population, number)
    request = unsafe_request(population, number)
    changes = []
    for age in range(20 if number % 10 == 0 else 1):
        at = moment - timedelta(minutes=age)
        searched = origin(number, event_id=draw_uuid(draws), at=at, user_agent=agent)
        launched = origin(
            number, event_id=draw_uuid(draws), at=at + timedelta(seconds=30), user_agent=agent
        )
        launch = Launch(
            launched,
            image_ids=(image_of(population, number),),
            instance_ids=("i-0a1b2c3d4e5f60718",),
        )
        changes.append(Change(occur(search(searched, request), launch), None))
    row = open_finding(changes, policy, images=LaunchedImages(1), now=moment)
    state = (*[State.OPEN] * 7, State.ACKNOWLEDGED, State.CLOSED, State.SUPPRESSED)[
        number % 11 % 10
    ]
    assignee = f"analyst-{number % 9}" if number % 6 == 0 else ""
    is_rare = population.is_rare(number)
    values = findings._values(row) | {
        "state": state.value,
        "disposition": Disposition.TRUE_POSITIVE.value if state is State.CLOSED else None,
        "assignee": RARE_ASSIGNEE if is_rare else assignee,
    }
    labels = {COMMON_LABEL: f"team-{number % 12}"} if number % 8 == 0 else {}
    if is_rare:
        labels[RARE_LABEL] = "yes"
    return FoundRow(
        finding_id=row.finding_id,
        account_id=row.key.account_id,
        finding=values,
        occurrences=[occurrences._values(change.occurrence) for change in changes],
        image_ids=(image_of(population, number),),
        patterns=request.values_of("name"),
        labels=labels,
    )


def waiting_rows(population: Population, number: int, *, draws: Draws) -> list[tuple[Any, ...]]:
    """Returns the rows of the records with which a principal waits, in the order of their keys."""
    account, region = account_of(number), REGIONS[number % len(REGIONS)]
    lane = f"role/service-{number:08d}"
    bodies = _bodies(population, number)
    micros = int((NINE_O_CLOCK - SPAN).timestamp()) * 1_000_000
    rows = []
    for kind, body in bodies:
        event_id = draw_uuid(draws)
        at = micros + int(draws.random() * 86_400) * 1_000_000
        # What a body says of its time and its event only the core reads, and only of partners.
        text = body.replace(b"EVENT", event_id.encode())
        digest = f"{draws.getrandbits(64):016x}"
        key = (account, lane, event_id, digest, region, kind, at)
        rows.append((*key, at + 300_000_000, pack(text)))
    # Region and lane are the same of all.
    rows.sort(key=lambda row: (row[5], row[6], row[2]))
    return rows


def _bodies(population: Population, number: int) -> list[tuple[int, bytes]]:
    who = origin(number, event_id="EVENT", at=NINE_O_CLOCK - SPAN, user_agent=agents.TERRAFORM)
    launch = msgspec.json.encode(
        Launch(
            who, image_ids=(image_of(population, number),), instance_ids=("i-0a1b2c3d4e5f60718",)
        )
    )
    safe = msgspec.json.encode(search(who, SAFE_REQUEST))
    unsafe = msgspec.json.encode(search(who, unsafe_request(population, number)))
    return [*[(2, launch)] * 5, *[(0, safe)] * 4, (1, unsafe)]


def traffic(
    population: Population, count: int, *, seed: int, pair_share: float
) -> Iterator[Search | Launch]:
    """Returns new records, each of a principal drawn from all, spread over the day that follows.

    A share of the records are unsafe searches with a launch after each; of the others every second
    is a launch, every second a safe search.
    """
    return islice(_endless(population, count, Draws(seed), pair_share), count)


def _endless(
    population: Population, count: int, draws: Draws, pair_share: float
) -> Iterator[Search | Launch]:
    for position in range(count):
        number = int(draws.random() * population.size)
        at = NINE_O_CLOCK + timedelta(seconds=86_400 * position // count)
        agent = agent_of(population, number)
        who = origin(number, event_id=draw_uuid(draws), at=at, user_agent=agent)
        images = (image_of(population, number),)
        if draws.random() < pair_share / (2 - pair_share):
            yield search(who, unsafe_request(population, number))
            later = at + timedelta(seconds=30)
            who = origin(number, event_id=draw_uuid(draws), at=later, user_agent=agent)
            yield Launch(who, image_ids=images, instance_ids=("i-0a1b2c3d4e5f60718",))
        elif position % 2:
            yield search(who, SAFE_REQUEST)
        else:
            yield Launch(who, image_ids=images, instance_ids=("i-0a1b2c3d4e5f60718",))

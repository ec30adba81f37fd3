"""Hypothesis strategies over an alphabet so small that pairs, ties and repeats really happen."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Final, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.data import agents, identities
from tests.data.launch_paths import (
    create_launch_template,
    create_launch_template_version,
    template_tags,
)
from tests.data.records import (
    NINE_O_CLOCK,
    UNAUTHORIZED,
    Caller,
    Launch,
    Search,
    describe_images,
    run_instances,
)
from tests.data.scenario import FOCAL
from tests.data.shapes import Record, encode
from tests.data.variations import ecr_describe_images, eventbridge, insight, lookup_event

ACCOUNTS: Final = ("012345678901", "111122223333")
REGIONS: Final = ("us-east-1", "eu-west-1")
IMAGES: Final = ("ami-0a1b2c3d4e5f60718", "ami-0b1b2c3d4e5f60718")
# Their differences hit every edge: the same second, a gap's bounds for the confidence, the window.
OFFSETS_SECONDS: Final = (0, 1, 60, 61, 300, 301, 900, 901)
EVENT_IDS: Final = tuple(f"{n:08x}-0000-4000-8000-000000000000" for n in range(16))

_ASKED: Final[tuple[Search, ...]] = (
    {"filters": {"name": [FOCAL]}},
    {"filters": {"name": [FOCAL]}, "next_token": "page-2"},
    {"filters": {"name": ["acme-base-*"]}},
    {"filters": {"name": ["acme-bastion-2026.02.11"]}},
    {"filters": {"name": [FOCAL]}, "owners": ["099720109477"]},
    {"filters": {"name": [FOCAL]}, "error": UNAUTHORIZED},
)
_STARTED: Final[tuple[Launch, ...]] = (
    {"image_id": IMAGES[0]},
    {"image_id": IMAGES[1]},
    {"image_id": None, "launched_image_id": IMAGES[0]},
    {"image_id": "resolve:ssm:/golden/web", "launched_image_id": IMAGES[0]},
    {"image_id": IMAGES[0], "error": UNAUTHORIZED},
)


def searches() -> SearchStrategy[Record]:
    """Draws one search, mostly an unsafe one."""
    return _callers().flatmap(_search)


def launches() -> SearchStrategy[Record]:
    """Draws one launch."""
    return _callers().flatmap(_launch)


def record_sets(*, max_records: int = 10) -> SearchStrategy[list[Record]]:
    """Draws records in any order, some of them more than once.

    Within an account an event id names one record only; two accounts may use the same one, and a
    few records have none. At most `max_records` records are different, 16 at the very most.
    """
    return _record_sets(max_records)


def template_sets(*, max_records: int = 8) -> SearchStrategy[list[Record]]:
    """Draws searches, launch templates that pin an image after them, and launches from these.

    Launches from a template are by services and roles that searched for nothing, or by who did.
    A few records come in two copies that say different things under one event id.
    """
    return _template_sets(max_records)


def encodings(record: Record) -> SearchStrategy[bytes]:
    """Draws one of the forms in which the record may arrive; all hold the same record."""
    return st.sampled_from(
        (
            encode(record),
            encode(dict(reversed(record.items()))),
            encode(eventbridge(record)),
            encode(lookup_event(record)),
        )
    )


def deliveries(records: list[Record]) -> SearchStrategy[list[list[bytes]]]:
    """Draws batches that deliver every record: in any order, form, split and repetition."""
    return _deliveries(records)


@st.composite
def _callers(draw: DrawFn) -> Caller:
    account = draw(st.sampled_from(ACCOUNTS))
    identity, user_agent = draw(
        st.sampled_from(
            (
                (identities.iam_user(account, "alice"), agents.AWS_CLI_V1),
                (identities.assumed_role(account, "ci", session="one"), agents.TERRAFORM),
                (identities.assumed_role(account, "ci", session="two"), agents.PACKER),
                (identities.aws_service("ec2.amazonaws.com"), agents.CLOUDFORMATION),
            )
        )
    )
    return {
        "identity": identity,
        "account": account,
        "user_agent": user_agent,
        "region": draw(st.sampled_from(REGIONS)),
    }


@st.composite
def _search(draw: DrawFn, caller: Caller) -> Record:
    search: Search = {**draw(st.sampled_from(_ASKED)), **caller}
    return describe_images(**search)


@st.composite
def _launch(draw: DrawFn, caller: Caller) -> Record:
    launch: Launch = {**draw(st.sampled_from(_STARTED)), **caller}
    return run_instances(**launch)


@st.composite
def _other(draw: DrawFn, caller: Caller) -> Record:
    event_id = caller["event_id"]
    if event_id is None or draw(st.booleans()):
        return ecr_describe_images(**caller)
    about = insight(account=caller["account"], region=caller["region"], at=caller["at"])
    return about | {"eventID": event_id}


@st.composite
def _record_sets(draw: DrawFn, max_records: int) -> list[Record]:
    # Few callers and few times, drawn first: drawn record by record, hardly two would ever meet.
    cast = draw(st.lists(_callers(), min_size=1, max_size=2))
    times = [0, *draw(st.lists(st.sampled_from(OFFSETS_SECONDS), min_size=1, max_size=2))]
    ids = draw(st.permutations(EVENT_IDS))
    made: dict[tuple[str, str], Record] = {}
    for number in range(draw(st.integers(0, min(max_records, len(EVENT_IDS))))):
        # Neighbours that share an id are of two accounts; within one account the later one stays.
        event_id = draw(st.sampled_from((ids[number], ids[number], ids[number - 1], None)))
        caller = draw(st.sampled_from(cast)).copy()
        caller["at"] = NINE_O_CLOCK + timedelta(seconds=draw(st.sampled_from(times)))
        caller["event_id"] = event_id
        kind = draw(st.sampled_from((_search, _search, _launch, _launch, _other)))
        record = draw(kind(caller))
        made[record["recipientAccountId"], event_id or encode(record).decode()] = record
    different = list(made.values())
    repeats = draw(st.lists(st.sampled_from(different), max_size=3)) if different else []
    return draw(st.permutations(different + repeats))


@st.composite
def _template_sets(draw: DrawFn, max_records: int) -> list[Record]:
    account = draw(st.sampled_from(ACCOUNTS))
    searcher = identities.assumed_role(account, "ci", session="one")
    other_session = identities.assumed_role(account, "ci", session="two")
    scaling = identities.service_linked_role(
        account, "AWSServiceRoleForAutoScaling", service="autoscaling.amazonaws.com"
    )
    fleet = identities.aws_service("ec2fleet.amazonaws.com")
    makers = (_searched, _searched, _pinned, _pinned, _started, _started, _started)
    regions = (REGIONS[0],) if draw(st.integers(0, 3)) else REGIONS
    asked = draw(st.lists(st.sampled_from(_UNSAFE), min_size=1, max_size=2))
    made: list[Record] = []
    # Each of the three kinds once at least, or hardly any would make an occurrence.
    chosen = [_searched, _pinned, _started]
    chosen += draw(st.lists(st.sampled_from(makers), max_size=max_records - len(chosen)))
    for number, make in enumerate(chosen):
        cast = (
            (scaling, fleet, searcher) if make is _started else (searcher, searcher, other_session)
        )
        caller: Caller = {
            "identity": draw(st.sampled_from(cast)),
            "account": account,
            "user_agent": draw(st.sampled_from((agents.TERRAFORM, agents.PACKER))),
            "region": draw(st.sampled_from(regions)),
            "at": NINE_O_CLOCK + timedelta(seconds=draw(st.sampled_from(_TEMPLATE_OFFSETS[make]))),
            "event_id": EVENT_IDS[number],
        }
        whole = make(draw, caller, asked)
        made.append(whole)
        if draw(st.integers(0, 5)) == 0:
            made.append(_copied(draw, whole))
    return draw(st.permutations(made))


def _searched(draw: DrawFn, caller: Caller, asked: list[Search]) -> Record:
    search: Search = {**draw(st.sampled_from(asked)), **caller}
    return describe_images(**search)


def _pinned(draw: DrawFn, caller: Caller, _asked: list[Search]) -> Record:
    image_id = draw(st.sampled_from((*IMAGES, None, "resolve:ssm:/golden/web")))
    name = draw(st.sampled_from(("web", "web", "web", "db")))
    if draw(st.booleans()):
        return create_launch_template(image_id=image_id, name=name, **caller)
    # One that is made before version 1 never was, and the laws hold all the same.
    version = draw(st.sampled_from((1, 1, 2)))
    return create_launch_template_version(image_id=image_id, name=name, version=version, **caller)


def _started(draw: DrawFn, caller: Caller, _asked: list[Search]) -> Record:
    tags = template_tags(
        name=draw(st.sampled_from(("web", "web", "web", "db"))),
        version=draw(st.sampled_from((1, 1, 1, 2))),
    )
    launched = draw(st.sampled_from(IMAGES))
    asked: Launch = {"image_id": None, "launched_image_id": launched, "tags": tags}
    launch: Launch = {**asked, **caller}
    return run_instances(**launch)


_UNSAFE: Final = (_ASKED[0], _ASKED[2], _ASKED[3])
_Make: TypeAlias = Callable[[DrawFn, Caller, list[Search]], Record]
_TEMPLATE_OFFSETS: Final[dict[_Make, tuple[int, ...]]] = {
    _searched: (0, 0, 60),
    _pinned: (1, 61, 61, 901),
    _started: (1, 61, 901, 7_776_000, 7_776_000),
}


def _copied(draw: DrawFn, whole: Record) -> Record:
    """Returns a copy of a record that lost its response, its user agent, or the right time."""
    lost: Record = draw(
        st.sampled_from(
            ({"responseElements": None}, {"userAgent": ""}, {"eventTime": "2026-03-02T09:01:00Z"})
        )
    )
    return {**whole, **lost}


@st.composite
def _deliveries(draw: DrawFn, records: list[Record]) -> list[list[bytes]]:
    repeats = draw(st.lists(st.sampled_from(records), max_size=3)) if records else []
    arrived = [draw(encodings(r)) for r in draw(st.permutations(records + repeats))]
    cuts = sorted(draw(st.lists(st.integers(0, len(arrived)), max_size=4)))
    bounds = [0, *cuts, len(arrived)]
    return [arrived[start:end] for start, end in pairwise(bounds)]

"""Records, and ways to spoil them, that the tests of reading share."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any, Final

from amiguard_core.decode import Decoded, decode_records
from amiguard_core.events import Launch, LaunchPath, Search
from tests.data import identities
from tests.data.records import ACCOUNT, NINE_O_CLOCK, describe_images, record, run_instances
from tests.data.shapes import Record, encode

SEARCH: Final = describe_images(
    filters={"name": ["acme-base-*"], "state": ["available"]},
    owners=["self"],
    images=["ami-1"],
    executable_by=["all"],
    include_deprecated=True,
)
LAUNCH: Final = run_instances(
    identity=identities.assumed_role(ACCOUNT, "ci", session="one", path="/ci/"),
    at=NINE_O_CLOCK + timedelta(seconds=30),
    instance_ids=["i-1", "i-2"],
)
NOISE: Final = record("ec2.amazonaws.com", "DescribeInstances", parameters={"filterSet": {}})
ALL_PATHS: Final = frozenset(LaunchPath)

DEEP: Final = b"[" * 100_000 + b"]" * 100_000
# A record of no interest, whose parameters are what is put there.
IRRELEVANT: Final = (
    b'{"eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":%b}'
)


def one_search(*inputs: bytes) -> Search:
    """Reads inputs that hold one search and nothing else."""
    decoded = decode_records(inputs)
    assert decoded.rejections == []
    (search,) = decoded.searches
    return search


def one_launch(launched: Record, paths: frozenset[LaunchPath] = ALL_PATHS) -> Launch:
    """Reads a record that is a launch."""
    decoded = decode_records([encode(launched)], launch_paths=paths)
    assert decoded.rejections == []
    (launch,) = decoded.launches
    return launch


def refusal(raw: bytes) -> str:
    """Returns the path under which an input is refused."""
    (rejection,) = decode_records([raw], launch_paths=ALL_PATHS).rejections
    return rejection.path


def changed(whole: Record, path: str, value: object) -> Record:
    """Puts a value where a dotted path leads; numbers are positions in arrays."""
    made = deepcopy(whole)
    place: Any = made
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return made


def without(whole: Record, *names: str) -> Record:
    """Leaves fields out."""
    return {name: value for name, value in whole.items() if name not in names}


def counts(decoded: Decoded) -> tuple[int, int, int, int]:
    """Searches, launches, refusals, and records read."""
    return (
        len(decoded.searches),
        len(decoded.launches),
        len(decoded.rejections),
        decoded.record_count,
    )

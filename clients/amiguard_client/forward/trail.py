"""The log files of a trail in a bucket: found by walking no further than what is asked for."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from amiguard_client.forward.aws import aws_errors
from amiguard_client.forward.counts import S3
from amiguard_client.forward.errors import SetupError
from amiguard_client.forward.notifications import ObjectAt
from amiguard_client.forward.stopping import Patience
from amiguard_client.log_names import is_log_key

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.ASCII | re.DOTALL)
_PLACE = re.compile(
    r"(?:^|.*/)AWSLogs/(?:o-[a-z0-9]+/)?"
    r"(?:(?P<account>\d{12})/"
    r"(?:(?P<service>[^/]+)/(?:(?P<region>[a-z0-9-]+)/"
    r"(?:(?P<year>\d{4})/(?:(?P<month>\d{2})/(?:(?P<day>\d{2})/)?)?)?)?)?)?",
    re.ASCII,
)
"""Where in the layout of CloudTrail a prefix is; deeper ones do not match."""
_STAMP = re.compile(r"_(\d{8}T\d{4})Z_[^/]*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which log files of a bucket are meant.

    A log file is from `since` on, and before `until`, by the time in its name, which is when it
    was delivered; by its last change where the name has none. Empty `accounts` or `regions` are
    all of them; they only leave out what the layout of CloudTrail says is of others.
    """

    bucket: str
    prefix: str = ""
    since: datetime | None = None
    until: datetime | None = None
    accounts: Collection[str] = ()
    regions: Collection[str] = ()

    def may_hold(self, prefix: str) -> bool:
        """Says whether objects below a prefix, which ends with a slash, can be meant."""
        place = _PLACE.fullmatch(prefix)
        if place is None:
            return True
        if place["service"] not in {None, "CloudTrail"}:
            return False
        if self.accounts and place["account"] and place["account"] not in self.accounts:
            return False
        if self.regions and place["region"] and place["region"] not in self.regions:
            return False
        return self._overlaps(place["year"], place["month"], place["day"])

    def has(self, key: str, changed: datetime) -> bool:
        """Says whether an object is meant, by its key and the time of its last change."""
        if not is_log_key(key):
            return False
        folder = key.rpartition("/")[0] + "/"
        if not self.may_hold(folder):
            return False
        time = _time_of(key) or changed
        return (self.since is None or _minute(self.since) <= time) and (
            self.until is None or time < self.until
        )

    def _overlaps(self, year: str | None, month: str | None, day: str | None) -> bool:
        """Says whether a year, month or day and the time that is meant have a moment in common."""
        if year is None:
            return True
        try:
            start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        except ValueError:
            return True  # no date, whatever it looks like
        if day is not None:
            end = start + timedelta(days=1)
        elif month is not None:
            end = (start + timedelta(days=31)).replace(day=1)
        else:
            end = (start + timedelta(days=366)).replace(month=1, day=1)
        return (self.since is None or _minute(self.since) < end) and (
            self.until is None or start < self.until
        )


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object of a listing."""

    at: ObjectAt
    size: int


def selection_of(url: str, **meant: Any) -> Selection:
    """Returns what `s3://BUCKET/PREFIX` means; raises a SetupError for another URL."""
    match = _URL.fullmatch(url)
    if match is None:
        raise SetupError(f"got {url!r}, wanted s3://BUCKET/PREFIX")
    return Selection(match[1], match[2] or "", **meant)


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a listing; `rest` is where it goes on, None at its end."""

    prefixes: tuple[str, ...]
    objects: tuple[FoundObject, ...]
    rest: _Place | None


@dataclass(frozen=True, slots=True)
class _Place:
    prefix: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """The log files of a selection, listed a few prefixes at a time as they are asked for."""

    client: Any
    selection: Selection
    patience: Patience
    parallel: int

    def __iter__(self) -> Iterator[FoundObject]:
        """Yields objects, in no order. Raises a ForwardError where a prefix cannot be listed."""
        waiting = deque([_Place(self.selection.prefix)])
        under_way: deque[Future[_Page]] = deque()
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="amiguard-list") as pool:
            try:
                while waiting or under_way:
                    while waiting and len(under_way) < self.parallel:
                        under_way.append(pool.submit(self._list, waiting.popleft()))
                    page = under_way.popleft().result()
                    # Depth first, so that few prefixes wait.
                    waiting.extendleft(map(_Place, reversed(page.prefixes)))
                    if page.rest is not None:
                        waiting.appendleft(page.rest)
                    yield from page.objects
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _list(self, place: _Place) -> _Page:
        answer = self.patience.call(lambda: self._ask(place), peer=S3)
        prefixes = (entry["Prefix"] for entry in answer.get("CommonPrefixes", ()))
        rest = answer.get("NextContinuationToken")
        return _Page(
            tuple(below for below in prefixes if self.selection.may_hold(below)),
            tuple(
                FoundObject(ObjectAt(self.selection.bucket, entry["Key"]), entry["Size"])
                for entry in answer.get("Contents", ())
                if self.selection.has(entry["Key"], entry["LastModified"])
            ),
            _Place(place.prefix, rest) if rest else None,
        )

    def _ask(self, place: _Place) -> Any:
        token = {"ContinuationToken": place.token} if place.token else {}
        with aws_errors(f"s3://{self.selection.bucket}/{place.prefix}"):
            return self.client.list_objects_v2(
                Bucket=self.selection.bucket, Prefix=place.prefix, Delimiter="/", **token
            )


def _time_of(key: str) -> datetime | None:
    """Returns the time in the name of a log file of CloudTrail."""
    match = _STAMP.search(key)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y%m%dT%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def _minute(time: datetime) -> datetime:
    """Returns the beginning of a minute: names of log files know no seconds."""
    return time.replace(second=0, microsecond=0)

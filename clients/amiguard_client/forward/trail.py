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
from amiguard_client.left_out import LeftOut, Reason
from amiguard_client.log_names import reason_to_leave_out, reason_to_leave_out_folder

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.ASCII | re.DOTALL)
_PLACE = re.compile(
    r"(?:^|.*/)AWSLogs/(?:o-[a-z0-9]+/)?"
    r"(?:(?P<account>\d{12})/"
    r"(?:(?P<service>[^/]+)/(?:(?P<region>[a-z0-9-]+)/"
    r"(?:(?P<year>\d{4})/(?:(?P<month>\d{2})/(?:(?P<day>\d{2})/)?)?)?)?)?)?",
    re.ASCII,
)
"""Where in the layout of CloudTrail a prefix is; deeper ones do not match."""
_OWNER = re.compile(
    r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?(?P<account>\d{12})/(?:CloudTrail/(?P<region>[a-z0-9-]+)/)?",
    re.ASCII,
)
"""Whose records an object below such folders holds, however deep."""
_NAME = re.compile(
    r"(?:^|/)(?P<account>\d{12})_CloudTrail_(?P<region>[a-z0-9-]+)_\d{8}T\d{4}Z_[^/]*$", re.ASCII
)
"""The name that CloudTrail gives to a log file, wherever it was copied to."""
_STAMP = re.compile(r"_(\d{8}T\d{4})Z_[^/]*$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which log files of a bucket are meant.

    A log file is from `since` on, and before `until`, by the time in its name, which is when it
    was delivered; by its last change where the name has none. Empty `accounts` or `regions` are
    all of them; else they leave out what the folders of CloudTrail's layout, or outside of them
    the name that CloudTrail gave the file, say is of others.
    """

    bucket: str
    prefix: str = ""
    since: datetime | None = None
    until: datetime | None = None
    accounts: Collection[str] = ()
    regions: Collection[str] = ()

    @property
    def url(self) -> str:
        """What was asked for."""
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def is_narrowed(self) -> bool:
        """Whether something narrower than the prefix is meant."""
        return bool(self.since or self.until or self.accounts or self.regions)

    def below(self, path: str) -> str:
        """Returns the part of a path below the last folder of the prefix."""
        return path[self.prefix.rfind("/") + 1 :]

    def may_hold(self, prefix: str) -> bool:
        """Says whether objects below a prefix, which ends with a slash, can be meant."""
        place = _PLACE.fullmatch(prefix)
        if place is None:
            return True
        if self.accounts and place["account"] and place["account"] not in self.accounts:
            return False
        if self.regions and place["region"] and place["region"] not in self.regions:
            return False
        return self._overlaps(place["year"], place["month"], place["day"])

    def has(self, key: str, changed: datetime) -> bool:
        """Says whether an object is meant, by its key and the time of its last change."""
        folder = key.rpartition("/")[0] + "/"
        if not self.may_hold(folder):
            return False
        account, region = _owner_of(key)
        if self.accounts and account and account not in self.accounts:
            return False
        if self.regions and region and region not in self.regions:
            return False
        time = _time_of(key) or changed
        return (self.since is None or _minute(self.since) <= time) and (
            self.until is None or time < self.until
        )

    def is_a_guess(self, key: str) -> bool:
        """Says whether an object is meant only because nothing tells account or region of it."""
        account, region = _owner_of(key)
        return bool((self.accounts and account is None) or (self.regions and region is None))

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
    changed: datetime


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
    """The log files of a selection, listed a few prefixes at a time as they are asked for.

    An object whose whole key is asked for counts as a log file whatever its name. What is meant
    and no log file is counted in `left_out`.
    """

    client: Any
    selection: Selection
    patience: Patience
    parallel: int
    left_out: LeftOut

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
                    below = [prefix for prefix in page.prefixes if self._is_wanted(prefix)]
                    waiting.extendleft(map(_Place, reversed(below)))
                    if page.rest is not None:
                        waiting.appendleft(page.rest)
                    yield from filter(self._is_log_file, page.objects)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _is_wanted(self, prefix: str) -> bool:
        """Says whether to list a prefix."""
        if not self.selection.may_hold(prefix):
            return False
        reason = reason_to_leave_out_folder(prefix, below=self.selection.below(prefix))
        if reason is not None:
            self.left_out.add(reason, f"s3://{self.selection.bucket}/{prefix}")
        return reason is None

    def _is_log_file(self, found: FoundObject) -> bool:
        """Says whether an object is meant, and is or may be a log file."""
        key = found.at.key
        if not self.selection.has(key, found.changed):
            return False
        if key == self.selection.prefix:
            return True
        reason = reason_to_leave_out(key, below=self.selection.below(key))
        # Nothing is in an object that marks a folder, and nobody put it there knowingly.
        if reason is not None and (reason is not Reason.FOLDER_MARK or found.size):
            self.left_out.add(reason, found.at)
        return reason is None

    def _list(self, place: _Place) -> _Page:
        answer = self.patience.call(lambda: self._ask(place), peer=S3)
        rest = answer.get("NextContinuationToken")
        return _Page(
            tuple(entry["Prefix"] for entry in answer.get("CommonPrefixes", ())),
            tuple(
                FoundObject(
                    ObjectAt(self.selection.bucket, entry["Key"]),
                    entry["Size"],
                    entry["LastModified"],
                )
                for entry in answer.get("Contents", ())
            ),
            _Place(place.prefix, rest) if rest else None,
        )

    def _ask(self, place: _Place) -> Any:
        token = {"ContinuationToken": place.token} if place.token else {}
        with aws_errors(f"s3://{self.selection.bucket}/{place.prefix}"):
            return self.client.list_objects_v2(
                Bucket=self.selection.bucket, Prefix=place.prefix, Delimiter="/", **token
            )


def _owner_of(key: str) -> tuple[str | None, str | None]:
    """Returns the account and the region of an object, each None where nothing tells it."""
    by_folder, by_name = _OWNER.search(key), _NAME.search(key)
    account, region = by_folder.groups() if by_folder else (None, None)
    if by_name is None:
        return account, region
    return account or by_name["account"], region or by_name["region"]


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

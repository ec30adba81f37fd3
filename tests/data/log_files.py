"""Delivery as CloudTrail does it: late, unordered, now and then twice, one gzip file at a time."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.data.draws import Draws
from tests.data.shapes import Json, Record, encode, utc
from tests.data.variations import insight, network_activity

DELIVERY_INTERVAL: Final = timedelta(minutes=5)
# Published log files hold up to 622 records.
MAX_RECORDS_PER_FILE: Final = 600
# Most records are written within half an interval, the last after two.
_MEAN_LAG_SECONDS: Final = 80
_MAX_LAG_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class LogFile:
    """One object that CloudTrail delivered."""

    account: str
    region: str
    delivered_at: datetime
    token: str
    records: tuple[Record, ...]
    # `CloudTrail` holds the log files; `CloudTrail-Insight` and others stand beside it.
    folder: str = "CloudTrail"

    def key(self, *, organization: str | None = None) -> str:
        """Returns the object's key, below the bucket's prefix."""
        owner = f"{organization}/{self.account}" if organization else self.account
        name = f"{self.account}_{self.folder}_{self.region}_{self.delivered_at:%Y%m%dT%H%MZ}"
        day = f"{self.delivered_at:%Y/%m/%d}"
        return f"AWSLogs/{owner}/{self.folder}/{self.region}/{day}/{name}_{self.token}.json.gz"

    def content(self) -> bytes:
        """Returns the object's bytes: `{"Records": [...]}`, gzip, the same every time."""
        return compressed(log_content(map(encode, self.records)))


def log_content(encoded: Iterable[bytes]) -> bytes:
    """Returns records, each already encoded, as the content of a log file."""
    return b'{"Records":[' + b",".join(encoded) + b"]}"


def compressed(content: bytes, *, level: int = 6) -> bytes:
    """Returns the content as gzip without the time of compression."""
    return gzip.compress(content, level, mtime=0)


def deliver(
    records: Sequence[Record],
    *,
    seed: int,
    lags: Mapping[str, timedelta] | None = None,
    repeated: int = 0,
) -> list[LogFile]:
    """Returns the log files that deliver the records, in the order in which they appear.

    A record whose event id is in `lags` is written that long after its time, any other after a
    drawn delay of up to five minutes; files appear every five minutes. Of the records `repeated`
    stand in a second file too, mostly below another region. No file is in the order of time.
    """
    draws = Draws(seed)
    fixed = lags or {}
    places: dict[tuple[datetime, str, str], list[Record]] = defaultdict(list)
    for record in records:
        lag = fixed.get(record.get("eventID", ""), _lag(draws))
        appeared = _next_delivery(event_time(record) + lag)
        places[appeared, record["recipientAccountId"], record["awsRegion"]].append(record)
    _repeat(draws, places, count=repeated)
    return [
        LogFile(account, region, appeared, draws.token(16), part)
        for (appeared, account, region), held in sorted(places.items(), key=lambda item: item[0])
        for part in _parts(draws, held)
    ]


def event_time(record: Record) -> datetime:
    """Returns when the record's call completed."""
    return datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def write_log_files(
    directory: Path, files: Iterable[LogFile], *, organization: str | None = None
) -> list[Path]:
    """Writes the files below the directory, laid out as in S3, and returns their paths."""
    return [
        _write(directory / file.key(organization=organization), file.content()) for file in files
    ]


def write_side_folders(
    directory: Path, files: Sequence[LogFile], *, organization: str | None = None
) -> list[Path]:
    """Writes what CloudTrail puts beside the log files, none of it to be read as records.

    These are an Insights file, a network activity file that repeats every search and launch under
    another event id, and a digest of all the log files. Returns their paths.
    """
    first = files[0]
    about = insight(at=first.delivered_at, account=first.account, region=first.region)
    network = tuple(
        network_activity(record)
        for file in files
        for record in file.records
        if record["eventName"] in {"DescribeImages", "RunInstances"}
    )
    beside = [
        LogFile(first.account, first.region, first.delivered_at, first.token, held, folder)
        for folder, held in (
            ("CloudTrail-Insight", (about,)),
            ("CloudTrail-NetworkActivity", network),
        )
    ]
    paths = write_log_files(directory, beside, organization=organization)
    key = first.key(organization=organization).replace("CloudTrail", "CloudTrail-Digest")
    digest = _digest(files, organization=organization)
    return [*paths, _write(directory / key, compressed(json.dumps(digest).encode()))]


def _lag(draws: Draws) -> timedelta:
    seconds = min(draws.expovariate(1 / _MEAN_LAG_SECONDS), _MAX_LAG_SECONDS)
    return timedelta(seconds=seconds)


def _next_delivery(moment: datetime) -> datetime:
    return moment + (datetime.min.replace(tzinfo=UTC) - moment) % DELIVERY_INTERVAL


def _repeat(
    draws: Draws, places: dict[tuple[datetime, str, str], list[Record]], *, count: int
) -> None:
    delivered = [(place, record) for place, held in places.items() for record in held]
    for place, record in draws.sample(delivered, k=min(count, len(delivered))):
        appeared, account, region = place
        others = [p for p in places if p[:2] == (appeared, account) and p[2] != region]
        later = (appeared + DELIVERY_INTERVAL, account, region)
        places[draws.choice(others) if others else later].append(record)


def _parts(draws: Draws, held: list[Record]) -> list[tuple[Record, ...]]:
    shuffled = draws.sample(held, k=len(held))
    starts = range(0, len(shuffled), MAX_RECORDS_PER_FILE)
    return [tuple(shuffled[start : start + MAX_RECORDS_PER_FILE]) for start in starts]


def _digest(files: Sequence[LogFile], *, organization: str | None) -> Json:
    first, last = files[0], files[-1]
    return {
        "awsAccountId": first.account,
        "digestStartTime": utc(first.delivered_at),
        "digestEndTime": utc(last.delivered_at),
        "digestS3Bucket": "example-trail",
        "digestSignatureAlgorithm": "SHA256withRSA",
        "previousDigestS3Object": None,
        "logFiles": [
            {
                "s3Bucket": "example-trail",
                "s3Object": file.key(organization=organization),
                "hashValue": sha256(log_content(map(encode, file.records))).hexdigest(),
                "hashAlgorithm": "SHA-256",
                "newestEventTime": max(record["eventTime"] for record in file.records),
                "oldestEventTime": min(record["eventTime"] for record in file.records),
            }
            for file in files
        ],
    }


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path

"""Which names are those of CloudTrail log files, on disks and in buckets."""

from __future__ import annotations

import re
from collections.abc import Iterable

SUFFIXES = (".json", ".jsonl", ".ndjson")

_OTHER_FEED = re.compile(r"CloudTrail-(Digest|Insight|NetworkActivity|.*Aggregated)")
"""Folders that CloudTrail delivers beside the log files: what is in them holds no records."""
_SERVICE = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?\d{12}/([^/]+)/", re.ASCII)
"""The service whose logs an object holds, where a bucket takes those of several."""


def is_log_file(name: str) -> bool:
    """Says whether a file's name is that of a log file."""
    return not name.startswith(".") and name.lower().removesuffix(".gz").endswith(SUFFIXES)


def is_other_feed(folders: Iterable[str]) -> bool:
    """Says whether folders lead to a CloudTrail feed that holds no records."""
    return any(_OTHER_FEED.fullmatch(folder) for folder in folders)


def is_log_key(key: str) -> bool:
    """Says whether an object's key is that of a CloudTrail log file.

    Below `AWSLogs/` only what CloudTrail delivers counts: AWS Config and load balancers put
    objects of like names there. Any other key goes by its name.
    """
    *folders, name = key.split("/")
    service = _SERVICE.search(key)
    if service is not None and service[1] != "CloudTrail":
        return False
    return is_log_file(name) and not is_other_feed(folders)

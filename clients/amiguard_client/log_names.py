"""Tells from names which files and objects are CloudTrail log files: the same rule everywhere.

A name that ends in one of `SUFFIXES`, with or without `.gz`, is that of a log file. A name without
an extension, as Firehose gives it, may be: the first bytes decide. Any other name is not.
"""

from __future__ import annotations

import codecs
import re
from typing import BinaryIO, Final

from amiguard_client.left_out import Reason

SUFFIXES: Final = (".json", ".jsonl", ".ndjson")
STATE_NAME: Final = ".amiguardctl-forward"
"""The file in which `forward directory` remembers what was forwarded."""
_START_BYTES: Final = 512

_FEED = r"CloudTrail-(?:Digest|Insight|NetworkActivity|[^/_]*Aggregated)"
_FEED_FOLDER = re.compile(_FEED)
_FEED_FILE = re.compile(rf"\d{{12}}_({_FEED})_", re.ASCII)
"""What CloudTrail delivers beside the log files, by its folder or, moved elsewhere, by its name."""
_SERVICE = re.compile(r"(?:^|/)AWSLogs/(?:o-[a-z0-9]+/)?\d{12}/([^/]+)/", re.ASCII)
"""The service whose logs an object holds, where a bucket takes those of several."""


def reason_to_leave_out(path: str, *, below: str | None = None) -> Reason | None:
    """Returns why the file at a path is not read, None for one that is or may be a log file.

    Below `AWSLogs/` only what CloudTrail delivers counts: AWS Config and load balancers put
    objects of like names there. Any other path goes by its name. `below` is the part of the path
    in which nothing may be hidden: all of it by default.
    """
    name = path.rpartition("/")[2]
    if other_feed_of(path) is not None:
        return Reason.OTHER_FEED
    if _is_other_service(path):
        return Reason.OTHER_SERVICE
    if not name:
        return Reason.FOLDER_MARK
    if any(map(is_hidden, (path if below is None else below).split("/"))):
        return Reason.OTHER_NAME
    return None if is_named_as_log_file(name) or has_no_extension(name) else Reason.OTHER_NAME


def reason_to_leave_out_folder(path: str, *, below: str) -> Reason | None:
    """Returns why nothing in a folder, whose path ends with a slash, is read.

    `below` is the part of the path in which nothing may be hidden.
    """
    if other_feed_of(path) is not None:
        return Reason.OTHER_FEED_FOLDER
    if _is_other_service(path):
        return Reason.OTHER_SERVICE_FOLDER
    if any(map(is_hidden, below.split("/"))):
        return Reason.HIDDEN_FOLDER
    return None


def is_named_as_log_file(name: str) -> bool:
    """Says whether a file's name is that of a log file, whatever the file holds."""
    return not is_hidden(name) and name.lower().removesuffix(".gz").endswith(SUFFIXES)


def has_no_extension(path: str) -> bool:
    """Says whether a name, but for `.gz`, has no extension, so that the content decides."""
    return "." not in path.rpartition("/")[2].lower().removesuffix(".gz")


def begins_as_log_file(stream: BinaryIO) -> bool:
    """Says whether a file may be a log file: gzip, or a JSON object or array.

    The stream is at its beginning, before and after.
    """
    from amiguard_core.log_files.inflate import GZIP_MAGIC

    start = stream.read(_START_BYTES)
    stream.seek(0)
    if start.startswith(GZIP_MAGIC):
        return True
    return start.removeprefix(codecs.BOM_UTF8).lstrip().startswith((b"{", b"["))


def other_feed_of(path: str) -> str | None:
    """Returns the CloudTrail feed that a file belongs to, where the rule has no use for it.

    These are digests, insights, network activity and aggregated events; the feed is named as its
    folder, such as `CloudTrail-Digest`.
    """
    *folders, name = path.split("/")
    by_name = _FEED_FILE.match(name)
    if by_name is not None:
        return by_name[1]
    return next(filter(_FEED_FOLDER.fullmatch, folders), None)


def is_hidden(name: str) -> bool:
    """Says whether a file or folder is hidden, as one that is still written often is."""
    return name.startswith(".") and name not in {".", ".."}


def _is_other_service(path: str) -> bool:
    service = _SERVICE.search(path)
    return service is not None and service[1] != "CloudTrail"

"""The forms in which log files reach people: the same records, each time another file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

from tests.data.draws import Draws
from tests.data.log_files import compressed, log_content

Form: TypeAlias = Callable[[Draws, Sequence[bytes]], bytes]
"""Makes one file of encoded records; draws only what the form leaves open."""

_BOM = b"\xef\xbb\xbf"
_CONTROL_MESSAGE = {
    "messageType": "CONTROL_MESSAGE",
    "owner": "CloudwatchLogs",
    "logGroup": "",
    "logStream": "",
    "subscriptionFilters": [],
    "logEvents": [
        {
            "id": "",
            "timestamp": 1_772_355_600_000,
            "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose.",
        }
    ],
}
"""What CloudWatch Logs sends to see whether anybody listens; it holds no record."""


def _parts(draws: Draws, records: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Returns the records in their order, cut into one to three parts."""
    cuts = sorted(draws.randint(0, len(records)) for _ in range(2))
    bounds = [0, *cuts, len(records)]
    parts = [records[start:end] for start, end in pairwise(bounds)]
    return [part for part in parts if part]


def _files(draws: Draws, records: Sequence[bytes]) -> list[bytes]:
    return [log_content(part) for part in _parts(draws, records)]


def _pretty(record: bytes) -> bytes:
    return json.dumps(json.loads(record), indent=2, ensure_ascii=False).encode()


def _event_page(records: Sequence[bytes]) -> bytes:
    items = [
        {"EventId": str(number), "CloudTrailEvent": record.decode()}
        for number, record in enumerate(records)
    ]
    return json.dumps({"Events": items, "NextToken": "more"}).encode()


def _data_message(records: Sequence[bytes]) -> bytes:
    message = {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "trail",
        "logStream": "111122223333_CloudTrail_eu-west-1",
        "subscriptionFilters": ["all"],
        "logEvents": [
            {"id": f"{number:056}", "timestamp": 1_772_355_600_000, "message": record.decode()}
            for number, record in enumerate(records)
        ],
    }
    return json.dumps(message).encode()


def _messages(draws: Draws, records: Sequence[bytes]) -> list[bytes]:
    """Returns what a subscription delivers: data, and now and then a look at who listens."""
    control = json.dumps(_CONTROL_MESSAGE).encode()
    messages = [control] if draws.random() < 0.5 else []
    for part in _parts(draws, records):
        messages.append(_data_message(part))
        if draws.random() < 0.5:
            messages.append(control)
    return messages


def _members(documents: Sequence[bytes]) -> bytes:
    return b"".join(map(compressed, documents))


PLAIN_FORMS: Final[Mapping[str, Form]] = {
    "file": lambda _, records: log_content(records),
    "gzip": lambda _, records: compressed(log_content(records)),
    "files in a row": lambda draws, records: draws.choice((b"", b"\n")).join(
        _files(draws, records)
    ),
    "files a line": lambda draws, records: b"\n".join(_files(draws, records)) + b"\n",
    "gzip members": lambda draws, records: _members(_files(draws, records)),
    "gzip in gzip": lambda _, records: compressed(compressed(log_content(records))),
    "lines": lambda _, records: b"\n".join(records),
    "records in a row": lambda _, records: b"".join(records),
    "pretty": lambda _, records: b"\n".join(map(_pretty, records)),
    "array": lambda _, records: b"[" + b",".join(records) + b"]",
    "pretty array": lambda _, records: _pretty(b"[" + b",".join(records) + b"]"),
    "byte order mark": lambda _, records: _BOM + log_content(records),
    "byte order mark and lines": lambda _, records: _BOM + b"\r\n".join(records),
    "padding": lambda draws, records: b"".join(
        file + bytes(draws.randint(1, 600)) for file in _files(draws, records)
    ),
}
"""Of records in whatever form each of them is."""

OUTER_FORMS: Final[Mapping[str, Form]] = {
    "event pages": lambda draws, records: b"\n".join(map(_event_page, _parts(draws, records))),
    "messages": lambda draws, records: b"".join(_messages(draws, records)),
    "messages in gzip": lambda draws, records: _members(_messages(draws, records)),
}
"""Of records as AWS writes them, which stand in these as texts."""

FORMS: Final[Mapping[str, Form]] = {**PLAIN_FORMS, **OUTER_FORMS}

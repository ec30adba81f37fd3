"""Where goes what cannot be forwarded, with the reason."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from amiguard_client.forward.aws import aws_errors
from amiguard_client.forward.counts import SQS
from amiguard_client.forward.stopping import Patience
from amiguard_client.whole_files import write_whole

_FILE_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_MAX_REASON_CHARACTERS = 500
"""Of what goes along with a message, whose size is limited with all that goes along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be forwarded.

    `id` is the same whenever the same thing fails again, `body` what was taken from the source:
    the message, the line, or the path of the file.
    """

    id: str
    source: str
    reason: str
    body: str


class DeadLetters(Protocol):
    """A place for dead letters; used from any thread."""

    def put(self, letter: DeadLetter) -> None:
        """Returns once the letter is safe there; raises an OSError or a ForwardError if not."""


class FolderOfDeadLetters:
    """A folder with a JSON file for each letter, which replaces an earlier one of the same id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, letter: DeadLetter) -> None:
        """Writes the file, whole or not at all; raises an OSError where it cannot."""
        content = {
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "source": letter.source,
            "reason": letter.reason,
            "body": letter.body,
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        # Escaped beyond ASCII, so that half a character is written as it came.
        text = f"{json.dumps(content, indent=2)}\n"
        # Synced, because what it stands for may be deleted next.
        path = self._folder / f"{_file_name(letter.id)}.json"
        write_whole(path, text.encode(), is_synced=True)


class QueueOfDeadLetters:
    """A queue of SQS. The body goes as it came, so that it can be moved back to where it was."""

    def __init__(self, client: Any, queue_url: str, patience: Patience) -> None:
        self._client = client
        self._queue_url = queue_url
        self._patience = patience

    def put(self, letter: DeadLetter) -> None:
        """Sends the letter; raises a ForwardError where it cannot."""
        self._patience.call(lambda: self._send(letter), peer=SQS)

    def _send(self, letter: DeadLetter) -> None:
        with aws_errors(self._queue_url):
            self._client.send_message(
                QueueUrl=self._queue_url,
                MessageBody=letter.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": _plain(text)}
                    for name, text in (
                        ("amiguard-reason", letter.reason),
                        ("amiguard-source", letter.source),
                    )
                },
            )


def _file_name(letter_id: str) -> str:
    """Returns the id where it can be a file's name, else what stands for it."""
    if _FILE_NAME.fullmatch(letter_id):
        return letter_id
    return sha256(letter_id.encode("utf-8", errors="surrogateescape")).hexdigest()


def _plain(text: str) -> str:
    """Returns text that SQS takes: no control characters, and not much of it."""
    shown = "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON_CHARACTERS])
    return shown.strip() or "unknown"

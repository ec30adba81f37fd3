"""Objects of S3, fetched as a whole before anything of them is submitted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from amiguard_client.forward.aws import aws_errors
from amiguard_client.forward.errors import BadObjectError
from amiguard_client.forward.notifications import ObjectAt
from amiguard_client.forward.stopping import Patience

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches objects; of each, `spool_bytes` at most are held in memory, and the rest on disk.

    `on_chunk` is called between two chunks of an object, and may raise what ends the fetching.
    """

    client: Any
    patience: Patience
    spool_bytes: int
    max_object_bytes: int
    on_chunk: Callable[[], None] = lambda: None

    def fetch(self, at: ObjectAt) -> BinaryIO:
        """Returns an object's content, for others to close.

        Waits while S3 is away. Raises a BadObjectError for one that is gone, empty or too large,
        and an ObjectFaultError for one that may not be read.
        """
        return self.patience.call(lambda: self._fetch(at))

    def _fetch(self, at: ObjectAt) -> BinaryIO:
        with aws_errors(str(at)):
            answer = self.client.get_object(Bucket=at.bucket, Key=at.key)
            with answer["Body"] as body:
                return self._spool(at, body, size=answer["ContentLength"])

    def _spool(self, at: ObjectAt, body: Any, *, size: int) -> BinaryIO:
        if size > self.max_object_bytes:
            raise BadObjectError(f"{at}: got {size} bytes, wanted at most {self.max_object_bytes}")
        if size == 0:
            raise BadObjectError(f"{at}: got an empty object, wanted a log file")
        copy = tempfile.SpooledTemporaryFile(max_size=self.spool_bytes)  # noqa: SIM115 - handed on
        try:
            # Not iter_chunks: it takes a body that ends early for a whole one.
            while chunk := body.read(_CHUNK_BYTES):
                copy.write(chunk)
                self.on_chunk()
        except BaseException:
            copy.close()
            raise
        copy.seek(0)
        return cast("BinaryIO", copy)

"""Objects of S3, fetched as a whole before anything of them is submitted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, cast

from amiguard_client.forward.aws import aws_errors
from amiguard_client.forward.counts import S3
from amiguard_client.forward.errors import AwayError, BadObjectError
from amiguard_client.forward.notifications import ObjectAt
from amiguard_client.forward.stopping import Patience

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches objects; one of more than `spool_bytes` is held on disk, any other in memory."""

    client: Any
    patience: Patience
    spool_bytes: int
    max_object_bytes: int

    def fetch(self, at: ObjectAt) -> BinaryIO:
        """Returns an object's content, for others to close.

        Waits while S3 is away. Raises a BadObjectError for one that is gone, empty or too large,
        and an ObjectFaultError for one that may not be read.
        """
        return self.patience.call(lambda: self._fetch(at), peer=S3)

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
                _keep(copy, chunk)
        except BaseException:  # whatever it is, nobody else knows of the copy
            copy.close()
            raise
        copy.seek(0)
        return cast("BinaryIO", copy)


def _keep(copy: IO[bytes], chunk: bytes) -> None:
    """Writes a chunk; a disk that is full now may have room later."""
    try:
        copy.write(chunk)
    except OSError as error:
        raise AwayError(f"{tempfile.gettempdir()}: {error.strerror or error}") from error

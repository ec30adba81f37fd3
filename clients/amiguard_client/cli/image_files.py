"""Files of images: what `aws ec2 describe-images` prints, and what `images list` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, field

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client.cli.bad_files import BadFileError, name_of, read_bytes
from amiguard_core.policy import KnownImage

if TYPE_CHECKING:
    from pathlib import Path


class _Described(Struct, rename="pascal"):
    """One image as DescribeImages tells of it; the rest is passed over."""

    image_id: str
    owner_id: str | None = None
    image_owner_alias: str | None = None
    name: str | None = None


class _DescribedFile(Struct, rename="pascal"):
    images: list[_Described]


class ListedImage(Struct, forbid_unknown_fields=True):
    """One image as `images list -o json` has it, and as files of cases have it."""

    image_id: str
    region: str
    owner_account_id: str = ""
    owner_alias: str = ""
    image_name: str = ""

    def to_core(self) -> KnownImage:
        """Returns what the rule needs of it."""
        return KnownImage(
            image_id=self.image_id,
            region=self.region,
            owner_account_id=self.owner_account_id or None,
            owner_alias=self.owner_alias or None,
            image_name=self.image_name or None,
        )


class _AnyFile(Struct):
    images: list[ListedImage] | None = None
    described: Any = field(name="Images", default=None)


def read_described(path: Path, *, region: str) -> list[KnownImage]:
    """Returns the images that `aws ec2 describe-images` printed; raises BadFileError."""
    return _described(_decode(path, read_bytes(path), _DescribedFile), region)


def read_images(path: Path, *, region: str | None) -> list[KnownImage]:
    """Returns the images of a file of either kind; raises BadFileError.

    What DescribeImages prints does not say which region it is from, so `region` has to.
    """
    content = read_bytes(path)
    either = _decode(path, content, _AnyFile)
    if either.images is not None:
        return [image.to_core() for image in either.images]
    if either.described is None:
        problem = "got neither images nor Images, wanted the JSON of `images list` or `aws`"
        raise BadFileError([f"{name_of(path)}: {problem}"])
    if region is None:
        problem = "got the output of `aws ec2 describe-images`, which wants --region"
        raise BadFileError([f"{name_of(path)}: {problem}"])
    return _described(_decode(path, content, _DescribedFile), region)


def image_message(image: KnownImage) -> wire.KnownImage:
    """Returns the message of the wire."""
    return wire.KnownImage(
        image_id=image.image_id,
        region=image.region,
        owner_account_id=image.owner_account_id or "",
        owner_alias=image.owner_alias or "",
        image_name=image.image_name or "",
    )


def _described(file: _DescribedFile, region: str) -> list[KnownImage]:
    return [
        KnownImage(
            image_id=image.image_id,
            region=region,
            owner_account_id=image.owner_id or None,
            owner_alias=image.image_owner_alias or None,
            image_name=image.name or None,
        )
        for image in file.images
    ]


def _decode(path: Path, content: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        message, _, place = str(error).partition(" - at `")
        where = f"{place.rstrip('`')}: " if place else ""
        problem = f"{where}{message}, wanted the JSON that `aws ec2 describe-images` prints"
        raise BadFileError([f"{name_of(path)}: {problem}"]) from error

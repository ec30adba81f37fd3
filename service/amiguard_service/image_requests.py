"""What people say of images: requests read and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_core.policy import MAX_NAME_LENGTH, KnownImage
from amiguard_service.known_images import MAX_IMAGES
from amiguard_service.refusals import FieldInvalidError
from amiguard_service.request_fields import shown
from amiguard_service.store.images import ImageKey

_IMAGE_ID: Final = re.compile(r"ami-[0-9A-Za-z-]{1,60}", re.ASCII)
_REGION: Final = re.compile(r"[a-z]{2,8}(-[a-z]{2,16}){1,3}-[0-9]{1,2}", re.ASCII)
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_ALIAS: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def read_images(messages: Sequence[wire.KnownImage]) -> list[KnownImage]:
    """Returns what is said of images."""
    return [
        KnownImage(
            image_id=image_id,
            region=region,
            owner_account_id=_read(
                message.owner_account_id,
                _ACCOUNT,
                field=f"images[{index}].owner_account_id",
                expected="an account id of 12 digits",
            ),
            owner_alias=_read(
                message.owner_alias,
                _ALIAS,
                field=f"images[{index}].owner_alias",
                expected="an alias such as amazon",
            ),
            image_name=_read_name(message.image_name, field=f"images[{index}].image_name"),
        )
        for index, (message, (region, image_id)) in enumerate(
            zip(messages, read_image_keys(messages), strict=True)
        )
    ]


def read_image_keys(messages: Sequence[wire.KnownImage]) -> list[ImageKey]:
    """Returns which images are meant."""
    if not 0 < len(messages) <= MAX_IMAGES:
        got = f"{len(messages)} images" if messages else "nothing"
        raise FieldInvalidError("images", got=got, expected=f"1 to {MAX_IMAGES}")
    keys = []
    for index, message in enumerate(messages):
        if not _IMAGE_ID.fullmatch(message.image_id):
            raise FieldInvalidError(
                f"images[{index}].image_id", got=shown(message.image_id), expected="an AMI id"
            )
        if not _REGION.fullmatch(message.region):
            raise FieldInvalidError(
                f"images[{index}].region", got=shown(message.region), expected="an AWS region"
            )
        keys.append((message.region, message.image_id))
    return keys


def read_region(text: str) -> str | None:
    """Returns the region whose images are asked for; None for all."""
    return _read(text, _REGION, field="region", expected="an AWS region")


def _read(text: str, form: re.Pattern[str], *, field: str, expected: str) -> str | None:
    if text and not form.fullmatch(text):
        raise FieldInvalidError(field, got=shown(text), expected=expected)
    return text or None


def _read_name(text: str, *, field: str) -> str | None:
    if len(text) > MAX_NAME_LENGTH or not text.isprintable():
        expected = f"an image name of at most {MAX_NAME_LENGTH} printable characters"
        raise FieldInvalidError(field, got=shown(text), expected=expected)
    return text or None

"""The known images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, insert, select, tuple_

from amiguard_core.findings import FindingKey
from amiguard_core.policy import KnownImage
from amiguard_core.score import LaunchedImages
from amiguard_service.store.rows import encode_rows, rows_of
from amiguard_service.store.schema import finding_images, findings
from amiguard_service.store.tuning_schema import known_images

ImageKey = tuple[str, str]
"""Region and image id."""


def replace_images(connection: Connection, images: Iterable[KnownImage], *, now: datetime) -> None:
    """Stores images, in place of what is stored of them."""
    by_key = {(image.region, image.image_id): image for image in images}
    if not by_key:
        return
    delete_images(connection, by_key)
    values = [
        {
            "region": image.region,
            "image_id": image.image_id,
            "owner_account_id": image.owner_account_id,
            "owner_alias": image.owner_alias,
            "image_name": image.image_name,
            "register_time": now,
        }
        for _, image in sorted(by_key.items())
    ]
    connection.execute(insert(known_images), values)


def delete_images(connection: Connection, keys: Iterable[ImageKey]) -> int:
    """Forgets images; returns how many were known."""
    table = known_images.c
    chosen = sorted(set(keys))
    return connection.execute(
        delete(known_images).where(tuple_(table.region, table.image_id).in_(chosen))
    ).rowcount


def fetch_images(
    connection: Connection, keys: Iterable[ImageKey]
) -> dict[tuple[str, str], KnownImage]:
    """Returns those of the images that are known, by (image id, region) as the core has them."""
    rows = sorted(set(keys))
    if not rows:
        return {}
    found = connection.execute(_by_key(connection.dialect.name), {"rows": encode_rows(rows)})
    return {(row.image_id, row.region): _image(row) for row in found}


def fetch_page(
    connection: Connection, *, region: str | None, after: ImageKey | None, limit: int
) -> list[KnownImage]:
    """Returns known images by region and id, from just after a key."""
    table = known_images.c
    statement = select(known_images).order_by(table.region, table.image_id).limit(limit)
    if region is not None:
        statement = statement.where(table.region == region)
    if after is not None:
        statement = statement.where(tuple_(table.region, table.image_id) > tuple_(*after))
    return [_image(row) for row in connection.execute(statement)]


def fetch_launched(
    connection: Connection, keys: Mapping[str, FindingKey]
) -> dict[str, LaunchedImages]:
    """Returns what is known of the images that findings launched, by finding id."""
    if not keys:
        return {}
    rows = [(key.account_id, finding_id, key.region) for finding_id, key in keys.items()]
    known: defaultdict[str, list[KnownImage]] = defaultdict(list)
    counts: Counter[str] = Counter()
    launched = _launched_of(connection.dialect.name)
    for row in connection.execute(launched, {"rows": encode_rows(rows)}):
        counts[row.finding_id] += row.image_count
        if row.image_id is not None:
            known[row.finding_id].append(_image(row))
    return {
        finding_id: LaunchedImages(counts[finding_id], tuple(known[finding_id]))
        for finding_id in keys
    }


def fetch_findings_with(connection: Connection, keys: Iterable[ImageKey]) -> list[str]:
    """Returns the ids of findings in which any of the images was launched, sorted."""
    rows = sorted(set(keys))
    if not rows:
        return []
    found = connection.execute(_findings_of(connection.dialect.name), {"rows": encode_rows(rows)})
    return sorted(found.scalars())


def _image(row: Row[Any]) -> KnownImage:
    return KnownImage(
        image_id=row.image_id,
        region=row.region,
        owner_account_id=row.owner_account_id,
        owner_alias=row.owner_alias,
        image_name=row.image_name,
    )


@lru_cache
def _by_key(backend: str) -> Select[Any]:
    given = rows_of(("region", "image_id"), backend)
    same = and_(
        known_images.c.region == given.c.region, known_images.c.image_id == given.c.image_id
    )
    return select(known_images).select_from(given.join(known_images, same))


@lru_cache
def _launched_of(backend: str) -> Select[Any]:
    """Returns a row for each known image of a finding, and one that counts all the others."""
    given = rows_of(("account_id", "finding_id", "region"), backend)
    images, known = finding_images.c, known_images.c
    of_finding = and_(
        images.account_id == given.c.account_id, images.finding_id == given.c.finding_id
    )
    same = and_(known.region == given.c.region, known.image_id == images.image_id)
    return (
        select(images.finding_id, func.count().label("image_count"), known_images)
        .select_from(given.join(finding_images, of_finding).outerjoin(known_images, same))
        .group_by(images.finding_id, *known_images.c)
        .order_by(images.finding_id, known.image_id)
    )


@lru_cache
def _findings_of(backend: str) -> Select[Any]:
    given = rows_of(("region", "image_id"), backend)
    return (
        select(finding_images.c.finding_id)
        .distinct()
        .select_from(
            given.join(finding_images, finding_images.c.image_id == given.c.image_id).join(
                findings,
                and_(
                    findings.c.account_id == finding_images.c.account_id,
                    findings.c.finding_id == finding_images.c.finding_id,
                    findings.c.region == given.c.region,
                ),
            )
        )
    )

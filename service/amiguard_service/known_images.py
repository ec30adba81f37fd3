"""The known images: whose the images are that launches start, as somebody who can see says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from amiguard_core.policy import KnownImage
from amiguard_service.policies import Policies, ensure_policy
from amiguard_service.reevaluation import apply_to_findings
from amiguard_service.store import images as store
from amiguard_service.store import tuning as tuning_store
from amiguard_service.store.engines import Database, change_images, hold_policy
from amiguard_service.store.images import ImageKey
from amiguard_service.tuned import AuditDocument

MAX_IMAGES: Final = 1_000
"""Images in one call: what one page of DescribeImages holds."""


class KnownImages:
    """Registers and forgets images. Safe to use from any thread.

    What a call changes is in the audit, and in the scores of the findings that launched the images,
    when it returns.
    """

    def __init__(self, database: Database, policies: Policies) -> None:
        self._database = database
        self._policies = policies

    def register(self, images: Sequence[KnownImage], *, actor: str) -> int:
        """Stores what is known of images; returns of how many that was news."""
        given = {(image.region, image.image_id): image for image in images}

        def work(connection: Connection) -> int:
            known = store.fetch_images(connection, given)
            news = [i for i in given.values() if known.get((i.image_id, i.region)) != i]
            if news:
                self._change(
                    connection,
                    [(image.region, image.image_id) for image in news],
                    lambda now: store.replace_images(connection, news, now=now),
                    method="RegisterImages",
                    actor=actor,
                )
            return len(news)

        return self._database.write(work)

    def forget(self, keys: Iterable[ImageKey], *, actor: str) -> int:
        """Forgets images; returns how many of them were known."""
        given = sorted(set(keys))

        def work(connection: Connection) -> int:
            known = store.fetch_images(connection, given)
            gone = [(region, image_id) for image_id, region in known]
            if gone:
                self._change(
                    connection,
                    gone,
                    lambda _now: store.delete_images(connection, gone),
                    method="ForgetImages",
                    actor=actor,
                )
            return len(gone)

        return self._database.write(work)

    def list_page(
        self, *, region: str | None, after: ImageKey | None, limit: int
    ) -> list[KnownImage]:
        """Returns known images by region and id, from just after a key."""
        return self._database.read(
            lambda c: store.fetch_page(c, region=region, after=after, limit=limit)
        )

    def _change(
        self,
        connection: Connection,
        keys: Sequence[ImageKey],
        write: Callable[[datetime], object],
        *,
        method: str,
        actor: str,
    ) -> None:
        now = self._database.now(connection)
        state = ensure_policy(connection, now=now)
        hold_policy(connection)
        change_images(connection)
        write(now)
        policy = self._policies.read(connection, now=now)
        apply_to_findings(connection, store.fetch_findings_with(connection, keys), policy, now=now)
        document = AuditDocument(images=tuple(f"{region}/{i}" for region, i in sorted(keys)))
        tuning_store.update_state(
            connection,
            tuning_store.append_audit(
                connection, state, document, actor=actor, method=method, now=now
            ),
        )

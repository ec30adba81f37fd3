"""The log file that the cases in `backtest/` name: a search by one of our names, and its launch."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tests.data import agents, identities
from tests.data.records import IMAGE_ID, NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode

_ACCOUNT: Final = "000123456789"
_REGION: Final = "eu-west-1"


def trail() -> bytes:
    """Returns the log file."""
    who = identities.iam_user(_ACCOUNT, "deploy")
    records = [
        describe_images(
            identity=who,
            region=_REGION,
            user_agent=agents.TERRAFORM,
            filters={"name": ["acme-base-2026-*"]},
        ),
        run_instances(
            at=NINE_O_CLOCK + timedelta(seconds=42),
            identity=who,
            region=_REGION,
            user_agent=agents.TERRAFORM,
            image_id=IMAGE_ID,
        ),
    ]
    return encode({"Records": records}) + b"\n"

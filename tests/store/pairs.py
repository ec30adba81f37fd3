"""Searches and launches that are near to becoming findings: a change of policy decides."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec.structs import replace

from amiguard_core.events import Launch, Search
from tests.data.strategies import ACCOUNTS, IMAGES
from tests.store.values import UBUNTU, launch, origin, search

NAMES = (("acme-base-*",), ("acme-bastion-2026.02.11",), (UBUNTU,), ("acme-base-*", UBUNTU))
OWNERS = ((), (), ("amazon",), ("444455556666",), ("amazon", "444455556666"))
GAPS_SECONDS = (0, 1, 60, 61, 900, 901, 3_600, 3_601)
SESSIONS = ("one", "two")


def pairs() -> SearchStrategy[list[Search | Launch]]:
    """Draws some searches, each with a launch after it, by the sessions of one role."""
    return _pairs()


@st.composite
def _pairs(draw: DrawFn) -> list[Search | Launch]:
    records: list[Search | Launch] = []
    account = draw(st.sampled_from(ACCOUNTS))
    for number in range(draw(st.integers(1, 4))):
        names, owners = draw(st.sampled_from(NAMES)), draw(st.sampled_from(OWNERS))
        seconds, gap = draw(st.sampled_from((0, 30, 1_000))), draw(st.sampled_from(GAPS_SECONDS))
        image = draw(st.sampled_from(IMAGES))
        searched, launched = (
            replace(
                origin(f"{kind}{number}", time, account=account, principal=_session(account, draw)),
                actor_arn=f"arn:aws:iam::{account}:role/ci",
            )
            for kind, time in (("s", seconds), ("l", seconds + gap))
        )
        records += [search(searched, *names, owners=owners), launch(launched, image)]
    return records


def _session(account: str, draw: DrawFn) -> str:
    return f"arn:aws:sts::{account}:assumed-role/ci/{draw(st.sampled_from(SESSIONS))}"

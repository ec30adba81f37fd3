"""Allowlist entries of every kind, drawn."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from amiguard_client.cli.entries import Entry
from amiguard_core.policy import OWNER_ALIASES, EntryKind

_LINES = st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t")
_LOOKS_LIKE_SOMETHING_ELSE = (
    "no",
    "null",
    "012",
    "000123456789",
    "1e3",
    "- a: b #c",
    "'",
    '"',
    "~",
)
JUSTIFICATIONS = st.one_of(
    st.text(_LINES, min_size=1, max_size=60).filter(str.strip),
    st.sampled_from(_LOOKS_LIKE_SOMETHING_ELSE),
)
ACCOUNTS = st.integers(0, 10**12 - 1).map(lambda number: f"{number:012}")
PATTERNS = st.text("acme-?*0 :#'\"", max_size=20).map(lambda text: f"acme{text}")
SUBJECTS = st.one_of(
    st.tuples(st.just(EntryKind.TRUSTED_OWNER), st.sampled_from(OWNER_ALIASES)),
    st.tuples(st.just(EntryKind.TRUSTED_ACCOUNT), ACCOUNTS),
    st.tuples(st.just(EntryKind.ORGANIZATION_PATTERN), PATTERNS),
)
TIMES = st.datetimes(datetime(2100, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds have no zone; the times do
IDS = st.one_of(
    st.text("abcxyz0189-", min_size=4, max_size=63),
    st.sampled_from(["null", "true", "1234", "0123", "1e10", "----"]),
)


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    """Draws entries with ids of their own."""
    return [
        Entry(
            entry_id,
            *draw(SUBJECTS),
            draw(JUSTIFICATIONS),
            tuple(sorted(draw(st.sets(ACCOUNTS, max_size=3)))),
            draw(st.none() | TIMES),
        )
        for entry_id in draw(st.lists(IDS, unique=True, max_size=6))
    ]

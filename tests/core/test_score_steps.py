"""Laws of the score table: effects stay within bounds, and steps apply in the table's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.events import SearchFilter, SearchRequest
from amiguard_core.policy import Policy
from amiguard_core.score import LaunchedImages, score
from amiguard_core.score_steps import MAX_SCORE, SCORE_STEPS, Effect, EffectKind
from tests.data.records import ACCOUNT

CODES = [row.code for row in SCORE_STEPS]
FILTERS = st.fixed_dictionaries(
    {"name": st.sampled_from([("ubuntu/images/*",), ("acme-*",), ("a*",), ("exact",)])},
    optional={
        "is-public": st.sampled_from([("true",), ("false",)]),
        "product-code": st.just(("x",)),
        "tag:team": st.just(("y",)),
    },
)


@given(
    kind=st.sampled_from(EffectKind),
    amount=st.integers(-MAX_SCORE, MAX_SCORE),
    before=st.integers(0, MAX_SCORE),
)
def test_effect_stays_within_the_scores(kind: EffectKind, amount: int, before: int) -> None:
    """Whatever a row says, a score is from 0 to 100."""
    assert 0 <= Effect(kind, amount).apply(before) <= MAX_SCORE


@pytest.mark.parametrize(
    ("kind", "amount", "before", "after", "shown"),
    [
        (EffectKind.SET, 85, 90, 85, "set to 85"),
        (EffectKind.ADD, 10, 85, 95, "+10"),
        (EffectKind.ADD, -25, 85, 60, "-25"),
        (EffectKind.ADD, 10, 95, 100, "+10"),
        (EffectKind.CAP, 10, 60, 10, "to at most 10"),
        (EffectKind.CAP, 10, 5, 5, "to at most 10"),
    ],
)
def test_effect_does_what_it_says(
    kind: EffectKind, amount: int, before: int, after: int, shown: str
) -> None:
    """An effect changes the score by its kind, and is shown as the page shows it."""
    effect = Effect(kind, amount)

    assert (effect.apply(before), str(effect)) == (after, shown)


def test_each_code_is_one_row() -> None:
    """No code stands twice."""
    assert len(CODES) == len(set(CODES))


@given(filters=FILTERS)
def test_score_is_a_fold_over_the_table(filters: dict[str, tuple[str, ...]]) -> None:
    """Steps come in the table's order, each with the score that its row's effect gives."""
    request = SearchRequest(filters=tuple(SearchFilter(n, filters[n]) for n in sorted(filters)))

    steps = score(request, Policy(), account_id=ACCOUNT, images=LaunchedImages(image_count=1))

    codes = [step.code for step in steps]
    assert codes == [code for code in CODES if code in codes]
    so_far = 0
    for step in steps:
        so_far = SCORE_STEPS[CODES.index(step.code)].effect.apply(so_far)
        assert step.score == so_far

"""Which findings: a filter and the least likelihood, as one filter of the API."""

from .asset import LIKELIHOODS, Asset
from .inputs import one_of, text_of


def polled(asset: Asset) -> str:
    """Returns the filter of what is polled."""
    least = one_of("min_likelihood", asset.min_likelihood, LIKELIHOODS)
    return with_likelihood(text_of(asset.filter), least=least)


def with_likelihood(condition: str | None, *, least: str) -> str:
    """Returns a filter for what fulfils a condition and is at least so likely."""
    wanted = LIKELIHOODS[LIKELIHOODS.index(least) :]
    if len(wanted) == len(LIKELIHOODS):
        return condition or ""
    likely = " OR ".join(f"likelihood = {likelihood}" for likelihood in wanted)
    return f"({condition}) AND ({likely})" if condition else likely

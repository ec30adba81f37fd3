"""Actions on findings: see them, take them up, close them."""

from itertools import islice
from typing import Final

from soar_sdk.abstract import SOARClient
from soar_sdk.action_results import ActionOutput
from soar_sdk.exceptions import ActionFailure
from soar_sdk.params import Param, Params

from amiguard_client import Disposition
from amiguard_client import soar as soar_steps

from .asset import LIKELIHOODS, Asset
from .connection import connected
from .inputs import at_least_one, one_of, required, text_of, time_of
from .outputs import (
    FINDING,
    FindingDetailOutput,
    FindingOutput,
    HistoryOutput,
    OccurrenceOutput,
    finding_fields,
    history_fields,
    occurrence_fields,
    time_text,
)
from .selection import with_likelihood

DISPOSITIONS: Final = tuple(
    disposition.value for disposition in Disposition if disposition is not Disposition.UNKNOWN
)
_DEFAULT_COUNT: Final = 50
_PAGE_SIZE: Final = 100


class FindingsSummary(ActionOutput):
    """How many findings there are."""

    finding_count: int
    has_more: bool


class GetFindingsParams(Params):
    """Which findings."""

    filter: str | None = Param(
        description="Filter of the API, such as: state = OPEN AND account_id = 123456789012",
        required=False,
    )
    min_likelihood: str = Param(
        description="Least likelihood", default="LOW", value_list=list(LIKELIHOODS), required=False
    )
    order_by: str | None = Param(
        description="Order, such as: likelihood_score desc; the latest change first if empty",
        required=False,
    )
    max_findings: int = Param(
        description="Most findings to return", default=_DEFAULT_COUNT, required=False
    )


class GetFindingParams(Params):
    """Which finding, and how much of it."""

    finding: str = Param(
        description="Name or id of the finding", primary=True, cef_types=[FINDING], required=True
    )
    max_occurrences: int = Param(
        description="Most occurrences to return, the latest launches first",
        default=100,
        required=False,
    )


class AcknowledgeFindingParams(Params):
    """Which finding, and who takes it up."""

    finding: str = Param(
        description="Name or id of the finding", primary=True, cef_types=[FINDING], required=True
    )
    assignee: str | None = Param(
        description="Who takes it up; the owner of the token if empty", required=False
    )


class CloseFindingParams(Params):
    """Which finding, and what it turned out to be."""

    finding: str = Param(
        description="Name or id of the finding", primary=True, cef_types=[FINDING], required=True
    )
    disposition: str = Param(
        description="What it turned out to be", value_list=list(DISPOSITIONS), required=True
    )
    comment: str = Param(description="Why, at most 2,000 characters", required=True)
    accept_until: str | None = Param(
        description="With RISK_ACCEPTED: until when, as a day or an RFC 3339 time, "
        "at most 400 days ahead",
        required=False,
    )


def get_findings(
    params: GetFindingsParams, soar: SOARClient[ActionOutput], asset: Asset
) -> list[FindingOutput]:
    """Returns the findings that a filter lets through, and says whether there are more."""
    least = one_of("min_likelihood", params.min_likelihood, LIKELIHOODS)
    condition = with_likelihood(text_of(params.filter), least=least)
    count = at_least_one("max_findings", params.max_findings)
    with connected(asset) as client:
        found = list(
            islice(
                client.list_findings(
                    condition,
                    order_by=text_of(params.order_by) or "",
                    page_size=min(count + 1, _PAGE_SIZE),
                ),
                count + 1,
            )
        )
    has_more = len(found) > count
    outputs = [FindingOutput(**finding_fields(finding)) for finding in found[:count]]
    soar.set_summary(FindingsSummary(finding_count=len(outputs), has_more=has_more))
    more = ", and there are more" if has_more else ""
    soar.set_message(f"Findings: {len(outputs)}{more}")
    return outputs


def get_finding(
    params: GetFindingParams, soar: SOARClient[ActionOutput], asset: Asset
) -> FindingDetailOutput:
    """Returns one finding with its occurrences and its history."""
    name = required("finding", params.finding)
    count = at_least_one("max_occurrences", params.max_occurrences)
    with connected(asset) as client:
        finding = client.get_finding(name)
        occurrences = list(
            islice(client.list_occurrences(name, page_size=min(count, _PAGE_SIZE)), count)
        )
        history = list(client.list_finding_history(name))
    soar.set_message(
        f"{finding.name} is {finding.state}, likelihood {finding.likelihood} "
        f"({finding.likelihood_score}), occurrences: {finding.occurrence_count}"
    )
    return FindingDetailOutput(
        **finding_fields(finding),
        occurrences=[OccurrenceOutput(**occurrence_fields(each)) for each in occurrences],
        history=[HistoryOutput(**history_fields(entry)) for entry in history],
    )


def acknowledge_finding(
    params: AcknowledgeFindingParams, soar: SOARClient[ActionOutput], asset: Asset
) -> FindingOutput:
    """Moves an open finding to acknowledged; one that is so already stays so."""
    name = required("finding", params.finding)
    with connected(asset) as client:
        soar_steps.acknowledge(client, name, assignee=text_of(params.assignee))
        finding = client.get_finding(name)
    soar.set_message(f"{finding.name} is {finding.state}, taken up by {finding.assignee}")
    return FindingOutput(**finding_fields(finding))


def close_finding(
    params: CloseFindingParams, soar: SOARClient[ActionOutput], asset: Asset
) -> FindingOutput:
    """Closes a finding with what it turned out to be; one that is closed so stays so."""
    name = required("finding", params.finding)
    disposition = Disposition(one_of("disposition", params.disposition, DISPOSITIONS))
    comment = required("comment", params.comment)
    accept_until = time_of("accept_until", params.accept_until)
    if (disposition is Disposition.RISK_ACCEPTED) != (accept_until is not None):
        got = "nothing" if accept_until is None else time_text(accept_until)
        raise ActionFailure(
            f"accept_until: got {got} with {disposition}, wanted a time with RISK_ACCEPTED and "
            "with nothing else"
        )
    with connected(asset) as client:
        soar_steps.close(
            client,
            name,
            disposition.value,
            comment=comment,
            accept_until_time=time_text(accept_until),
        )
        finding = client.get_finding(name)
    soar.set_message(f"{finding.name} is {finding.state} as {finding.disposition}")
    return FindingOutput(**finding_fields(finding))

"""Laws of the reads of FindingService, on a server at work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import grpc
import pytest

from amiguard.v1 import finding_service_pb2 as wire
from amiguard.v1.finding_pb2 import Finding
from amiguard_service.engine import Engine
from amiguard_service.store.errors import StoreUnavailableError
from amiguard_service.tokens import PageTokens, Position
from tests.data import agents
from tests.data.records import ACCOUNT, NINE_O_CLOCK, describe_images, run_instances
from tests.data.shapes import encode
from tests.service.running import TIMEOUT, Refused, Running, refusal
from tests.service.talking import PAIR, records, submit

FINDING_COUNT = 7


def pair(number: int, *, user_agent: str = agents.BOTO3, name: str = "") -> list[bytes]:
    """A search of its own and the launch that followed it."""
    at = NINE_O_CLOCK + timedelta(minutes=number)
    filters = {"name": [name or f"team-{number}-*"]}
    return [
        encode(describe_images(at=at, filters=filters, user_agent=user_agent)),
        encode(run_instances(at=at + timedelta(seconds=10), user_agent=user_agent)),
    ]


def fill(running: Running) -> None:
    """Stores some findings, each of a search by a name of its own."""
    window = [timedelta(minutes=20 * number) for number in range(FINDING_COUNT)]
    sent = [
        record
        for number, later in enumerate(window)
        for record in pair(int(later.total_seconds() // 60), name=f"team-{number}-*")
    ]
    submit(running.channel, records(*sent))


def listed(running: Running, **request: Any) -> wire.GetFindingsResponse:
    """Returns one page of findings."""
    return running.findings.GetFindings(wire.GetFindingsRequest(**request), timeout=TIMEOUT)


def patterns(response: wire.GetFindingsResponse) -> list[str]:
    """What each finding of a page searched for."""
    return [finding.search.name_patterns[0] for finding in response.findings]


def refused(running: Running, method: str, request: Any) -> Refused:
    """Returns how a request is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        getattr(running.findings, method)(request, timeout=TIMEOUT)
    return refusal(caught.value)


def pages_of(running: Running, **request: Any) -> list[list[str]]:
    """Returns every page of a list, by following its tokens."""
    pages, token = [], ""
    while True:
        response = listed(running, page_token=token, **request)
        pages.append(patterns(response))
        token = response.next_page_token
        if not token:
            return pages


def test_a_finding_is_read_by_its_name(running: Running) -> None:
    """GetFinding gives the finding that a list gives."""
    fill(running)
    (first, *_) = listed(running).findings

    found = running.findings.GetFinding(wire.GetFindingRequest(name=first.name)).finding

    assert first == found


@pytest.mark.parametrize(
    ("method", "request_of"),
    [
        ("GetFinding", lambda name: wire.GetFindingRequest(name=name)),
        ("ListOccurrences", lambda name: wire.ListOccurrencesRequest(finding=name)),
    ],
)
def test_an_unknown_finding_is_not_found(running: Running, method: str, request_of: Any) -> None:
    """A name that no finding has is answered NOT_FOUND, with the name."""
    name = f"findings/{ACCOUNT}-0123456789abcdef01234567"

    told = refused(running, method, request_of(name))

    assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert {"name": name} == told.metadata


@pytest.mark.parametrize("name", ["", "findings/", "x", "findings", "findings/" + "x" * 300])
def test_a_malformed_name_is_refused(running: Running, name: str) -> None:
    """A text that is no name of a finding is a wrong field, not a missing resource."""
    got = refused(running, "GetFinding", wire.GetFindingRequest(name=name))
    listed_of = refused(running, "ListOccurrences", wire.ListOccurrencesRequest(finding=name))

    assert (got.code, got.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("name",))
    assert (listed_of.code, listed_of.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("finding",))


@pytest.mark.parametrize("page_size", [1, 2, 3, FINDING_COUNT - 1, FINDING_COUNT, 500])
@pytest.mark.parametrize("order_by", ["", "last_launch_time", "likelihood_score desc, create_time"])
def test_pages_together_are_the_whole_list(running: Running, page_size: int, order_by: str) -> None:
    """Whatever the size of its pages, a list holds everything once, in the order asked for."""
    fill(running)
    whole = patterns(listed(running, order_by=order_by))

    pages = pages_of(running, order_by=order_by, page_size=page_size)

    assert len(whole) == FINDING_COUNT
    assert whole == [pattern for page in pages for pattern in page]
    assert all(len(page) <= page_size for page in pages)


def test_findings_come_in_the_order_asked_for(running: Running) -> None:
    """Times and scores can be ordered by, either way."""
    fill(running)

    oldest_first = patterns(listed(running, order_by="last_launch_time"))
    newest_first = patterns(listed(running, order_by="last_launch_time desc"))

    assert [f"team-{number}-*" for number in range(FINDING_COUNT)] == oldest_first
    assert oldest_first[::-1] == newest_first


@pytest.mark.parametrize(("page_size", "expected"), [(0, 50), (1, 1), (500, 60), (2**31 - 1, 60)])
def test_page_sizes_are_bounded(running: Running, page_size: int, expected: int) -> None:
    """A page holds 50 findings where no size is given, and never more than 500."""
    sent = [record for number in range(60) for record in pair(20 * number, name=f"n-{number}")]
    submit(running.channel, records(*sent))

    response = listed(running, page_size=page_size)

    assert expected == len(response.findings)
    assert (expected < 60) == bool(response.next_page_token)


def test_a_negative_page_size_is_refused(running: Running) -> None:
    """A negative page size is an error in every list."""
    findings = refused(running, "GetFindings", wire.GetFindingsRequest(page_size=-1))
    occurrences = refused(
        running, "ListOccurrences", wire.ListOccurrencesRequest(finding="findings/x", page_size=-1)
    )

    assert ("page_size",) == findings.fields == occurrences.fields


@pytest.mark.parametrize(
    "changed",
    [
        {"filter": "region = x"},
        {"order_by": "create_time"},
        {"page_token": "AAAA"},
        {"page_token": "no token"},
    ],
)
def test_a_token_is_good_for_its_own_list_alone(running: Running, changed: dict[str, str]) -> None:
    """A token with another filter or order, or one that is not ours, is refused."""
    fill(running)
    token = listed(running, page_size=1).next_page_token
    fields: dict[str, Any] = {"page_token": token, **changed}
    request = wire.GetFindingsRequest(**fields)

    told = refused(running, "GetFindings", request)

    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_MISMATCH")
    assert told.metadata == {"method": "GetFindings"}


def test_a_token_of_another_call_is_refused(running: Running) -> None:
    """A token of GetFindings opens no list of occurrences."""
    fill(running)
    page = listed(running, page_size=1)
    request = wire.ListOccurrencesRequest(
        finding=page.findings[0].name, page_token=page.next_page_token
    )

    told = refused(running, "ListOccurrences", request)

    assert told.metadata == {"method": "ListOccurrences"}


def test_a_token_of_ours_with_another_position_is_refused(engine: Engine, running: Running) -> None:
    """A release may seal positions of another form: the list begins again, and nothing breaks."""
    fill(running)
    name = listed(running, page_size=1).findings[0].name
    finding = name.removeprefix("findings/").encode()
    tokens = PageTokens(engine.page_token_keys())
    requests: dict[str, tuple[Any, bytes, Position]] = {
        "ListOccurrences": (wire.ListOccurrencesRequest(finding=name), finding, ("text",)),
        "ListFindingHistory": (wire.ListFindingHistoryRequest(finding=name), finding, ("text",)),
        "GetCoverage": (wire.GetCoverageRequest(), b'["",""]', (1, 2)),
    }

    told = []
    for call, (request, bound, position) in requests.items():
        request.page_token = tokens.seal(call, bound, position)
        told.append(refused(running, call, request))

    assert [each.reason for each in told] == ["PAGE_TOKEN_MISMATCH"] * len(requests)
    assert [each.metadata for each in told] == [{"method": call} for call in requests]


def test_a_token_outlives_another_page_size_and_other_spacing(running: Running) -> None:
    """What may change from page to page is the page size, and how the same filter is written."""
    fill(running)
    token = listed(running, page_size=2, filter="state = OPEN").next_page_token

    rest = listed(running, page_size=9, filter=" state=STATE_OPEN ", page_token=token)

    assert len(rest.findings) == FINDING_COUNT - 2


def test_a_token_outlives_its_server(engine: Engine, running: Running) -> None:
    """Servers of one database open each other's tokens."""
    from tests.service.running import serving

    fill(running)
    token = listed(running, page_size=3).next_page_token

    with serving(engine) as other:
        rest = listed(other, page_token=token)

    assert len(rest.findings) == FINDING_COUNT - 3


def test_a_filter_that_does_not_parse_says_where(running: Running) -> None:
    """A filter error has the byte offset and what was expected there."""
    told = refused(running, "GetFindings", wire.GetFindingsRequest(filter="state = BLUE"))

    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FILTER_SYNTAX")
    assert told.metadata["offset"] == "8"
    assert told.metadata["expected"]


def test_an_order_that_does_not_parse_is_refused(running: Running) -> None:
    """An unknown field to order by is a wrong field of the request."""
    told = refused(running, "GetFindings", wire.GetFindingsRequest(order_by="colour"))

    assert told.fields == ("order_by",)


def test_what_the_rule_set_aside_is_hidden_unless_asked_for(running: Running) -> None:
    """Suppressed findings are in a list exactly when the filter speaks of the state."""
    packer = pair(0, user_agent=agents.PACKER, name="acme-base-2026.02.11")
    submit(running.channel, records(*packer))

    hidden = listed(running, filter=f'account_id = "{ACCOUNT}"')
    shown = listed(running, filter="state = SUPPRESSED")
    other = listed(running, filter="state = OPEN")

    assert [] == list(hidden.findings) == list(other.findings)
    (finding,) = shown.findings
    assert finding.state == Finding.STATE_SUPPRESSED
    assert finding.suppression == "PACKER_PREVALIDATION"
    assert [o.suppression for o in finding.recent_occurrences] == ["PACKER_PREVALIDATION"]


def test_occurrences_come_newest_first_in_pages(running: Running) -> None:
    """ListOccurrences gives every occurrence once, newest launch first."""
    (search, _) = PAIR
    launches = [
        encode(run_instances(at=NINE_O_CLOCK + timedelta(seconds=20 * number)))
        for number in range(30)
    ]
    (name,) = submit(running.channel, records(search, *launches)).finding_names

    seen, token = [], ""
    while True:
        response = running.findings.ListOccurrences(
            wire.ListOccurrencesRequest(finding=name, page_size=7, page_token=token)
        )
        seen += [o.launch.event_time.ToDatetime() for o in response.occurrences]
        token = response.next_page_token
        if not token:
            break

    assert len(set(seen)) == 30
    assert sorted(seen, reverse=True) == seen


def test_a_lost_database_is_unavailable(engine: Engine, running: Running) -> None:
    """A read that cannot reach the database may be repeated, and is told so."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise StoreUnavailableError("no such host")

    engine.get_finding = fail  # type: ignore[method-assign]  # in place of a network fault

    told = refused(running, "GetFinding", wire.GetFindingRequest(name="findings/x"))

    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")

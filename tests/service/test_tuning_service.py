"""Laws of TuningService, on a server at work."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest
from google.protobuf.message import Message
from grpc import StatusCode

from amiguard.v1 import finding_service_pb2, tuning_service_pb2
from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.engine import Engine
from amiguard_service.identity import Principal, Role, Token, Tokens
from amiguard_service.lifecycle import Closure
from amiguard_service.stored import Disposition
from amiguard_service.tokens import PageTokens
from tests.service.operating import (
    HOUR,
    OURS,
    WHY,
    call,
    changes,
    create,
    creation,
    entry,
    field_refused,
    get_entry,
    get_rule,
    occur,
    refused,
    score,
    stamp,
    update,
)
from tests.service.running import TIMEOUT, Refused, Running, serving

REQUEST_ID = "6f1ed002-ab5d-4b2f-8f6f-0c3f1f7f2a10"
PEOPLE = {"ann": {Role.READ}, "root": {Role.ADMIN}, "eve": {Role.INGEST, Role.RESPOND}}
READS: tuple[Message, ...] = (
    wire.ListAllowlistEntriesRequest(),
    wire.GetAllowlistEntryRequest(name="allowlistEntries/alias-amazon"),
    wire.GetRuleConfigRequest(),
    wire.ListRuleConfigsRequest(),
    wire.ListImagesRequest(),
    wire.GetTuningProgressRequest(),
    wire.PreviewTuningRequest(deleted_allowlist_entry="allowlistEntries/alias-amazon"),
    wire.ListTuningChangesRequest(),
)
WRITES: tuple[Message, ...] = (
    creation(),
    wire.UpdateAllowlistEntryRequest(),
    wire.DeleteAllowlistEntryRequest(),
    wire.UpdateRuleConfigRequest(),
    wire.RegisterImagesRequest(),
    wire.ForgetImagesRequest(),
)


def test_entry_calms_what_is_found_until_it_is_deleted(engine: Engine, running: Running) -> None:
    """A change is applied to a small database when its call returns, and so is its end."""
    finding_id = occur(engine)
    before = score(engine, finding_id)

    made = create(running)
    calmed = score(engine, finding_id)
    call(running, wire.DeleteAllowlistEntryRequest(name=OURS, etag=made.etag))
    undone = score(engine, finding_id)

    assert (before, calmed, undone) == (50, 10, 50)
    assert not call(running, wire.GetTuningProgressRequest()).in_progress


def test_entry_is_read_as_it_was_made(engine: Engine, running: Running) -> None:
    """An entry has what it was given, who made it and when, and what it affected."""
    accounts = ["222222222222", "111122223333", "222222222222"]
    made = create(running, allowlist_entry=entry(account_ids=accounts, ttl=HOUR))
    finding_id = occur(engine)

    found = get_entry(running)

    assert (found.name, found.organization_pattern, found.justification) == (OURS, "acme-*", WHY)
    assert list(found.account_ids) == ["111122223333", "222222222222"]
    assert found.creator == "anonymous"
    assert found.create_time == found.update_time == made.create_time
    assert found.expire_time.ToMicroseconds() == made.create_time.ToMicroseconds() + 3_600_000_000
    assert (made.match_count, made.HasField("last_match_time")) == (0, False)
    assert (found.match_count, found.HasField("last_match_time")) == (1, True)
    assert found.etag == made.etag
    assert score(engine, finding_id) == 10


def test_retry_of_a_creation_gets_its_first_outcome(running: Running) -> None:
    """The same request id with the same arguments creates once, whatever the clock says now."""
    request = creation(allowlist_entry=entry(ttl=HOUR), request_id=REQUEST_ID)

    first = call(running, request)
    request.request_id = REQUEST_ID.upper()
    again = call(running, request)

    assert again == first
    assert changes(running).total_count == 1


def test_request_id_of_another_request_is_refused(running: Running) -> None:
    """The same request id with other arguments is a mistake, and changes nothing."""
    create(running, request_id=REQUEST_ID)

    answer = refused(running, creation(allowlist_entry=entry("other-*"), request_id=REQUEST_ID))

    assert answer == Refused(
        StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED", {"request_id": REQUEST_ID}
    )
    assert get_entry(running).organization_pattern == "acme-*"


def test_name_is_given_once(running: Running) -> None:
    """There is one entry of a name."""
    create(running)

    assert refused(running, creation()) == Refused(
        StatusCode.ALREADY_EXISTS, "RESOURCE_EXISTS", {"name": OURS}
    )


def test_missing_entry_is_not_found(running: Running) -> None:
    """A name that stands for nothing is said to, by that name."""
    absent = Refused(StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": OURS})
    change = wire.AllowlistEntry(name=OURS, etag="0", justification=WHY)

    assert refused(running, wire.GetAllowlistEntryRequest(name=OURS)) == absent
    assert refused(running, wire.DeleteAllowlistEntryRequest(name=OURS)) == absent
    assert refused(running, wire.UpdateAllowlistEntryRequest(allowlist_entry=change)) == absent
    call(running, wire.DeleteAllowlistEntryRequest(name=OURS, allow_missing=True))


def test_stale_etag_is_refused(running: Running) -> None:
    """A change on top of one that the caller has not seen does not happen."""
    made = create(running)
    seen = update(running, justification="theirs")
    late = wire.AllowlistEntry(name=OURS, etag=made.etag, justification="mine")

    answers = [
        refused(running, wire.UpdateAllowlistEntryRequest(allowlist_entry=late)),
        refused(running, wire.DeleteAllowlistEntryRequest(name=OURS, etag=made.etag)),
    ]

    stale = Refused(StatusCode.ABORTED, "ETAG_MISMATCH", {"name": OURS, "current_etag": seen.etag})
    assert answers == [stale, stale]
    assert get_entry(running).justification == "theirs"


def test_validation_alone_changes_nothing(running: Running) -> None:
    """Every check is made, the answer is that of the change, and there is no change."""
    made = create(running)
    rule = get_rule(running)

    tried = [
        call(running, creation("others", validate_only=True)).allowlist_entry.name,
        call(
            running,
            wire.UpdateAllowlistEntryRequest(
                allowlist_entry=wire.AllowlistEntry(
                    name=OURS, etag=made.etag, justification="other"
                ),
                validate_only=True,
            ),
        ).allowlist_entry.justification,
        call(
            running,
            wire.UpdateRuleConfigRequest(
                rule_config=wire.RuleConfig(etag=rule.etag, correlation_window=HOUR),
                validate_only=True,
            ),
        ).rule_config.correlation_window,
    ]
    call(running, wire.DeleteAllowlistEntryRequest(name=OURS, validate_only=True))

    assert tried == ["allowlistEntries/others", "other", HOUR]
    assert refused(running, creation(validate_only=True)).reason == "RESOURCE_EXISTS"
    assert (get_entry(running), get_rule(running)) == (made, rule)
    assert changes(running).total_count == 1


def test_true_positives_are_kept_where_asked(engine: Engine, running: Running) -> None:
    """A change that would hide a finding closed as true is refused, and none of it done."""
    finding_id = occur(engine)
    engine.move_finding(finding_id, Closure(Disposition.TRUE_POSITIVE, "it was"), actor="ann")

    answer = refused(running, creation(refuse_if_loses_true_positives=True))

    assert answer == Refused(
        StatusCode.FAILED_PRECONDITION,
        "LOSES_TRUE_POSITIVES",
        {"names": f"findings/{finding_id}", "count": "1"},
    )
    assert score(engine, finding_id) == 50
    assert changes(running).total_count == 0
    create(running, "others", allowlist_entry=entry("b-*"), refuse_if_loses_true_positives=True)
    create(running)
    assert score(engine, finding_id) == 10


def test_list_has_every_entry_page_by_page(running: Running) -> None:
    """Pages of any size give every entry once, by name, and the aliases trusted from the start."""
    for number in range(3):
        create(running, f"team-{number}", allowlist_entry=entry(f"team-{number}-*"))
    request = wire.ListAllowlistEntriesRequest(page_size=2)
    pages: list[wire.ListAllowlistEntriesResponse] = []
    while not pages or request.page_token:
        pages.append(call(running, request))
        request.page_token = pages[-1].next_page_token

    names = [e.name.partition("/")[2] for page in pages for e in page.allowlist_entries]
    assert [len(page.allowlist_entries) for page in pages] == [2, 2, 2, 1]
    assert names == [
        *(f"alias-{alias}" for alias in ("amazon", "aws-backup-vault", "aws-marketplace", "self")),
        *("team-0", "team-1", "team-2"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("organization_pattern:*", ["teams"]),
        ("trusted_account:*", ["their"]),
        ("trusted_owner = amazon", ["alias-amazon"]),
        ("organization_pattern = 'team-\\*'", ["teams"]),
        ("account_ids:111122223333", ["their"]),
        ("expire_time:*", ["their"]),
        ("expire_time < '2020-01-01T00:00:00Z'", []),
        ("creator = anonymous", ["teams", "their"]),
        ("creator != amiguard AND NOT account_ids:111122223333", ["teams"]),
    ],
)
def test_list_is_filtered(running: Running, text: str, found: list[str]) -> None:
    """A filter asks for the kind of subject, the scope, the end and the creator of entries."""
    create(running, "teams", allowlist_entry=entry("team-*"))
    theirs = wire.AllowlistEntry(
        trusted_account="999999999999", justification=WHY, account_ids=["111122223333"], ttl=HOUR
    )
    create(running, "their", allowlist_entry=theirs)

    listed = call(running, wire.ListAllowlistEntriesRequest(filter=text)).allowlist_entries

    assert [e.name.partition("/")[2] for e in listed] == found


def test_page_token_of_another_position_is_refused(engine: Engine, running: Running) -> None:
    """A release may seal positions of another form: that is no defect, the list begins again."""
    sealed = PageTokens(engine.page_token_keys()).seal("ListRuleConfigs", b"", ("text", "more"))

    answer = refused(running, wire.ListRuleConfigsRequest(page_token=sealed))

    assert answer.reason == "PAGE_TOKEN_MISMATCH"


def test_page_token_goes_on_with_its_own_list(running: Running) -> None:
    """A token of another filter, another call or another region is refused."""
    listing = wire.ListAllowlistEntriesRequest(page_size=1)
    token = call(running, listing).next_page_token

    answers = [
        refused(running, request).reason
        for request in (
            wire.ListAllowlistEntriesRequest(page_token=token, filter="creator:*"),
            wire.ListRuleConfigsRequest(page_token=token),
            wire.ListImagesRequest(page_token=token),
            wire.ListTuningChangesRequest(page_token=token),
            wire.ListAllowlistEntriesRequest(page_token="forged"),
        )
    ]

    assert answers == ["PAGE_TOKEN_MISMATCH"] * 5
    assert refused(running, wire.ListRuleConfigsRequest(page_size=-1)) == field_refused("page_size")
    assert (
        refused(running, wire.ListAllowlistEntriesRequest(filter="subject = x")).reason
        == "FILTER_SYNTAX"
    )


def test_every_call_is_for_somebody() -> None:
    """The calls above are all there are."""
    methods = tuning_service_pb2.DESCRIPTOR.services_by_name["TuningService"].methods_by_name

    asked = {type(request).__name__.removesuffix("Request") for request in (*READS, *WRITES)}

    assert asked == set(methods)


def test_readers_read_and_administrators_change(engine: Engine) -> None:
    """Whoever reads findings may see why; only an administrator changes what is found."""
    tokens = Tokens(
        tuple(
            Token(Principal(name, frozenset(roles)), sha256(name.encode()).digest())
            for name, roles in PEOPLE.items()
        )
    )
    missing = {
        role: Refused(StatusCode.PERMISSION_DENIED, "ROLE_MISSING", {"role": role})
        for role in ("read", "admin")
    }
    with serving(engine, authenticator=tokens) as running:
        for request in READS:
            call(running, request, by="ann")
            call(running, request, by="root")
            assert refused(running, request, by="eve") == missing["read"]
        for request in WRITES:
            assert refused(running, request, by="ann") == missing["admin"]
        made = call(running, creation(), by="root").allowlist_entry

    assert made.creator == "root"


def test_finding_names_the_entry_that_calmed_it(engine: Engine, running: Running) -> None:
    """The step that an entry caused is on the finding, with the entry's name."""
    create(running)
    finding_id = occur(engine)

    request = finding_service_pb2.GetFindingRequest(name=f"findings/{finding_id}")
    found = running.findings.GetFinding(request, timeout=TIMEOUT).finding

    assert (found.score_steps[-1].code, found.score_steps[-1].allowlist_entry) == (
        "ORGANIZATION_PATTERN",
        OURS,
    )


def test_entry_ends_by_itself(engine: Engine, running: Running) -> None:
    """An end that lies ahead is accepted and shown, to the microsecond."""
    until = stamp(timedelta(days=30))

    made = create(running, allowlist_entry=entry(expire_time=until))

    assert made.expire_time.ToMicroseconds() == until.ToMicroseconds()
    assert score(engine, occur(engine)) == 10

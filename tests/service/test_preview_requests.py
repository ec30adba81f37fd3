"""Laws of previews and of the audit, on a server at work."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from amiguard.v1 import finding_service_pb2
from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_service.engine import Engine
from tests.service.operating import (
    HOUR,
    OURS,
    call,
    changes,
    create,
    entry,
    field_refused,
    get_entry,
    get_rule,
    occur,
    refused,
    score,
    update,
    update_rule,
)
from tests.service.running import TIMEOUT, Refused, Running
from tests.store.values import batch, launch, origin, search

EPOCH = Timestamp(seconds=1)


def preview(running: Running, **values: Any) -> wire.PreviewTuningResponse:
    """Tries a change over everything that is stored."""
    given = {"start_time": EPOCH}
    response: wire.PreviewTuningResponse = call(
        running, wire.PreviewTuningRequest(**given | values)
    )
    return response


def counts(response: wire.PreviewTuningResponse) -> tuple[int, int, int, int]:
    """Returns the counts of a preview: evaluated, removed, rescored and added."""
    return (
        response.evaluated_count,
        response.removed_count,
        response.rescored_count,
        response.added_count,
    )


def test_entry_is_tried_without_a_name_or_a_reason(engine: Engine, running: Running) -> None:
    """A preview says what an entry would calm, and does nothing."""
    finding_id = occur(engine)
    occur(engine, 2, name="other-*")
    tried = wire.AllowlistEntry(organization_pattern="acme-*")

    said = preview(running, allowlist_entry=tried)

    assert counts(said) == (2, 0, 1, 0)
    (example,) = said.examples
    assert example.before.name == example.after.name == f"findings/{finding_id}"
    assert (example.before.likelihood_score, example.after.likelihood_score) == (50, 10)
    assert example.after.score_steps[-1].code == "ORGANIZATION_PATTERN"
    assert example.after.occurrence_count == 1
    assert said.HasField("evidence_start_time")
    assert score(engine, finding_id) == 50
    assert changes(running).total_count == 0


def test_entry_is_tried_in_place_of_itself(engine: Engine, running: Running) -> None:
    """An entry that exists is tried as it would be after a change."""
    occur(engine)
    made = create(running, allowlist_entry=entry(account_ids=["222222222222"]))

    same = preview(running, allowlist_entry=made)
    del made.account_ids[:]
    wider = preview(running, allowlist_entry=made)

    assert (counts(same), counts(wider)) == ((1, 0, 0, 0), (1, 0, 1, 0))


def test_deletion_is_tried(engine: Engine, running: Running) -> None:
    """A preview says what would be as it was without an entry."""
    create(running)
    occur(engine)

    said = preview(running, deleted_allowlist_entry=OURS)

    assert counts(said) == (1, 0, 1, 0)
    assert get_entry(running).name == OURS


def test_settings_are_tried_on_top_of_those_in_force(engine: Engine, running: Running) -> None:
    """What is set replaces what is in force; what is found or no longer found shows whole."""
    engine.commit([batch(search(origin("s"), "acme-*"), launch(origin("l", 1_800)))])
    finding_id = occur(engine, 2)
    wider, narrower = (
        wire.RuleConfig(correlation_window=Duration(seconds=seconds)) for seconds in (3_600, 1)
    )

    added = preview(running, rule_config=wider)
    update_rule(running, correlation_window=HOUR)
    removed = preview(running, rule_config=narrower)

    assert counts(added) == (1, 0, 0, 1)
    assert [e.HasField("before") for e in added.examples] == [False]
    assert counts(removed) == (2, 1, 0, 0)
    assert [e.HasField("after") for e in removed.examples] == [False]
    assert removed.examples[0].before.name != f"findings/{finding_id}"


def test_examples_are_the_worst_and_as_many_as_asked_for(engine: Engine, running: Running) -> None:
    """What would be gone comes first, then what would fall most; 20 of them unless asked."""
    for number in range(1, 23):
        occur(engine, number, name=f"acme-{number}-*")
    ubuntu = occur(engine, 23, name="acme-u*")
    tried = wire.AllowlistEntry(organization_pattern="acme-*")
    update_rule(running, public_patterns=["acme-u*"])

    few = preview(running, allowlist_entry=tried, max_examples=1)
    usual = preview(running, allowlist_entry=tried)
    all_of_them = preview(running, allowlist_entry=tried, max_examples=500)

    assert [e.before.name for e in few.examples] == [f"findings/{ubuntu}"]
    assert [len(said.examples) for said in (few, usual, all_of_them)] == [1, 20, 23]
    assert few.rescored_count == 23


def test_preview_looks_back_as_far_as_asked(engine: Engine, running: Running) -> None:
    """Findings created before the start are not judged again."""
    finding_id = occur(engine)
    request = finding_service_pb2.GetFindingRequest(name=f"findings/{finding_id}")
    created = running.findings.GetFinding(request, timeout=TIMEOUT).finding.create_time
    tried = wire.AllowlistEntry(organization_pattern="acme-*")

    at = preview(running, allowlist_entry=tried, start_time=created)
    created.nanos += 1_000
    after = preview(running, allowlist_entry=tried, start_time=created)

    assert (counts(at), counts(after)) == ((1, 0, 1, 0), (0, 0, 0, 0))


def test_settings_named_by_the_mask_are_tried_though_they_are_not_set(
    engine: Engine, running: Running
) -> None:
    """As in a change: what is named and not set is as it was at first, what is not named stays."""
    occur(engine, name="acme-base-*")
    update_rule(running, public_patterns=["acme-*"], correlation_window=HOUR)
    engine.passes.run(max_steps=100)
    cleared = wire.RuleConfig(correlation_window=Duration(seconds=1))

    named = preview(running, rule_config=cleared, update_mask=FieldMask(paths=["public_patterns"]))
    everything = preview(running, rule_config=cleared, update_mask=FieldMask(paths=["*"]))
    as_it_is = preview(running, rule_config=wire.RuleConfig())

    assert counts(named) == counts(everything) == (1, 0, 1, 0)
    assert counts(as_it_is) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "change"),
        ({"rule_config": wire.RuleConfig(), "update_mask": FieldMask(paths=["x"])}, "update_mask"),
        ({"allowlist_entry": entry(), "update_mask": FieldMask(paths=["mode"])}, "update_mask"),
        (
            {"deleted_allowlist_entry": OURS, "update_mask": FieldMask(paths=["mode"])},
            "update_mask",
        ),
        ({"allowlist_entry": wire.AllowlistEntry()}, "allowlist_entry.subject"),
        ({"allowlist_entry": entry("*")}, "allowlist_entry.organization_pattern"),
        ({"allowlist_entry": entry(name="ours")}, "allowlist_entry.name"),
        ({"allowlist_entry": entry(account_ids=["x"])}, "allowlist_entry.account_ids[0]"),
        ({"deleted_allowlist_entry": "ours"}, "deleted_allowlist_entry"),
        (
            {"rule_config": wire.RuleConfig(correlation_window=Duration())},
            "rule_config.correlation_window",
        ),
        ({"rule_config": wire.RuleConfig(launch_paths=["x"])}, "rule_config.launch_paths[0]"),
        ({"rule_config": wire.RuleConfig(), "max_examples": -1}, "max_examples"),
        ({"rule_config": wire.RuleConfig(), "start_time": Timestamp(nanos=-1)}, "start_time"),
    ],
)
def test_wrong_preview_is_refused_by_its_field(
    running: Running, values: dict[str, Any], field: str
) -> None:
    """What could not be put in force cannot be tried either."""
    assert refused(running, wire.PreviewTuningRequest(**values)) == field_refused(field)


def test_deletion_of_nothing_is_not_found(running: Running) -> None:
    """There is nothing to be tried without."""
    request = wire.PreviewTuningRequest(deleted_allowlist_entry=OURS)

    assert refused(running, request) == Refused(
        StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": OURS}
    )


def test_every_change_is_in_the_audit(running: Running) -> None:
    """The audit has who did what, and what was before and after, in order and page by page."""
    made = create(running)
    changed = update(running, justification="other")
    call(running, wire.DeleteAllowlistEntryRequest(name=OURS))
    first = get_rule(running)
    second = update_rule(running, correlation_window=HOUR)
    whole = changes(running)
    request = wire.ListTuningChangesRequest(page_size=3)
    paged = [call(running, request)]
    request.page_token = paged[0].next_page_token
    paged.append(call(running, request))

    assert [c.number for c in whole.changes] == [1, 2, 3, 4]
    assert [(c.actor, c.method) for c in whole.changes] == [
        ("anonymous", "CreateAllowlistEntry"),
        ("anonymous", "UpdateAllowlistEntry"),
        ("anonymous", "DeleteAllowlistEntry"),
        ("anonymous", "UpdateRuleConfig"),
    ]
    creation, update_, deletion, revision = whole.changes
    assert (creation.HasField("entry_before"), creation.entry_after) == (False, made)
    assert (update_.entry_before, update_.entry_after) == (made, changed)
    assert (deletion.entry_before, deletion.HasField("entry_after")) == (changed, False)
    assert (revision.rule_config_before, revision.rule_config_after) == (first, second)
    assert [c for page in paged for c in page.changes] == list(whole.changes)
    assert (whole.total_count, whole.last_hash) == (4, whole.changes[-1].hash)


def test_audit_can_begin_at_a_time(running: Running) -> None:
    """Changes before a time are left out; the totals are those of all."""
    create(running)
    update(running, justification="other")
    first, second = changes(running).changes

    request = wire.ListTuningChangesRequest(start_time=second.change_time)
    found = call(running, request)
    wrong = wire.ListTuningChangesRequest(start_time=Timestamp(nanos=-1))

    assert first.change_time.ToMicroseconds() < second.change_time.ToMicroseconds()
    assert list(found.changes) == [second]
    assert (found.total_count, found.last_hash) == (2, second.hash)
    assert refused(running, wrong) == field_refused("start_time")


def test_progress_is_told(running: Running) -> None:
    """The version rises with every change, and nothing is under way in an empty database."""
    before = call(running, wire.GetTuningProgressRequest())
    create(running)
    after = call(running, wire.GetTuningProgressRequest())

    assert after.policy_version > before.policy_version
    assert (after.in_progress, after.scope, after.done_count) == (False, "", 0)
    assert not after.HasField("start_time")

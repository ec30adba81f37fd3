"""A server is tuned through the client, and its audit cannot be altered unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client import (
    AllowlistEntry,
    Audit,
    AuditBrokenError,
    Client,
    ConflictError,
    CorrelateBy,
    InvalidRequestError,
    KnownImage,
    Mode,
    NotFoundError,
    RuleConfig,
    TuningChange,
    TuningDifference,
    TuningPreview,
    TuningProgress,
    described_images,
    verify_audit,
)
from amiguard_service.store.tuning_schema import policy_state, tuning_changes
from tests.clients.live_server import Live

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHY = 'It\'s "ours": only\tthe team\nbuilds \\these — \u2028 ☃ 😀'
IMAGE = KnownImage(
    image_id="ami-0123456789abcdef0",
    region="eu-west-1",
    owner_account_id="999999999999",
    image_name="acme-base-1",
)


def test_entry_goes_through_its_life(live_client: Client) -> None:
    """An entry is made, read, changed and deleted, and comes back as a value each time."""
    tuning = live_client.tuning
    made = tuning.create_entry(
        "ours",
        organization_pattern="acme-*",
        justification=WHY,
        account_ids=["111122223333"],
        ttl=timedelta(hours=1),
    )
    assert made.create_time is not None

    narrowed = tuning.update_entry("ours", etag=made.etag, justification="other")
    for_good = tuning.update_entry(
        made.name, etag=narrowed.etag, account_ids=[], never_expires=True
    )
    later = tuning.update_entry(
        "ours", etag=for_good.etag, expire_time=made.create_time + timedelta(days=9)
    )
    read = tuning.get_entry("ours")
    tuning.delete_entry("ours", etag=later.etag)

    assert made == AllowlistEntry(
        name="allowlistEntries/ours",
        trusted_owner=None,
        trusted_account=None,
        organization_pattern="acme-*",
        account_ids=("111122223333",),
        justification=WHY,
        expire_time=made.create_time + timedelta(hours=1),
        create_time=made.create_time,
        creator="anonymous",
        update_time=made.create_time,
        last_match_time=None,
        match_count=0,
        etag=made.etag,
    )
    assert (narrowed.justification, narrowed.account_ids) == ("other", ("111122223333",))
    assert narrowed.expire_time == made.expire_time
    assert (for_good.account_ids, for_good.expire_time) == ((), None)
    assert later.expire_time == made.create_time + timedelta(days=9)
    assert read == later
    with pytest.raises(NotFoundError):
        tuning.get_entry("ours")
    tuning.delete_entry("ours", allow_missing=True)


def test_owners_and_accounts_are_vouched_for(live_client: Client) -> None:
    """Each kind of subject is given and had by its own name."""
    tuning = live_client.tuning
    tuning.create_entry("their", trusted_account="999999999999", justification=WHY)

    listed = {entry.name.partition("/")[2]: entry for entry in tuning.list_entries(page_size=2)}
    owners = list(tuning.list_entries("trusted_owner:*"))

    assert listed["their"].trusted_account == "999999999999"
    assert listed["alias-amazon"].trusted_owner == "amazon"
    assert len(owners) == 4


def test_one_thing_is_vouched_for(live_client: Client) -> None:
    """An entry for nothing, or for several things, is noticed before it is sent."""
    with pytest.raises(ValueError, match="got 0 of"):
        live_client.tuning.create_entry("ours", justification=WHY)
    with pytest.raises(ValueError, match="got 2 of"):
        live_client.tuning.preview_entry(trusted_owner="amazon", trusted_account="1" * 12)
    with pytest.raises(ValueError, match="one or the other"):
        live_client.tuning.create_entry(
            "ours", trusted_owner="amazon", justification=WHY, expire_time=EPOCH, ttl=timedelta(1)
        )
    with pytest.raises(ValueError, match="one or the other"):
        live_client.tuning.update_entry("ours", etag="0", ttl=timedelta(1), never_expires=True)


def test_refusals_say_what_can_be_done(live_client: Client) -> None:
    """A stale etag is a conflict that brings the present one; a wrong field is named."""
    tuning = live_client.tuning
    made = tuning.create_entry("ours", organization_pattern="acme-*", justification=WHY)
    seen = tuning.update_entry("ours", etag=made.etag, justification="theirs")

    with pytest.raises(ConflictError) as stale:
        tuning.update_entry("ours", etag=made.etag, justification="mine")
    with pytest.raises(InvalidRequestError) as broad:
        tuning.create_entry("everything", organization_pattern="*", justification=WHY)
    with pytest.raises(ConflictError) as taken:
        tuning.create_entry("ours", organization_pattern="acme-*", justification=WHY)

    assert (stale.value.reason, stale.value.metadata["current_etag"]) == (
        "ETAG_MISMATCH",
        seen.etag,
    )
    assert [v.field for v in broad.value.violations] == ["allowlist_entry.organization_pattern"]
    assert taken.value.reason == "RESOURCE_EXISTS"


def test_creation_can_be_repeated(live_client: Client) -> None:
    """The same request id gives the first outcome again."""
    tuning = live_client.tuning
    request_id = "6f1ed002-ab5d-4b2f-8f6f-0c3f1f7f2a10"

    made = [
        tuning.create_entry(
            "ours", organization_pattern="acme-*", justification=WHY, request_id=request_id
        )
        for _ in range(2)
    ]

    assert made[0] == made[1]
    assert tuning.read_audit().total_count == 1


def test_settings_go_forth_and_back(live_client: Client) -> None:
    """What is given is put in force, and an older revision can be restored."""
    tuning = live_client.tuning
    first = tuning.get_rule_config()

    changed = tuning.update_rule_config(
        etag=first.etag,
        correlation_window=timedelta(hours=1),
        max_lateness=timedelta(days=2),
        public_patterns=["acme-public-*"],
        mode=Mode.STRICT,
        correlate_by=CorrelateBy.ROLE,
        launch_paths=["RunInstances", "CreateFleet"],
    )
    cleared = tuning.update_rule_config(etag=changed.etag, public_patterns=[])
    restored = tuning.restore_rule_config(1, etag=cleared.etag)

    assert changed == RuleConfig(
        revision=2,
        correlation_window=timedelta(hours=1),
        max_lateness=timedelta(days=2),
        public_patterns=("acme-public-*",),
        mode=Mode.STRICT,
        correlate_by=CorrelateBy.ROLE,
        launch_paths=("RunInstances", "CreateFleet"),
        create_time=changed.create_time,
        creator="anonymous",
        etag=changed.etag,
    )
    assert (cleared.public_patterns, cleared.mode) == ((), Mode.STRICT)
    assert [r.revision for r in tuning.list_rule_configs(page_size=1)] == [4, 3, 2, 1]
    assert restored == replace(
        first,
        revision=4,
        creator="anonymous",
        create_time=restored.create_time,
        etag=restored.etag,
    )


def test_changes_are_tried(live: Live, live_client: Client) -> None:
    """Previews of an entry, of its end and of settings say what would be, as findings."""
    tuning = live_client.tuning
    name = live.occur(1, "acme-*")
    live.occur(2, "other-*")

    entry = tuning.preview_entry(organization_pattern="acme-*", start_time=EPOCH)
    tuning.create_entry("ours", organization_pattern="acme-*", justification=WHY)
    elsewhere = tuning.preview_entry(
        name="ours", organization_pattern="acme-*", account_ids=["222222222222"], start_time=EPOCH
    )
    deletion = tuning.preview_deletion("ours", start_time=EPOCH, max_examples=1)
    settings = tuning.preview_rule_config(correlation_window=timedelta(seconds=1), start_time=EPOCH)
    recent = tuning.preview_deletion("ours", start_time=datetime.now(UTC) + timedelta(days=1))
    rule = tuning.get_rule_config()
    tuning.update_rule_config(etag=rule.etag, public_patterns=["other-*"])
    live.engine.passes.run(max_steps=100)
    cleared = tuning.preview_rule_config(public_patterns=[], start_time=EPOCH)

    (example,) = entry.examples
    assert example.before is not None
    assert example.after is not None
    assert (example.before.name, example.before.likelihood_score) == (name, 50)
    assert (example.after.name, example.after.likelihood_score) == (name, 10)
    assert [
        (p.evaluated_count, p.removed_count, p.rescored_count, p.added_count)
        for p in (entry, elsewhere, deletion, settings, recent, cleared)
    ] == [*[(2, 0, 1, 0)] * 3, (2, 0, 0, 0), (0, 0, 0, 0), (2, 0, 1, 0)]
    assert entry.evidence_start_time is not None


def test_progress_is_had(live_client: Client) -> None:
    """Nothing is under way in an empty database."""
    live_client.tuning.create_entry("ours", organization_pattern="acme-*", justification=WHY)

    progress = live_client.tuning.get_progress()

    assert progress == TuningProgress(
        policy_version=progress.policy_version,
        in_progress=False,
        scope=None,
        done_count=0,
        start_time=None,
    )


def test_any_number_of_images_is_registered(live_client: Client) -> None:
    """More images than a call takes are registered, listed and forgotten."""
    tuning = live_client.tuning
    images = [
        KnownImage(image_id=f"ami-{number:05}", region="eu-west-1", owner_alias="amazon")
        for number in range(1_001)
    ]

    changed = tuning.register_images(iter([*images, IMAGE]))
    listed = list(tuning.list_images(region="eu-west-1"))
    forgotten = tuning.forget_images(images)

    assert (changed, forgotten) == (1_002, 1_001)
    assert listed == [*images, IMAGE]
    assert list(tuning.list_images()) == [IMAGE]


def test_images_are_taken_as_they_are_described() -> None:
    """What DescribeImages says of images becomes what is known of them."""
    output = {
        "Images": [
            {
                "ImageId": IMAGE.image_id,
                "OwnerId": IMAGE.owner_account_id,
                "Name": IMAGE.image_name,
                "Public": True,
            },
            {"ImageId": "ami-1", "OwnerId": "137112412989", "ImageOwnerAlias": "amazon"},
        ]
    }

    assert described_images(output, region="eu-west-1") == (
        IMAGE,
        KnownImage(
            image_id="ami-1",
            region="eu-west-1",
            owner_account_id="137112412989",
            owner_alias="amazon",
        ),
    )


@pytest.mark.parametrize(
    ("value", "message", "input_only"),
    [
        (AllowlistEntry, wire.AllowlistEntry, {"ttl"}),
        (RuleConfig, wire.RuleConfig, set()),
        (KnownImage, wire.KnownImage, set()),
        (TuningChange, wire.TuningChange, set()),
        (TuningDifference, wire.TuningDifference, set()),
        (TuningPreview, wire.PreviewTuningResponse, set()),
        (TuningProgress, wire.GetTuningProgressResponse, set()),
    ],
)
def test_values_mirror_messages(value: Any, message: Any, input_only: set[str]) -> None:
    """A value has the fields of its message, by the same names and in the same order."""
    told = [f.name for f in message.DESCRIPTOR.fields if f.name not in input_only]

    assert [field.name for field in fields(value)] == told


def tell_story(client: Client) -> None:
    """Makes six changes, of every kind."""
    tuning = client.tuning
    made = tuning.create_entry("ours", organization_pattern="acme-*", justification=WHY)
    tuning.update_entry("ours", etag=made.etag, justification="other")
    tuning.update_rule_config(
        etag=tuning.get_rule_config().etag, correlation_window=timedelta(hours=1)
    )
    tuning.register_images([IMAGE])
    tuning.forget_images([IMAGE])
    tuning.delete_entry("ours")


def check(audit: Audit) -> None:
    """Verifies an audit as it was read."""
    verify_audit(audit.changes, total_count=audit.total_count, last_hash=audit.last_hash)


def test_audit_says_what_was_done(live_client: Client) -> None:
    """Every change is in the audit with what was before and after; untouched, it is whole."""
    tell_story(live_client)

    audit = live_client.tuning.read_audit()

    check(audit)
    assert [change.method for change in audit.changes] == [
        "CreateAllowlistEntry",
        "UpdateAllowlistEntry",
        "UpdateRuleConfig",
        "RegisterImages",
        "ForgetImages",
        "DeleteAllowlistEntry",
    ]
    created, updated, revised, registered, _, deleted = audit.changes
    assert created.entry_after == updated.entry_before
    assert updated.entry_after == deleted.entry_before
    assert revised.rule_config_before is not None
    assert revised.rule_config_before.correlation_window == timedelta(minutes=15)
    assert registered.images == (f"{IMAGE.region}/{IMAGE.image_id}",)
    since = live_client.tuning.list_changes(start_time=deleted.change_time, page_size=1)
    assert list(since)[-1] == deleted


def test_empty_audit_is_whole(live_client: Client) -> None:
    """Where nothing was changed there is nothing amiss."""
    check(live_client.tuning.read_audit())


def change_row(number: int, **values: Any) -> Callable[[Connection], None]:
    """Returns what sets columns of a row."""

    def work(connection: Connection) -> None:
        connection.execute(
            update(tuning_changes).where(tuning_changes.c.change_id == number).values(values)
        )

    return work


def remove_row(number: int) -> Callable[[Connection], None]:
    """Returns what removes a row."""

    def work(connection: Connection) -> None:
        connection.execute(delete(tuning_changes).where(tuning_changes.c.change_id == number))

    return work


def swap_rows(one: int, other: int) -> Callable[[Connection], None]:
    """Returns what makes two rows change places."""

    def work(connection: Connection) -> None:
        for number, place in ((one, 1_000), (other, one), (1_000, other)):
            change_row(number, change_id=place)(connection)

    return work


def close_gap(number: int) -> Callable[[Connection], None]:
    """Returns what removes a row and moves the later ones up."""

    def work(connection: Connection) -> None:
        remove_row(number)(connection)
        for later in range(number + 1, 7):
            change_row(later, change_id=later - 1)(connection)

    return work


def repeat_last(connection: Connection) -> None:
    """Adds the last row once more."""
    last = tuning_changes.select().order_by(tuning_changes.c.change_id.desc()).limit(1)
    row = connection.execute(last).one()._asdict()
    connection.execute(insert(tuning_changes), row | {"change_id": row["change_id"] + 1})


def cut_end(connection: Connection) -> None:
    """Removes the last row and says that it never was."""
    remove_row(6)(connection)
    fifth = select(tuning_changes.c.hash).where(tuning_changes.c.change_id == 5)
    connection.execute(
        update(policy_state).values(audit_count=5, audit_hash=fifth.scalar_subquery())
    )


@pytest.mark.parametrize(
    ("alter", "first_bad"),
    [
        *(
            (change_row(3, **{column: value}), 3)
            for column, value in {
                "actor": "eve",
                "method": "CreateAllowlistEntry",
                "change_time": datetime(2020, 1, 1, tzinfo=UTC),
                "document": b'{"images":[]}',
                "hash": "0" * 64,
                "previous_hash": "0" * 64,
            }.items()
        ),
        (change_row(1, document=b"\xff no JSON"), 1),
        (change_row(6, actor="eve"), 6),
        *((remove_row(number), number) for number in (1, 3, 6)),
        (close_gap(1), 1),
        (close_gap(3), 3),
        (swap_rows(2, 3), 2),
        (swap_rows(1, 6), 1),
        (repeat_last, 7),
    ],
)
def test_altered_audit_is_found_out(
    live: Live, live_client: Client, alter: Callable[[Connection], None], first_bad: int
) -> None:
    """Whoever changes, removes, adds or reorders rows in the database is found out, and where."""
    tell_story(live_client)

    live.engine._database.write(alter)

    with pytest.raises(AuditBrokenError) as caught:
        check(live_client.tuning.read_audit())
    assert caught.value.number == first_bad


def test_cut_audit_is_found_out_by_who_kept_its_end(live: Live, live_client: Client) -> None:
    """Rows removed from the end, and its head with them, show against what was noted before."""
    tell_story(live_client)
    noted = live_client.tuning.read_audit()

    live.engine._database.write(cut_end)

    cut = live_client.tuning.read_audit()
    check(cut)
    with pytest.raises(AuditBrokenError) as caught:
        verify_audit(cut.changes, total_count=noted.total_count, last_hash=noted.last_hash)
    assert caught.value.number == 6


def test_forged_end_is_found_out(live_client: Client) -> None:
    """An end that is not that of the changes is named."""
    tell_story(live_client)
    audit = live_client.tuning.read_audit()

    with pytest.raises(AuditBrokenError) as caught:
        check(replace(audit, last_hash="0" * 64))

    assert caught.value.number == 6

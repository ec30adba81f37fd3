"""Laws of the allowlist, the settings and their audit, on each kind of store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Event
from time import monotonic

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, text

from amiguard_core.errors import PolicyError
from amiguard_core.policy import EntryKind, Mode, RuleConfig
from amiguard_service.engine import Engine
from amiguard_service.filters import MatchAll
from amiguard_service.lifecycle import Closure
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.refusals import (
    EtagMismatchError,
    FieldInvalidError,
    LosesTruePositivesError,
    RequestIdReusedError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from amiguard_service.store.engines import hold_policy
from amiguard_service.store.tuning import count_matches
from amiguard_service.stored import Disposition, finding_name
from amiguard_service.tuned import StoredEntry, seal
from amiguard_service.tuning import EntryDraft, EntryPatch, Guard
from tests.databases import Postgres
from tests.store.clock import ManualClock
from tests.store.values import batch, launch, origin, search

pytestmark = pytest.mark.category("tuning")

OURS = EntryDraft(EntryKind.ORGANIZATION_PATTERN, "acme-*", justification="Nobody else's.")
ANN = "ann"
TIMEOUT = 30


def create(engine: Engine, entry_id: str = "ours", draft: EntryDraft = OURS) -> StoredEntry:
    """Creates an entry."""
    return engine.tuning.create_entry(entry_id, draft, actor=ANN)


def occur(engine: Engine, number: int = 1, *, gap: float = 1, name: str = "acme-*") -> str:
    """Commits a search and its launch, and returns the id of their finding."""
    seconds = 10_000 * number
    records = (
        search(origin(f"s{number}", seconds), name),
        launch(origin(f"l{number}", seconds + gap)),
    )
    (outcome,) = engine.commit([batch(*records)])
    (finding_id,) = outcome.finding_ids
    return finding_id


def score(engine: Engine, finding_id: str) -> int:
    """Returns the likelihood of a finding."""
    found = engine.get_finding(finding_id)
    assert found is not None
    return found.score


def set_rule(engine: Engine, **values: object) -> RuleConfig:
    """Puts settings in force."""
    current = engine.tuning.get_rule()
    assert current is not None
    made = engine.tuning.update_rule(
        lambda rule: replace(rule, **values), etag=current.etag, actor=ANN
    )
    return made.config


def audit(engine: Engine) -> list[tuple[str, str]]:
    """Returns who did what, oldest first."""
    rows, _ = engine.tuning.list_changes(after=0, since=None, limit=1_000)
    return [(row.actor, row.method) for row in rows]


def test_database_that_never_had_a_policy_has_the_first_one(engine: Engine) -> None:
    """Whatever is read first shows what is in force from the start, and no change was made."""
    found = engine.tuning.list_entries()

    assert [entry.subject for entry in found] == [
        *("amazon", "aws-backup-vault", "aws-marketplace", "self")
    ]
    assert [r.config for r in engine.tuning.list_rules(before=None, limit=5)] == [RuleConfig()]
    assert engine.tuning.get_rule() == engine.tuning.get_rule(1)
    assert audit(engine) == []


def test_entry_comes_back_as_it_was_put(engine: Engine, clock: ManualClock) -> None:
    """What is stored of an entry is what its creation and its changes returned."""
    until = clock.now + timedelta(days=1, microseconds=1)
    made = create(
        engine, draft=replace(OURS, account_ids=("222222222222", "1" * 12), expire_time=until)
    )
    read = engine.tuning.get_entry("ours")
    clock.now += timedelta(minutes=1)
    patch = EntryPatch(justification="Still.", account_ids=(), expire_time=None)
    changed = engine.tuning.update_entry("ours", patch, etag=made.etag, actor="bob")

    assert (made.account_ids, made.expire_time) == (("1" * 12, "222222222222"), until)
    assert read == made
    assert changed == replace(
        made,
        justification="Still.",
        account_ids=(),
        expire_time=None,
        update_time=clock.now,
        change_count=2,
    )
    assert engine.tuning.get_entry("ours") == changed
    assert audit(engine) == [(ANN, "CreateAllowlistEntry"), ("bob", "UpdateAllowlistEntry")]


def test_etag_tells_every_entry_from_every_other(engine: Engine) -> None:
    """Not even an entry that took another's name within the same instant has its etag."""
    made = create(engine)
    engine.tuning.delete_entry("ours", etag=made.etag, actor=ANN)
    again = create(engine, draft=replace(OURS, subject="other-*"))

    with pytest.raises(EtagMismatchError) as caught:
        engine.tuning.update_entry("ours", EntryPatch(), etag=made.etag, actor=ANN)

    assert caught.value.current == again.etag


def test_subject_never_changes(engine: Engine) -> None:
    """A change that speaks of another subject is refused, one that speaks of the same is not."""
    made = create(engine)
    same = EntryPatch(justification="x", subject=(OURS.kind, OURS.subject))
    changed = engine.tuning.update_entry("ours", same, etag=made.etag, actor=ANN)

    with pytest.raises(FieldInvalidError) as caught:
        engine.tuning.update_entry(
            "ours", EntryPatch(subject=(OURS.kind, "b-*")), etag=changed.etag, actor=ANN
        )

    assert caught.value.field == "organization_pattern"


def test_request_is_remembered_with_its_outcome(engine: Engine, clock: ManualClock) -> None:
    """A retry gets what the first attempt got, even if much has happened since."""
    draft = replace(OURS, ttl=timedelta(hours=1))

    def attempt(draft: EntryDraft) -> StoredEntry:
        return engine.tuning.create_entry("ours", draft, actor=ANN, request_id="r1")

    first = attempt(draft)
    clock.now += timedelta(minutes=1)
    engine.tuning.delete_entry("ours", etag=None, actor=ANN)
    again = attempt(draft)

    assert again == first
    assert first.expire_time == first.create_time + timedelta(hours=1)
    assert engine.tuning.get_entry("ours") is None
    with pytest.raises(RequestIdReusedError):
        attempt(replace(draft, ttl=timedelta(hours=2)))


def test_refused_changes_leave_nothing_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a change is refused for, the policy and the audit stay as they were."""
    made = create(engine)
    tuning = engine.tuning
    rule = tuning.get_rule()
    assert rule is not None
    monkeypatch.setattr("amiguard_service.tuning.MAX_ENTRIES", 5)
    wide = replace(OURS, subject="**")
    refusals: list[tuple[type[Exception], Callable[[], object]]] = [
        (ResourceExistsError, lambda: create(engine)),
        (FieldInvalidError, lambda: create(engine, "others")),
        (PolicyError, lambda: create(engine, "others", wide)),
        (EtagMismatchError, lambda: tuning.delete_entry("ours", etag="0", actor=ANN)),
        (ResourceNotFoundError, lambda: tuning.delete_entry("none", etag=None, actor=ANN)),
        (
            PolicyError,
            lambda: tuning.update_rule(
                lambda r: replace(r, window=timedelta(0)), etag=rule.etag, actor=ANN
            ),
        ),
        (
            EtagMismatchError,
            lambda: tuning.update_rule(lambda r: r, etag="0", actor=ANN),
        ),
    ]

    for kind, change in refusals:
        with pytest.raises(kind):
            change()

    assert tuning.get_entry("ours") == made
    assert (len(tuning.list_entries()), tuning.get_rule()) == (5, rule)
    assert audit(engine) == [(ANN, "CreateAllowlistEntry")]


def test_entries_that_expire_together_go_in_one_change(engine: Engine, clock: ManualClock) -> None:
    """Each is in the audit; what is stored follows them all, once."""
    finding_id = occur(engine)
    for entry_id in ("ours-1", "ours-2"):
        create(engine, entry_id, replace(OURS, ttl=timedelta(minutes=1)))
    create(engine, "later", replace(OURS, subject="b-*", ttl=timedelta(minutes=2)))
    engine.passes.run(max_steps=100)
    calmed, before = score(engine, finding_id), engine.passes.progress().policy_version
    early = engine.tuning.expire()

    clock.now += timedelta(minutes=1)
    outcomes = [engine.tuning.expire(), engine.tuning.expire()]
    after = engine.passes.run(max_steps=100).policy_version

    assert (early, outcomes) == (False, [True, False])
    assert after == before + 1
    assert audit(engine)[3:] == [("amiguard", "ExpireAllowlistEntry")] * 2
    assert (calmed, score(engine, finding_id)) == (10, 50)


def test_what_one_server_saw_expire_is_past_for_all(
    engine: Engine, database_url: str, clock: ManualClock
) -> None:
    """A server whose clock is behind cannot make an entry that has expired for another."""
    create(engine, draft=replace(OURS, ttl=timedelta(minutes=10)))
    behind = Engine.open(database_url, clock=ManualClock(clock.now))
    clock.now += timedelta(minutes=10)
    engine.tuning.expire()

    with pytest.raises(FieldInvalidError) as caught:
        create(behind, "others", replace(OURS, expire_time=clock.now - timedelta(minutes=5)))

    behind.close()
    assert caught.value.field == "expire_time"


def test_expired_entry_can_be_revived(engine: Engine, clock: ManualClock) -> None:
    """An entry that has expired stands in the list still, and counts again with a later end."""
    finding_id = occur(engine)
    create(engine, draft=replace(OURS, ttl=timedelta(minutes=1)))
    clock.now += timedelta(minutes=1)
    engine.tuning.expire()
    engine.passes.run(max_steps=100)
    lapsed, entry = score(engine, finding_id), engine.tuning.get_entry("ours")
    assert entry is not None

    engine.tuning.update_entry(
        "ours", EntryPatch(ttl=timedelta(minutes=1)), etag=entry.etag, actor=ANN
    )
    engine.passes.run(max_steps=100)

    assert (lapsed, score(engine, finding_id)) == (50, 10)


def test_scores_that_an_entry_affects_are_counted_once(engine: Engine, clock: ManualClock) -> None:
    """Those found before it count too, when it is applied to them, and only then."""
    occur(engine)
    create(engine)
    engine.passes.run(max_steps=100)
    applied_at = clock.now
    clock.now += timedelta(minutes=1)
    create(engine, "other", replace(OURS, subject="b-*"))
    engine.passes.run(max_steps=100)
    once = engine.tuning.get_entry("ours")
    occur(engine, 2)
    twice = engine.tuning.get_entry("ours")

    assert once is not None
    assert twice is not None
    assert (once.match_count, once.last_match_time) == (1, applied_at)
    assert (twice.match_count, twice.last_match_time) == (2, clock.now)
    assert twice.etag == once.etag


def test_settings_are_revisions(engine: Engine) -> None:
    """Every change is a further revision; those before it stay as they were, newest first."""
    set_rule(engine, mode=Mode.STRICT)
    set_rule(engine, window=timedelta(hours=1))
    set_rule(engine, mode=Mode.DOCUMENTED, window=RuleConfig().window)

    pages = [engine.tuning.list_rules(before=before, limit=2) for before in (None, 3, 1)]

    assert [[r.config.revision for r in page] for page in pages] == [[4, 3], [2, 1], []]
    (fourth, third), (second, first), _ = pages
    assert (second.config.mode, third.config.window) == (Mode.STRICT, timedelta(hours=1))
    assert fourth.config == replace(first.config, revision=4)
    assert [engine.tuning.get_rule(n) for n in (1, 5)] == [first, None]


def test_setting_that_pairs_records_reaches_those_that_wait(engine: Engine) -> None:
    """What decides which launches follow a search reaches records no finding was made of yet."""
    waiting = batch(search(origin("s"), "acme-*"), launch(origin("l", 1_800)))
    (outcome,) = engine.commit([waiting])

    set_rule(engine, window=timedelta(hours=1))
    begun = engine.passes.progress()
    steps = [engine.passes.step() for _ in range(2)]

    assert outcome.finding_ids == ()
    assert (begun.scope, begun.done) == ("LANES", 0)
    assert [(step.scope, step.done) for step in steps] == [("LANES", 1), (None, 0)]
    (found,) = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
    assert (found.score, found.occurrence_count) == (50, 1)


def test_pass_begins_anew_with_the_next_change(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change in the middle of a pass is applied to all; any server may take any step."""
    monkeypatch.setattr("amiguard_service.passes.CHUNK", 1)
    finding_ids = [occur(engine, number, name=f"acme-{number}-*") for number in range(3)]
    create(engine)
    first = other.passes.step()
    engine.tuning.delete_entry("ours", etag=None, actor=ANN)

    begun = engine.passes.progress()
    while engine.passes.step().scope is not None:
        other.passes.step()

    assert (first.done, begun.done) == (1, 0)
    assert begun.policy_version == first.policy_version + 1
    assert [score(engine, finding_id) for finding_id in finding_ids] == [50, 50, 50]


def test_audit_is_a_chain(engine: Engine, clock: ManualClock) -> None:
    """Each change is sealed over the one before, and the head is where the chain ends."""
    made = create(engine)
    clock.now += timedelta(seconds=1, microseconds=1)
    engine.tuning.delete_entry("ours", etag=made.etag, actor=ANN)
    set_rule(engine, mode=Mode.STRICT)

    rows, state = engine.tuning.list_changes(after=0, since=None, limit=10)
    (last,), _ = engine.tuning.list_changes(after=2, since=None, limit=10)
    later, _ = engine.tuning.list_changes(after=0, since=clock.now, limit=1)

    assert [row.change_id for row in rows] == [1, 2, 3]
    for row, previous in zip(rows, ["", *(row.hash for row in rows)], strict=False):
        assert row.previous_hash == previous
        assert row.hash == seal(
            previous,
            change_id=row.change_id,
            change_time=row.change_time,
            actor=row.actor,
            method=row.method,
            document=row.document,
        )
    assert (state.audit_count, state.audit_hash, last) == (3, rows[-1].hash, rows[-1])
    assert later == [rows[1]]


@pytest.mark.parametrize("change", ["entry", "window"])
def test_true_positives_are_kept_where_asked(engine: Engine, change: str) -> None:
    """A change under which one would fall to LOW, or vanish, is refused with their names."""
    finding_id = occur(engine, gap=60)
    engine.move_finding(finding_id, Closure(Disposition.TRUE_POSITIVE, "it was"), actor=ANN)
    occur(engine, 2, name="acme-open-*")
    guard = Guard(keep_true_positives=True)
    rule = engine.tuning.get_rule()
    assert rule is not None

    def make(guard: Guard) -> None:
        if change == "entry":
            engine.tuning.create_entry("ours", OURS, actor=ANN, guard=guard)
        else:
            engine.tuning.update_rule(
                lambda r: replace(r, window=timedelta(seconds=59)),
                etag=rule.etag,
                actor=ANN,
                guard=guard,
            )

    with pytest.raises(LosesTruePositivesError) as caught:
        make(guard)
    refused = audit(engine)
    make(Guard())

    assert caught.value.names == (finding_name(finding_id),)
    assert (refused, len(audit(engine))) == ([], 1)


def test_change_and_records_do_not_wait_for_each_other_in_a_ring(postgres: Postgres) -> None:
    """A change of an entry and records that it matches, side by side, are each done at once.

    Neither is rolled back for the other and tried again.
    """
    attempts = {"change": 0, "records": 0}

    def clock() -> datetime:
        attempts["change"] += 1
        return ManualClock().now

    url = postgres.clear()
    engine = Engine.open(url, clock=ManualClock())
    changer = Engine.open(url, clock=clock, server_clock=ManualClock())
    made = create(engine)
    holding = Event()

    def match(connection: Connection) -> None:
        attempts["records"] += 1
        hold_policy(connection)
        holding.set()
        wait_for_lock(connection)
        count_matches(connection, {"ours": 1}, now=ManualClock().now)

    attempts["change"] = 0
    with ThreadPoolExecutor(2) as threads:
        records = threads.submit(engine._database.write, match)
        assert holding.wait(TIMEOUT)
        change = threads.submit(
            lambda: changer.tuning.update_entry(
                "ours", EntryPatch(justification="x"), etag=made.etag, actor=ANN
            )
        )
        records.result(TIMEOUT)
        changed = change.result(TIMEOUT)
    found = engine.tuning.get_entry("ours")
    engine.close()
    changer.close()

    assert attempts == {"change": 1, "records": 1}
    assert found == replace(changed, match_count=1, last_match_time=ManualClock().now)


def wait_for_lock(connection: Connection) -> None:
    """Waits until somebody waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        if connection.execute(waiting).scalar_one():
            return
    pytest.fail("nobody waits for a lock")

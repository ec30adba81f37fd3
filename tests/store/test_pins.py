"""Launches from launch templates: whoever makes them, they are of the finding of whoever pinned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import permutations
from threading import Barrier, Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import func, select

from amiguard_core.decode import decode_records
from amiguard_core.events import Launch, LaunchPath, Search, TemplateVersion
from amiguard_core.pipeline import evaluate, find
from amiguard_core.policy import CorrelateBy, Policy, RuleConfig
from amiguard_service.engine import Batch, Engine
from amiguard_service.filters import MatchAll
from amiguard_service.ledger import WITHDRAWN
from amiguard_service.ordering import DEFAULT_ORDER
from amiguard_service.proposals import with_rule
from amiguard_service.retention import Retention, SweepLimits
from amiguard_service.store.schema import occurrences, pinned_templates, waiting_records
from amiguard_service.stored import StoredFinding, StoredOccurrence
from tests.data.shapes import Record, encode
from tests.data.strategies import template_sets
from tests.store.clock import ManualClock
from tests.store.test_laws import clear, put_policy, summary_of_core, summary_of_stored
from tests.store.test_tuning_laws import counted
from tests.store.values import ACCOUNT, ALICE, NOON, batch, launch, origin, search

EVERY: Mapping[str, object] = {"launch_paths": tuple(LaunchPath)}
EVERY_PATH = Policy(rule=RuleConfig(launch_paths=tuple(LaunchPath)))
WEB = TemplateVersion("lt-web", "1")
SCALING = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSServiceRoleForAutoScaling/AutoScaling"
MONTHS = 90 * 86_400
HORIZON = RuleConfig().window + RuleConfig().lateness
INSTANT = timedelta(microseconds=1)


def pin(
    event_id: str = "t",
    seconds: float = 30,
    *,
    principal: str = ALICE,
    made: TemplateVersion = WEB,
    image: str = "ami-1",
) -> Launch:
    """Makes a call that pins an image into a version of a template."""
    return Launch(
        origin(event_id, seconds, principal=principal),
        path=LaunchPath.CREATE_LAUNCH_TEMPLATE,
        image_ids=(image,),
        template=made,
    )


def started(
    event_id: str = "l",
    seconds: float = MONTHS,
    *,
    principal: str | None = None,
    template: TemplateVersion = WEB,
    region: str = "eu-west-1",
    account: str = ACCOUNT,
    image: str = "ami-1",
) -> Launch:
    """Makes a launch from a version of a template, by nobody unless one is given."""
    where = origin(event_id, seconds, principal=principal, region=region, account=account)
    return replace(launch(where, image), template=template)


def only(engine: Engine) -> StoredFinding:
    """Returns the one finding that counts."""
    (found,) = counted(engine)
    return found


def shown(engine: Engine) -> list[StoredOccurrence]:
    """Returns the occurrences of the one finding that counts, newest launch first."""
    return list(only(engine).recent_occurrences)


def launches_of(engine: Engine) -> list[str]:
    """Returns the launches of the one finding that counts, newest first."""
    return [each.launch_event_id for each in shown(engine)]


def set_rule(engine: Engine, **values: object) -> None:
    """Puts other settings in force, and lets what is stored follow."""
    current = engine.tuning.get_rule()
    assert current is not None
    engine.tuning.update_rule(
        lambda rule: replace(rule, **values), etag=current.etag, actor="tests"
    )
    engine.passes.run(max_steps=1_000)


def sweep(engine: Engine, clock: ManualClock, limits: SweepLimits | None = None) -> None:
    """Deletes all that has been kept long enough."""
    while engine.sweep(clock.now, limits or SweepLimits()).has_more:
        pass


@pytest.fixture
def pinning(engine: Engine) -> Engine:
    """The engine with every launch path enabled."""
    put_policy(engine, EVERY_PATH)
    return engine


@pytest.mark.category("pairing")
class TestPairing:
    """What a launch from a template belongs to."""

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    @pytest.mark.parametrize("principal", [None, SCALING, ALICE])
    def test_launch_is_of_the_finding_of_the_pin(
        self, pinning: Engine, order: tuple[int, ...], principal: str | None
    ) -> None:
        """In whatever order the three come, months apart, and whoever launches."""
        records = (search(origin("s")), pin(), started(principal=principal))
        for index in order:
            pinning.commit([batch(records[index])])

        found = only(pinning)
        of_launch, of_pin = found.recent_occurrences
        assert found.key.actor_arn == ALICE
        assert found.occurrence_count == 2
        assert of_pin.launch_event_id == "t"
        assert of_pin.pin is None
        assert (of_launch.search_event_id, of_launch.launch_event_id) == ("s", "l")
        assert of_launch.pin == records[1]
        assert of_launch.principal_arn == principal
        assert of_launch.gap == timedelta(seconds=30)
        assert of_launch.confidence == of_pin.confidence == 90

    @pytest.mark.parametrize(
        "other",
        [
            started(template=TemplateVersion("lt-web", "2")),
            started(template=TemplateVersion("lt-db", "1")),
            started(region="eu-west-2"),
            started(account="444455556666"),
            started(seconds=29),
            replace(started(), template=None),
        ],
        ids=["version", "template", "region", "account", "before the pin", "no template"],
    )
    @pytest.mark.parametrize("is_first", [True, False])
    def test_other_launches_are_not(
        self,
        pinning: Engine,
        other: Launch,
        is_first: bool,  # noqa: FBT001
    ) -> None:
        """Account, region, template and version must be the same, and the pin not later."""
        pinned = [search(origin("s")), pin()]
        for records in ([other], pinned) if is_first else (pinned, [other]):
            pinning.commit([batch(*records)])

        assert launches_of(pinning) == ["t"]

    def test_launch_in_the_second_of_the_pin_is_from_it(self, pinning: Engine) -> None:
        """Times have whole seconds, so equal ones belong together."""
        pinning.commit([batch(search(origin("s")), pin(seconds=30), started(seconds=30))])

        assert sorted(launches_of(pinning)) == ["l", "t"]

    def test_template_that_followed_no_search_pins_nothing(self, pinning: Engine) -> None:
        """What is launched from it is nobody's finding."""
        pinning.commit([batch(search(origin("s")), pin(seconds=901), started())])

        assert counted(pinning) == []

    def test_later_search_takes_over_what_was_launched_too(self, pinning: Engine) -> None:
        """The pin, and every launch from it, name the latest search whenever it comes."""
        pinning.commit([batch(search(origin("s1")), pin(), started())])

        pinning.commit([batch(search(origin("s2", 20)))])

        assert [each.search_event_id for each in shown(pinning)] == ["s2", "s2"]
        assert [each.gap for each in shown(pinning)] == [timedelta(seconds=10)] * 2

    def test_launch_that_overrides_the_image_is_surely_another(self, pinning: Engine) -> None:
        """It counts, with confidence 0: it did not start what was pinned."""
        pinning.commit([batch(search(origin("s")), pin(), started(image="ami-2"))])

        assert [each.confidence for each in shown(pinning)] == [0, 90]
        assert only(pinning).confidence == 90

    def test_launch_of_its_own_search_is_of_both_findings(self, pinning: Engine) -> None:
        """Whoever searched before launching has a finding, and whoever pinned has one."""
        bob = "arn:aws:iam::111122223333:user/bob"
        records = (
            *(search(origin("s1")), pin()),
            *(search(origin("s2", 500, principal=bob)), started(seconds=600, principal=bob)),
        )
        pinning.commit([batch(*records)])

        found = {each.key.actor_arn: each for each in counted(pinning)}
        assert {actor: each.occurrence_count for actor, each in found.items()} == {ALICE: 2, bob: 1}
        assert found[bob].recent_occurrences[0].pin is None

    def test_launch_has_one_occurrence_in_a_finding(self, pinning: Engine) -> None:
        """One that follows the search itself and is from a pinned template names no pin."""
        pinning.commit([batch(search(origin("s")), pin(), started(seconds=40, principal=ALICE))])

        assert launches_of(pinning) == ["l", "t"]
        assert [each.pin for each in shown(pinning)] == [None, None]

    def test_outcome_names_the_finding(self, pinning: Engine) -> None:
        """Whoever sends the launch learns which finding it added to; a repeat adds nothing."""
        (opened,) = pinning.commit([batch(search(origin("s")), pin())])

        (added,) = pinning.commit([batch(started())])
        (again,) = pinning.commit([batch(started())])

        assert added.finding_ids == opened.finding_ids != ()
        assert (again.finding_ids, again.duplicate_count) == ((), 1)


@pytest.mark.category("tuning")
class TestPolicy:
    """What changes of the policy do."""

    def test_path_that_is_off_counts_nothing_and_on_counts_what_waits(self, engine: Engine) -> None:
        """Off by default; on, what waits is found; off again, it is set aside; and back."""
        engine.commit([batch(search(origin("s")), pin(), started())])
        off = counted(engine)
        set_rule(engine, launch_paths=tuple(LaunchPath))
        on = launches_of(engine)
        set_rule(engine, launch_paths=(LaunchPath.RUN_INSTANCES,))
        (withdrawn,) = engine.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=10)
        engine.commit([batch(started("l2"))])
        set_rule(engine, launch_paths=tuple(LaunchPath))

        assert off == []
        assert on == ["l", "t"]
        assert withdrawn.suppression == WITHDRAWN
        assert launches_of(engine) == ["l2", "l", "t"]

    def test_what_was_forgotten_meanwhile_comes_back_too(
        self, engine: Engine, clock: ManualClock
    ) -> None:
        """A finding keeps what it was made of: search, pin and launch."""
        put_policy(engine, EVERY_PATH)
        engine.commit([batch(search(origin("s")), pin(), started())])
        before = [summary_of_stored(engine, each) for each in counted(engine)]
        set_rule(engine, launch_paths=(LaunchPath.RUN_INSTANCES,))
        clock.now += HORIZON + INSTANT
        sweep(engine, clock)

        set_rule(engine, launch_paths=tuple(LaunchPath))
        engine.commit([batch(started("l2", MONTHS + 1))])

        assert [summary_of_stored(engine, each) for each in counted(engine)] != before
        assert launches_of(engine) == ["l2", "l", "t"]

    def test_pins_follow_the_correlation_key(self, engine: Engine) -> None:
        """Whoever the search is of by the key in force, a launch that comes then is found by it."""
        one, two = (f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/{name}" for name in ("one", "two"))

        def of_role(record: Search | Launch) -> Search | Launch:
            role = replace(record.origin, actor_arn=f"arn:aws:iam::{ACCOUNT}:role/ci")
            return replace(record, origin=role)

        put_policy(engine, EVERY_PATH)
        set_rule(engine, correlate_by=CorrelateBy.ROLE)
        later_by_another = of_role(search(origin("s2", 20, principal=two)))
        engine.commit([batch(later_by_another, of_role(pin(principal=one)))])
        set_rule(engine, correlate_by=CorrelateBy.PRINCIPAL)
        engine.commit([batch(of_role(search(origin("s1", 10, principal=one))))])
        engine.commit([batch(started())])
        by_principal = [(each.launch_event_id, each.search_event_id) for each in shown(engine)]
        set_rule(engine, correlate_by=CorrelateBy.ROLE)
        engine.commit([batch(started("l2"))])

        assert by_principal == [("l", "s1"), ("t", "s1")]
        assert {each.search_event_id for each in shown(engine)} == {"s2"}
        assert launches_of(engine) == ["l2", "l", "t"]

    def test_preview_counts_what_pins_decide(self, pinning: Engine) -> None:
        """A preview of turning a path off says that the finding goes."""
        pinning.commit([batch(search(origin("s")), pin(), started())])

        off = with_rule(lambda rule: replace(rule, launch_paths=(LaunchPath.RUN_INSTANCES,)))
        said = pinning.tuning.preview(off, since=NOON - timedelta(days=1), max_examples=9)

        assert (said.evaluated_count, said.removed_count) == (1, 1)


def row_count(engine: Engine, table: object) -> int:
    """Returns how many rows a table has."""
    statement = select(func.count()).select_from(table)  # type: ignore[arg-type]  # a table
    return engine._database.read(lambda c: c.execute(statement).scalar_one())


@pytest.mark.category("retention")
class TestRetention:
    """Pins stay as long as their finding."""

    def test_launch_is_found_long_after_all_waiting_records_are_gone(
        self, pinning: Engine, clock: ManualClock
    ) -> None:
        """Templates live for months, and so do pins."""
        pinning.commit([batch(search(origin("s")), pin())])
        clock.now += timedelta(seconds=MONTHS)
        sweep(pinning, clock)
        waiting = row_count(pinning, waiting_records)

        pinning.commit([batch(started())])

        assert waiting == 0
        assert launches_of(pinning) == ["l", "t"]

    def test_every_copy_of_a_pin_stays(self, pinning: Engine, clock: ManualClock) -> None:
        """A fuller copy that lost its response does not keep launches from what the other made."""
        whole = pin()
        cut = replace(
            whole, template=None, origin=replace(whole.origin, user_agent="aws-cli/" + "x" * 99)
        )
        pinning.commit([batch(search(origin("s")), whole, cut)])
        clock.now += timedelta(seconds=MONTHS)
        sweep(pinning, clock)

        pinning.commit([batch(started())])

        assert launches_of(pinning) == ["l", "t"]

    def test_launch_by_nobody_waits_for_a_pin_that_comes_late(
        self, pinning: Engine, clock: ManualClock
    ) -> None:
        """For the window and the lateness, as every launch does."""
        pinning.commit([batch(started("early", 40)), batch(search(origin("s")))])
        clock.now += HORIZON
        sweep(pinning, clock)

        pinning.commit([batch(pin())])

        assert launches_of(pinning) == ["early", "t"]

    def test_pins_go_with_their_finding(self, pinning: Engine, clock: ManualClock) -> None:
        """And only with it: a finding that launches keep adding to stays, and so do its pins."""
        pinning.commit([batch(search(origin("s")), pin(), started())])
        clock.now += timedelta(days=399)
        pinning.commit([batch(started("l2"))])
        clock.now += timedelta(days=399)
        sweep(pinning, clock)
        kept = row_count(pinning, pinned_templates), len(counted(pinning))
        clock.now += timedelta(days=2)
        sweep(pinning, clock)

        assert kept == (1, 1)
        assert row_count(pinning, pinned_templates) == row_count(pinning, occurrences) == 0
        pinning.commit([batch(started("l3"))])
        assert counted(pinning) == []

    def test_pins_go_with_a_finding_that_goes_bit_by_bit(
        self, pinning: Engine, clock: ManualClock
    ) -> None:
        """A pin goes with the occurrence of the call that made it, the rest with the finding."""
        launches = [started(f"l{number}", MONTHS + number) for number in range(7)]
        pinning.commit([batch(search(origin("s")), pin(), *launches)])
        clock.now += timedelta(days=401)
        few = SweepLimits(max_rows=3)
        left = []
        while pinning.sweep(clock.now, few).has_more:
            left.append((row_count(pinning, occurrences), row_count(pinning, pinned_templates)))

        shortened = [pins for occurrence_count, pins in left if occurrence_count < 8]
        assert len(shortened) > 1
        assert set(shortened) == {0}
        assert left[-1] == (0, 0)

    def test_record_that_was_half_forgotten_is_taken_in_again(
        self, pinning: Engine, clock: ManualClock
    ) -> None:
        """A sweep may stop between the two rows of a launch; sent again, it waits whole."""
        pinning.commit([batch(started(principal=SCALING))])
        clock.now += HORIZON + INSTANT
        pinning.sweep(clock.now, SweepLimits(retention=Retention(), max_rows=1))
        left = row_count(pinning, waiting_records)

        pinning.commit([batch(started(principal=SCALING))])

        assert (left, row_count(pinning, waiting_records)) == (1, 2)


@pytest.mark.category("laws")
def test_launches_from_templates_are_found_however_records_arrive(engine: Engine) -> None:
    """One by one, in any order, under settings that change in between: the store is the core's."""
    rules: tuple[Mapping[str, object], ...] = (
        {"launch_paths": (LaunchPath.RUN_INSTANCES,)},
        {"launch_paths": (LaunchPath.RUN_INSTANCES, LaunchPath.CREATE_LAUNCH_TEMPLATE)},
        {"correlate_by": CorrelateBy.ROLE},
        {"correlate_by": CorrelateBy.PRINCIPAL},
        {"window": timedelta(seconds=60)},
        {"window": timedelta(minutes=15)},
    )

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(records=template_sets(), data=st.data())
    def law(records: list[Record], data: st.DataObject) -> None:
        clear(engine)
        set_rule(engine, launch_paths=tuple(LaunchPath))
        arrived: list[bytes] = []
        for record in data.draw(st.permutations(records)):
            arrived.append(encode(record))
            decoded = decode_records(arrived[-1:], launch_paths=LaunchPath)
            engine.commit([Batch(decoded, source="tests")])
            if not data.draw(st.integers(0, 3)):
                set_rule(engine, **data.draw(st.sampled_from(rules)))
                set_rule(engine, **data.draw(st.sampled_from((rules[0], EVERY))))
            if not data.draw(st.integers(0, 3)):
                set_rule(engine, **EVERY)

        rule = engine.tuning.get_rule()
        assert rule is not None
        expected = evaluate(arrived, Policy(rule=rule.config))
        assert sorted(map(summary_of_core, expected), key=str) == sorted(
            (summary_of_stored(engine, found) for found in counted(engine)), key=str
        )

    law()


@pytest.mark.category("concurrency")
@pytest.mark.parametrize("last", [0, 1, 2], ids=["the search", "the pin", "the launch"])
def test_transactions_side_by_side_meet(pinning: Engine, other: Engine, last: int) -> None:
    """Of search, pin and launch, any two may come at once on two servers, the third before."""
    rounds = 15
    everything: list[Search | Launch] = []
    for number in range(rounds):
        person = f"arn:aws:iam::{ACCOUNT}:user/u{number}"
        version = TemplateVersion(f"lt-{number}", "1")
        three: list[Search | Launch] = [
            search(origin(f"s{number}", principal=person)),
            pin(f"t{number}", principal=person, made=version),
            started(f"l{number}", template=version, principal=SCALING),
        ]
        everything += three
        pinning.commit([batch(three.pop(last))])
        together = Barrier(2)

        def commit(server: Engine, record: Search | Launch, together: Barrier = together) -> None:
            sent = batch(record)
            together.wait(timeout=30)
            server.commit([sent])

        threads = [
            Thread(target=commit, args=half) for half in zip((pinning, other), three, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)

    searches = [record for record in everything if isinstance(record, Search)]
    launches = [record for record in everything if isinstance(record, Launch)]
    expected = find(searches, launches, EVERY_PATH)
    stored = pinning.list_findings(MatchAll(), DEFAULT_ORDER, after=None, limit=1_000)
    assert len(expected) == rounds
    assert sorted(map(summary_of_core, expected), key=str) == sorted(
        (summary_of_stored(pinning, found) for found in stored), key=str
    )


@pytest.mark.category("concurrency")
def test_launch_and_change_of_policy_side_by_side_meet(engine: Engine, other: Engine) -> None:
    """A launch that comes while a path is turned on is found, by itself or by the pass."""
    for number in range(8):
        version = TemplateVersion(f"lt-{number}", "1")
        engine.commit([batch(search(origin("s")), pin(f"t{number}", made=version))])
        set_rule(engine, launch_paths=(LaunchPath.RUN_INSTANCES,))
        together = Barrier(2)

        def enable(together: Barrier = together) -> None:
            together.wait(timeout=30)
            set_rule(engine, **EVERY)

        turning_on = Thread(target=enable)
        turning_on.start()
        together.wait(timeout=30)
        other.commit([batch(started(f"l{number}", template=version))])
        turning_on.join(timeout=60)
        engine.passes.run(max_steps=1_000)

        assert f"l{number}" in launches_of(engine)

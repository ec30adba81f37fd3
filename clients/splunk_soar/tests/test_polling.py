"""Polling loses nothing and doubles nothing, whatever happens between polls and during one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from amiguard_client import Disposition, connect
from splunk_soar.tests.soar import Soar
from tests.clients.live_server import Live, live_server
from tests.service.test_watch import cut_log
from tests.store.values import ACCOUNT, ALICE, UBUNTU, batch, launch, origin, search


def occur_at_once(live: Live, *numbers: int) -> list[str]:
    """Commits searches and their launches in one transaction; returns the findings, sorted."""
    records = [
        record
        for number in numbers
        for record in (
            search(origin(f"s{number}", 10_000 * number), f"team-{number}-*"),
            launch(origin(f"l{number}", 10_000 * number + 1)),
        )
    ]
    (outcome,) = live.engine.commit([batch(*records)])
    return sorted(f"findings/{finding_id}" for finding_id in outcome.finding_ids)


class TestContents:
    """What containers and artifacts say."""

    def test_finding_becomes_a_container_and_occurrences_artifacts(
        self, soar: Soar, live: Live
    ) -> None:
        """Each is known by the identifier of its source, and says what a playbook needs."""
        name = live.occur(1, UBUNTU, images=("ami-7",))

        polled = soar.poll()

        assert (polled.is_success, polled.message) == (True, "Polling complete")
        (container,) = polled.containers
        assert container["source_data_identifier"] == name
        assert container["name"] == f"AMI looked up by name alone: {UBUNTU}"
        assert container["severity"] == "high"
        assert container["data"]["likelihood_score"] == 85
        (artifact,) = polled.artifacts
        assert artifact["source_data_identifier"] == f"{name}/l1"
        assert artifact["severity"] == "high"
        assert artifact["run_automation"] is True
        assert artifact["cef"] == {
            "findingName": name,
            "awsAccountId": ACCOUNT,
            "awsRegion": "eu-west-1",
            "actorArn": ALICE,
            "namePatterns": UBUNTU,
            "imageIds": "ami-7",
            "instanceIds": "i-1",
            "launchPath": "RunInstances",
            "confidence": 90,
            "externalId": "l1",
            "searchEventId": "s1",
            "sourceAddress": "198.51.100.7",
            "sourceUserName": ALICE,
            "requestClientApplication": "aws-cli/2.17.32",
        }
        assert artifact["cef_types"]["findingName"] == ["amiguard finding"]

    def test_names_are_bounded_and_on_one_line(self, soar: Soar, live: Live) -> None:
        """Whoever makes a call chooses the names it searches for."""
        live.occur(1, "a\nb" + "x" * 250)

        (container,) = soar.poll().containers

        assert container["name"].startswith("AMI looked up by name alone: a bxx")
        assert container["name"].endswith("x…")
        assert len(container["name"]) < 200

    def test_service_is_no_address(self, soar: Soar, live: Live) -> None:
        """A playbook that looks addresses up is given none where there is none."""
        service = "autoscaling.amazonaws.com"
        where = [
            replace(origin(event_id, seconds), source_ip_address=service)
            for seconds, event_id in enumerate(("s1", "l1"))
        ]
        live.engine.commit([batch(search(where[0]), launch(where[1]))])

        (artifact,) = soar.poll().artifacts

        assert "sourceAddress" not in artifact["cef"]
        assert artifact["cef"]["sourceHostName"] == service

    def test_severity_follows_likelihood(self, soar: Soar, live: Live) -> None:
        """LOW, MEDIUM and HIGH are low, medium and high."""
        with connect(live.target, insecure=True) as client:
            client.tuning.create_entry(
                "ours", justification="only ours", organization_pattern="acme-*"
            )
        low, medium, high = (
            live.occur(number, name) for number, name in enumerate(("acme-*", "team-*", UBUNTU), 1)
        )

        polled = soar.poll()

        severities = {
            each["source_data_identifier"]: each["severity"] for each in polled.containers
        }
        assert severities == {low: "low", medium: "medium", high: "high"}

    def test_every_occurrence_becomes_an_artifact(self, soar: Soar, live: Live) -> None:
        """A finding with more occurrences than it shows of itself loses none, the latest last."""
        for number in range(1, 24):
            live.occur(number, "acme-*")

        polled = soar.poll()

        assert len(polled.containers) == 1
        launches = [artifact["cef"]["externalId"] for artifact in polled.artifacts]
        assert launches == [f"l{number}" for number in range(1, 24)]

    def test_sdk_runs_it_too(self, soar: Soar, live: Live) -> None:
        """The SDK's own runner polls."""
        live.occur(1, "acme-*")

        outcome = soar.run("on poll")

        assert outcome.is_success
        assert "Creating container: AMI looked up by name alone: acme-*" in outcome.output
        assert "Added artifact: Launch of ami-1" in outcome.output


class TestPlace:
    """Where one poll ends the next one begins."""

    def test_quiet_server_has_nothing_to_offer(self, soar: Soar, live: Live) -> None:
        """What was polled is not offered again."""
        live.occur(1)
        first = soar.poll()

        second = soar.poll()

        assert len(first.offered) == 1
        assert second.offered == []
        assert second.containers == first.containers

    def test_what_is_new_comes_and_nothing_else(self, soar: Soar, live: Live) -> None:
        """A further finding and a further occurrence are both there after the next poll, once."""
        old = live.occur(1, "acme-*")
        untouched = live.occur(2)
        soar.poll()
        new = live.occur(3)
        live.occur(4, "acme-*")

        polled = soar.poll()

        assert sorted(polled.offered) == sorted([old, new])
        assert polled.names == sorted([old, untouched, new])
        assert polled.launches == ["l1", "l2", "l3", "l4"]

    def test_finding_stays_away_once_closed_until_it_is_open_again(
        self, soar: Soar, live: Live
    ) -> None:
        """A closed finding is nobody's work; its next occurrence is."""
        name = live.occur(1, "acme-*")
        with connect(live.target, insecure=True) as client:
            client.close_finding(name, Disposition.TRUE_POSITIVE, comment="mended")
        before = soar.poll()
        live.occur(2, "acme-*")

        after = soar.poll()

        assert before.containers == []
        assert after.names == [name]
        assert after.launches == ["l1", "l2"]

    def test_what_comes_to_a_finding_that_is_taken_up_is_polled(
        self, soar: Soar, live: Live
    ) -> None:
        """Whoever works on a finding sees its further occurrences."""
        name = live.occur(1, "acme-*")
        soar.poll()
        soar.run("acknowledge finding", finding=name)
        live.occur(2, "acme-*")

        polled = soar.poll()

        assert polled.launches == ["l1", "l2"]

    def test_changes_that_are_left_out_are_passed_over(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """Where nothing that changed is wanted the place moves on all the same."""
        soar = make_soar(server=live.target, insecure=True, min_likelihood="HIGH")
        before = soar.poll()
        live.occur(1, "team-*")

        polled = soar.poll()
        wanted = live.occur(2, UBUNTU)
        then = soar.poll()

        assert (polled.is_success, polled.offered) == (True, [])
        assert polled.state != before.state
        assert then.offered == [wanted]

    def test_failure_of_the_platform_moves_nothing(self, soar: Soar, live: Live) -> None:
        """What the platform could not store is offered again, the rest kept once."""
        names = [live.occur(number) for number in (1, 2, 3)]

        failed = soar.poll(failing_saves=1)
        healed = soar.poll()

        assert not failed.is_success
        assert (
            failed.message == "Action failure in on poll: Failed to save artifacts: no space left"
        )
        assert failed.state == {}
        assert healed.is_success
        assert healed.names == sorted(names)
        assert healed.launches == ["l1", "l2", "l3"]

    def test_failure_while_following_moves_nothing(self, soar: Soar, live: Live) -> None:
        """So it is after the first poll."""
        live.occur(1)
        before = soar.poll()
        live.occur(2)

        failed = soar.poll(failing_saves=1)
        healed = soar.poll()

        assert (failed.is_success, failed.state) == (False, before.state)
        assert healed.launches == ["l1", "l2"]

    def test_place_outlives_a_restart_of_the_server(
        self, make_soar: Callable[..., Soar], migrated_sqlite: Path, tmp_path: Path
    ) -> None:
        """A server with the same database goes on where the former one ended."""
        with live_server(migrated_sqlite, tmp_path) as live:
            live.occur(1)
            make_soar(server=live.target, insecure=True).poll()
        database = (tmp_path / "live.db").rename(tmp_path / "kept.db")
        with live_server(database, tmp_path) as live:
            new = live.occur(2)

            polled = make_soar(server=live.target, insecure=True).poll()

        assert polled.offered == [new]
        assert polled.launches == ["l1", "l2"]

    def test_expired_place_is_made_good(self, soar: Soar, live: Live) -> None:
        """Where the change log is cut after the place, everything is looked through again."""
        old = live.occur(1)
        soar.poll()
        missed, new = live.occur(2), live.occur(3)
        cut_log(live.engine, live.engine.last_cursor())

        polled = soar.poll()
        after = soar.poll()

        assert polled.names == sorted([old, missed, new])
        assert polled.launches == ["l1", "l2", "l3"]
        assert after.offered == []

    def test_place_in_another_database_is_made_good(
        self, make_soar: Callable[..., Soar], migrated_sqlite: Path, tmp_path: Path
    ) -> None:
        """A server with another database is looked through from the start."""
        with live_server(migrated_sqlite, tmp_path) as live:
            old = live.occur(1)
            make_soar(server=live.target, insecure=True).poll()
        with live_server(migrated_sqlite, tmp_path) as live:
            new = live.occur(2)

            polled = make_soar(server=live.target, insecure=True).poll()

        assert polled.is_success
        assert polled.names == sorted([old, new])


class TestPortions:
    """A poll takes no more than it may, and the next one takes the rest."""

    def test_backlog_is_taken_in_portions(self, make_soar: Callable[..., Soar], live: Live) -> None:
        """Findings from before the first poll come a portion at a time, and not twice."""
        soar = make_soar(server=live.target, insecure=True, max_findings=2)
        names = [live.occur(number) for number in range(1, 6)]

        offered = [soar.poll().offered for _ in range(4)]

        assert offered == [names[:2], names[2:4], names[4:], []]

    def test_findings_of_one_instant_are_not_parted(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """What was made in one transaction comes in one poll: nothing tells its parts in order."""
        soar = make_soar(server=live.target, insecure=True, max_findings=2)
        first = occur_at_once(live, 1, 2, 3)
        second = occur_at_once(live, 4)

        offered = [sorted(soar.poll().offered) for _ in range(3)]

        assert offered == [first, second, []]

    def test_what_comes_during_the_backlog_is_not_lost(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """A finding that changes or is made while older ones still wait comes after them."""
        soar = make_soar(server=live.target, insecure=True, max_findings=1)
        live.occur(1, "acme-*")
        live.occur(2)
        soar.poll()
        live.occur(3)
        live.occur(4, "acme-*")

        polled = [soar.poll() for _ in range(5)][-1]

        assert len(polled.containers) == 3
        assert polled.launches == ["l1", "l2", "l3", "l4"]

    def test_changes_are_taken_in_portions(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """A poll that has taken its portion of changes leaves the rest for the next."""
        soar = make_soar(server=live.target, insecure=True, max_findings=101)
        soar.poll()
        # A portion is more than the server reads of its change log at a time.
        names = [live.occur(number) for number in range(1, 151)]

        offered = [soar.poll().offered for _ in range(3)]

        assert offered == [names[:101], names[101:], []]


class TestSelection:
    """Which findings are polled."""

    @pytest.mark.parametrize(("least", "count"), [("LOW", 3), ("MEDIUM", 2), ("HIGH", 1)])
    def test_least_likelihood_is_kept(
        self, make_soar: Callable[..., Soar], live: Live, least: str, count: int
    ) -> None:
        """What is less likely does not come, whether it was there before or came since."""
        soar = make_soar(server=live.target, insecure=True, min_likelihood=least)
        names = ("team-exact", "team-*", UBUNTU)
        with connect(live.target, insecure=True) as client:
            client.tuning.create_entry(
                "ours", justification="only ours", organization_pattern="team-exact"
            )
        for number, name in enumerate(names, 1):
            live.occur(number, name)

        polled = soar.poll()

        assert len(polled.containers) == count

    def test_filter_is_kept(self, make_soar: Callable[..., Soar], live: Live) -> None:
        """The asset's filter and its likelihood are both fulfilled, after the first poll too."""
        asset = {"filter": f'name_patterns:"{UBUNTU}"', "min_likelihood": "HIGH"}
        soar = make_soar(server=live.target, insecure=True, **asset)
        soar.poll()
        wanted = live.occur(1, UBUNTU)
        live.occur(2, f"{UBUNTU}2")

        assert soar.poll().names == [wanted]

    def test_wider_filter_brings_what_was_left_out(
        self, make_soar: Callable[..., Soar], live: Live
    ) -> None:
        """Another choice begins anew, so that findings from before the change are not lost."""
        likely, less = live.occur(1, UBUNTU), live.occur(2, "team-*")
        narrow = make_soar(server=live.target, insecure=True, min_likelihood="HIGH").poll()

        wide = make_soar(server=live.target, insecure=True).poll()

        assert narrow.names == [likely]
        assert wide.names == sorted([likely, less])
        assert wide.launches == ["l1", "l2"]


class TestPollNow:
    """Polls that somebody asks for."""

    def test_latest_are_taken_and_the_place_stays(self, soar: Soar, live: Live) -> None:
        """As many as asked for come, and the next scheduled poll is none the wiser."""
        names = [live.occur(number) for number in (1, 2, 3)]

        now = soar.poll(container_count=2, artifact_count=10)
        scheduled = soar.poll()

        assert now.offered == [names[2], names[1]]
        assert now.state.keys() <= {"ingest"}
        assert scheduled.names == sorted(names)
        assert scheduled.launches == ["l1", "l2", "l3"]

    def test_artifacts_are_no_more_than_asked_for(self, soar: Soar, live: Live) -> None:
        """Of each finding the latest launches come."""
        for number in (1, 2, 3):
            live.occur(number, "acme-*")

        polled = soar.poll(container_count=1, artifact_count=2)

        assert polled.launches == ["l2", "l3"]

    def test_findings_are_taken_by_name(self, soar: Soar, live: Live) -> None:
        """Source ids are names of findings."""
        first, _, third = (live.occur(number) for number in (1, 2, 3))

        polled = soar.poll(container_count=1, container_id=f"{third}, {first}")

        assert polled.offered == [third, first]

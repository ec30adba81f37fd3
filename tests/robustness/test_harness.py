"""The harness itself: what it would notice, and that plans are what their seeds say."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from amiguard.v1.finding_pb2 import Finding
from amiguard_client import Client
from amiguard_client.channel import Connection
from amiguard_core.decode import decode_records
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from amiguard_service import logs
from amiguard_service.engine import Batch, Engine
from amiguard_service.tokens import PageTokens
from tests.robustness.disk import small_disk
from tests.robustness.faults import BACKENDS, POSTGRESQL, SQLITE, Do, Fault, Step
from tests.robustness.operators import Registration, Tuned
from tests.robustness.oracle import ServerView, find_differences, find_missing
from tests.robustness.plan import Plan, draw_plan
from tests.robustness.proxy import HOST, Network, Way
from tests.robustness.server_logs import find_complaints
from tests.robustness.watcher import Seen, Watcher
from tests.service.running import serving

SEEDS = range(40)
NAMES_A_PARAMETER = 11_109
"""The seed of a plan for which such a launch was once drawn."""
ENDS = {
    Do.KILL: {Do.START},
    Do.DRAIN: {Do.START},
    Do.PAUSE: {Do.RESUME},
    Do.KILL_DATABASE: {Do.START_DATABASE},
    Do.STOP_DATABASE: {Do.START_DATABASE},
    Do.PAUSE_DATABASE: {Do.RESUME_DATABASE},
    Do.SILENCE_DATABASE: {Do.END_SILENCE, Do.CUT_SILENCE},
    Do.SHIFT_CLOCK: {Do.SET_CLOCK},
    Do.FILL_DISK: {Do.FREE_DISK},
    Do.REFUSE_WRITES: {Do.ALLOW_WRITES},
}
SHORTEST_WAIT = timedelta(hours=24)
"""The rule's lateness, which every record waits."""
TOKENS = PageTokens((b"k" * 32,))


@pytest.fixture(scope="module", params=BACKENDS)
def plans(request: pytest.FixtureRequest) -> list[Plan]:
    """Plans of one backend after the other."""
    return [draw_plan(seed, request.param) for seed in SEEDS]


class TestPlans:
    """What a seed decides."""

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_seed_decides_everything(self, backend: str) -> None:
        """A failed round can be played again."""
        assert draw_plan(5, backend) == draw_plan(5, backend)
        assert draw_plan(5, backend) != draw_plan(6, backend)

    def test_everything_is_delivered(self, plans: list[Plan]) -> None:
        """What no forwarder has is among the spares, and most of it comes once alone."""
        for plan in plans:
            deliveries = [d for forwarding in plan.forwardings for d in forwarding.deliveries]
            times = Counter(r for d in (*deliveries, *plan.spares) for r in d.records)

            assert times.keys() == set(plan.records)
            assert sum(count == 1 for count in times.values()) > len(times) / 2

    def test_operators_register_images_alone(self, plans: list[Plan]) -> None:
        """A launch may name a parameter in place of an image, which no operator can register."""
        images = [
            image
            for plan in (*plans, draw_plan(NAMES_A_PARAMETER, POSTGRESQL))
            for change in plan.changes
            if isinstance(change, Registration)
            for image in change.images
        ]

        assert images
        assert all(image.image_id.startswith("ami-") for image in images)

    def test_outages_end(self, plans: list[Plan]) -> None:
        """Whatever a step takes away a later one gives back, before it is taken away again."""
        for plan in plans:
            begun: set[tuple[Do, int]] = set()
            for step in plan.steps:
                begun = {
                    (begin, target)
                    for begin, target in begun
                    if target != step.target or step.do not in ENDS[begin]
                }
                if step.do in ENDS:
                    assert (step.do, step.target) not in begun
                    begun.add((step.do, step.target))

            assert begun == set()

    def test_nothing_expires_before_the_end(self, plans: list[Plan]) -> None:
        """While a round is played less time passes than records wait, and by right clocks alone."""
        for plan in plans:
            passed = sum(step.amount for step in plan.steps if step.do is Do.LET_TIME_PASS)

            assert timedelta(minutes=passed) < SHORTEST_WAIT
            assert not {Fault.TIME_PASSED, Fault.CLOCK_SHIFTED} <= set(plan.faults)

    def test_surroundings_differ(self) -> None:
        """Isolation, pauses and retention are drawn, and those of SQLite have no isolation."""
        drawn = [draw_plan(seed, POSTGRESQL).surroundings for seed in SEEDS]

        assert {one.isolation for one in drawn} == {None, "repeatable read", "serializable"}
        assert {one.keeps_findings_shortly for one in drawn} == {True, False}
        assert len({one.pauses.long_ms for one in drawn}) > 1
        assert draw_plan(0, SQLITE).surroundings.isolation is None


@pytest.fixture(scope="module")
def sent() -> tuple[bytes, ...]:
    """Records that were sent."""
    return draw_plan(0, BACKENDS[0]).records


@pytest.fixture(scope="module")
def stored(sent: tuple[bytes, ...]) -> list[bytes]:
    """Those of them that were not lost: all but the copies of one launch in a finding."""
    finding = evaluate(sent, Policy())[0]
    event_id = finding.latest.launch.origin.event_id.encode()
    return [record for record in sent if event_id not in record]


@pytest.fixture(scope="module")
def client(stored: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a server that has taken in what was not lost."""
    engine = Engine.open(f"sqlite:///{tmp_path_factory.mktemp('oracle')}/amiguard.db")
    engine.commit([Batch(decode_records(stored), source="tests")])
    with serving(engine) as running:
        yield Client(Connection("tests", running.channel, (), timedelta(seconds=30)))
    engine.close()


class TestOracle:
    """What would be noticed in the store."""

    def test_what_is_as_it_should_be_is_no_difference(
        self, client: Client, stored: list[bytes]
    ) -> None:
        """The rule's findings are those of the records that were taken in."""
        assert find_differences(ServerView(client), stored, Tuned()) == []
        assert find_missing(ServerView(client), stored) == []

    def test_lost_record_is_noticed(self, client: Client, sent: tuple[bytes, ...]) -> None:
        """A launch that was acknowledged and is not there makes a difference."""
        assert find_differences(ServerView(client), sent, Tuned()) != []
        assert find_missing(ServerView(client), sent) != []

    def test_invented_finding_is_noticed(self, client: Client, stored: list[bytes]) -> None:
        """What is stored and was never sent makes a difference."""
        assert find_differences(ServerView(client), stored[:20], Tuned()) != []


def watched(*seen: tuple[int, str, int]) -> list[str]:
    """Returns what is wrong with responses, each a cursor and one finding's etag and count."""
    watcher = Watcher("watcher", ["nowhere"])
    watcher._seen = [
        Seen(
            1,
            (Finding(name="findings/1", etag=etag, occurrence_count=count),),
            TOKENS.seal("WatchFindings", b"", (cursor,)),
        )
        for cursor, etag, count in seen
    ]
    return watcher.check(TOKENS, is_policy_changed=False)


class TestWatcher:
    """What would be noticed in a stream of changes."""

    def test_changes_in_their_order_are_fine(self) -> None:
        """A finding that is sent again as it stands was sent at least once, as promised."""
        assert watched((1, "a", 1), (3, "b", 2), (4, "b", 2)) == []

    @pytest.mark.parametrize(
        "seen",
        [
            ((2, "a", 1), (1, "b", 2)),
            ((1, "a", 1), (1, "b", 2)),
            ((1, "a", 1), (2, "b", 1), (3, "a", 1)),
            ((1, "a", 2), (2, "b", 1)),
        ],
        ids=["cursor back", "cursor stays", "finding back", "occurrence lost"],
    )
    def test_steps_back_are_noticed(self, seen: tuple[tuple[int, str, int], ...]) -> None:
        """Cursors and findings go on, never back."""
        assert len(watched(*seen)) == 1


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A server's log."""
    return tmp_path / "server.log"


class TestServerLogs:
    """What would be noticed in a log."""

    @pytest.mark.parametrize(
        "line",
        [
            '{"event": "rpc.done", "code": "INTERNAL"}',
            '{"event": "rpc.failed"}',
            '{"event": "task.failed", "exception": "Traceback ..."}',
            '{"event": "store.unavailable"}',
            '{"event": "something", "logger": "asyncio"}',
            "Traceback (most recent call last):",
        ],
    )
    def test_what_no_fault_accounts_for_is_noticed(self, log: Path, line: str) -> None:
        """The list of what may be said is closed."""
        log.write_text(f"{line}\n")

        assert len(find_complaints(log, [Fault.SERVER_KILLED])) == 1

    def test_what_a_fault_accounts_for_is_fine(self, log: Path) -> None:
        """A database that is taken away is told of."""
        log.write_text(
            f'{{"event": "{logs.STORE_UNAVAILABLE}"}}\n'
            '{"event": "rpc.done", "code": "UNAVAILABLE"}\n'
            "amiguard-server: the database is unavailable: Connection refused\n"
        )

        assert find_complaints(log, [Fault.DATABASE_KILLED]) == []

    def test_wrong_clock_is_told_of_where_it_is_wrong(self, log: Path) -> None:
        """A server calls clocks wrong in rounds alone in which one is."""
        log.write_text('{"event": "clock.wrong"}\n')

        assert find_complaints(log, [Fault.CLOCK_SHIFTED]) == []
        assert len(find_complaints(log, [Fault.TIME_PASSED])) == 1

    def test_torn_line_is_fine_on_a_full_disk_alone(self, log: Path) -> None:
        """What there was no room for is not there."""
        log.write_text('{"event": "rpc.do')

        assert find_complaints(log, [Fault.DISK_FULL]) == []
        assert len(find_complaints(log, [Fault.SERVER_KILLED])) == 1


def test_cut_leaves_part_of_a_message() -> None:
    """A connection is cut behind the byte that was asked for, not before and not after."""
    received = b""
    with socket.create_server((HOST, 0)) as server, Network.open() as network:

        def receive() -> None:
            nonlocal received
            connection, _ = server.accept()
            with connection:
                while part := connection.recv(1_000):
                    received += part

        receiver = Thread(target=receive)
        receiver.start()
        proxy = network.add_proxy()
        proxy.aim(server.getsockname()[1])
        proxy.cut_after(7, Way.TO_SERVER)
        host, _, port = proxy.add_door().partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"a message of 23 letters")
            receiver.join(10)

    assert received == b"a messa"


def test_silence_holds_back_and_closes_nothing() -> None:
    """A network that has fallen silent passes no byte on, and all of them once it goes on."""
    received = b""
    with socket.create_server((HOST, 0)) as server, Network.open() as network:
        proxy = network.add_proxy()
        proxy.aim(server.getsockname()[1])
        host, _, port = proxy.add_door().partition(":")
        with socket.create_connection((host, int(port))) as client:
            connection, _ = server.accept()
            with connection:
                proxy.silence()
                client.sendall(b"in the silence")
                connection.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    connection.recv(1_000)
                proxy.end_silence()
                connection.settimeout(10)
                received = connection.recv(1_000)

    assert received == b"in the silence"


def test_full_disk_takes_no_byte(tmp_path: Path) -> None:
    """A disk is full to the last byte, and takes what it took once it is freed."""
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("file systems cannot be mounted here")
        file = disk.directory / "file"
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            file.write_bytes(b"1")
        disk.free()
        file.write_bytes(b"1")

        assert file.read_bytes() == b"1"


def test_step_tells_what_it_does() -> None:
    """A plan can be read."""
    assert str(Step(5, Do.KILL, 2)) == "@5 kill server 2"

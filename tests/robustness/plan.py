"""A round as its seed decides it: the records, who delivers them how, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from amiguard_client.packing import LogFile, Records
from amiguard_core.decode import decode_records
from tests.data.draws import Draws
from tests.data.forms import FORMS, OUTER_FORMS
from tests.data.scenario import scenario
from tests.data.shapes import Record, encode
from tests.data.variations import eventbridge, flattened, lookup_event
from tests.robustness.faults import (
    POSTGRESQL,
    SERVER_COUNTS,
    SQLITE,
    Fault,
    Step,
    draw_faults,
    draw_steps,
)
from tests.robustness.operators import Change, draw_changes
from tests.robustness.pauses import Pauses

_MALFORMED = b'{"eventSource":"ec2.amazonaws.com","eventName":7}'
_SPARE_COUNT = 6
_SPARE_RECORDS = 6
_ISOLATIONS = ("repeatable read", "serializable")
_PAUSES = {
    SQLITE: (Pauses(), Pauses(short_ms=5)),
    POSTGRESQL: (
        Pauses(),
        Pauses(short_ms=5, long_ms=300, long_share=0.5),
        Pauses(short_ms=5, long_ms=1_500, long_share=0.5),
    ),
}
"""On SQLite, where all writers wait for each other, none is long."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch as a forwarder submits it, and the records in it that can be read."""

    item: LogFile | Records
    records: tuple[bytes, ...]
    malformed_count: int
    unidentified_count: int
    """Searches and launches of nobody, which are not stored, so that no ack calls them repeats."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What one forwarder delivers.

    It has no more than `depth` batches out that are not acknowledged. One that is unary makes a
    call for each batch, as a function does that lives for one delivery.
    """

    deliveries: tuple[Delivery, ...]
    depth: int
    is_unary: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What servers meet for the whole of a round."""

    isolation: str | None
    """Of transactions that say nothing of it, on PostgreSQL; None leaves the default."""
    pauses: Pauses
    keeps_findings_shortly: bool
    """Whether findings are kept for a day, which is less than what they are made of."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a round that is decided before it begins."""

    seed: int
    backend: str
    records: tuple[bytes, ...]
    forwardings: tuple[Forwarding, ...]
    spares: tuple[Delivery, ...]
    """Batches of records that no forwarder has, to see what becomes of one on a full disk."""
    faults: tuple[Fault, ...]
    steps: tuple[Step, ...]
    changes: tuple[Change, ...]
    has_handler: bool
    """Whether somebody takes findings up meanwhile; not beside changes, which move them too."""
    starts_empty: bool
    false_start_seconds: float
    """After how long the first start on an empty database is killed."""
    database_connections: int
    surroundings: Surroundings

    @property
    def server_count(self) -> int:
        """How many servers share the database."""
        return SERVER_COUNTS[self.backend]

    def describe(self) -> str:
        """Returns what a person needs to see of it, in a few lines."""
        forwarders = ", ".join(
            f"{len(f.deliveries)} batches {'one by one' if f.is_unary else f'{f.depth} deep'}"
            for f in self.forwardings
        )
        steps = "\n".join(f"    {step}" for step in (*self.steps, *self.changes))
        beginning = "an empty database" if self.starts_empty else "a migrated database"
        around = self.surroundings
        handling = " and a handler" if self.has_handler else ""
        return (
            f"  {self.backend}, seed {self.seed}: {self.server_count} server(s) with "
            f"{self.database_connections} connection(s) on {beginning}\n"
            f"  {len(self.records)} records; forwarders: {forwarders}{handling}\n"
            f"  isolation {around.isolation or 'as it is'}; pauses of {around.pauses.short_ms} ms, "
            f"long ones of {around.pauses.long_ms}; findings are kept for "
            f"{'a day' if around.keeps_findings_shortly else '400 days'}\n"
            f"  steps, by batches acknowledged:\n{steps}"
        )


def draw_plan(seed: int, backend: str) -> Plan:
    """Returns the plan of a seed, the same on every machine."""
    draws = Draws(seed)
    originals = scenario(
        seed,
        accounts=draws.randint(1, 3),
        minutes=draws.choice((10, 30)),
        searches=draws.randint(40, 100),
        launches=draws.randint(40, 100),
        noise=draws.randint(10, 50),
    )
    copies = [_cut_short(record) for record in draws.sample(originals, k=4)]
    spare_records = draws.sample(originals, k=_SPARE_COUNT * _SPARE_RECORDS)
    spares = [
        _pack(draws, spare_records[start : start + _SPARE_RECORDS], malformed_count=0)
        for start in range(0, len(spare_records), _SPARE_RECORDS)
    ]
    spared = {record["eventID"] for record in spare_records}
    kept = [record for record in originals if record["eventID"] not in spared]
    forwardings = _draw_forwardings(draws, [*kept, *copies])
    batch_count = sum(len(forwarding.deliveries) for forwarding in forwardings)
    faults = draw_faults(draws, seed, backend)
    encoded = tuple(encode(record) for record in (*originals, *copies))
    changes = draw_changes(draws, encoded, count=faults.count(Fault.POLICY_CHANGED))
    return Plan(
        seed=seed,
        backend=backend,
        records=encoded,
        forwardings=forwardings,
        spares=tuple(spares),
        faults=faults,
        steps=draw_steps(
            draws,
            faults,
            backend,
            batch_count=batch_count,
            forwarder_count=len(forwardings),
        ),
        changes=changes,
        has_handler=not changes and draws.random() < 0.5,
        starts_empty=draws.random() < 0.25,
        false_start_seconds=draws.uniform(0.2, 1.0),
        database_connections=draws.choice((1, 2, 4)),
        surroundings=_draw_surroundings(Draws(f"surroundings {seed}"), backend),
    )


def _draw_surroundings(draws: Draws, backend: str) -> Surroundings:
    isolation = draws.choice((None, *_ISOLATIONS))
    return Surroundings(
        isolation=isolation if backend == POSTGRESQL else None,
        pauses=replace(
            draws.choice(_PAUSES[backend]),
            seed=draws.getrandbits(32),
            slow_server=draws.randrange(SERVER_COUNTS[backend]),
        ),
        keeps_findings_shortly=draws.random() < 0.5,
    )


def _cut_short(record: Record) -> Record:
    """Returns the copy of a forwarder that leaves out what it thinks nobody reads."""
    return {name: value for name, value in record.items() if name != "responseElements"}


def _draw_forwardings(draws: Draws, records: Sequence[Record]) -> tuple[Forwarding, ...]:
    count = draws.randint(2, 4)
    # As they happened, so that a search and its launch come at the same time by different ways;
    # or without any order.
    reach = draws.choice((4, 30, 10 * len(records)))
    lateness = {id(record): draws.uniform(0, reach) for record in records}
    shuffled = sorted(range(len(records)), key=lambda place: place + lateness[id(records[place])])
    late = set(draws.sample(range(len(records)), k=len(records) // 20))
    order = [place for place in shuffled if place not in late] + sorted(late)
    hands: list[list[Record]] = [[] for _ in range(count)]
    for place in order:
        # Most records come once: a second one would hide that the first was lost.
        times = draws.choices((1, 2, 3), weights=(8, 2, 1))[0]
        for hand in draws.sample(hands, k=min(times, count)):
            hand.append(records[place])
    return tuple(
        Forwarding(
            deliveries=_draw_deliveries(draws, hand),
            depth=draws.choice((1, 2, 6, 1_000)),
            is_unary=draws.random() < 0.2,
        )
        for hand in hands
    )


def _draw_deliveries(draws: Draws, records: Sequence[Record]) -> tuple[Delivery, ...]:
    cut_count = max(1, len(records) // draws.choice((2, 4)))
    places = range(1, len(records))
    cuts = sorted(draws.sample(places, k=min(cut_count, len(places))))
    deliveries = [
        _pack(draws, records[start:end], malformed_count=int(draws.random() < 0.05))
        for start, end in pairwise([0, *cuts, len(records)])
    ]
    # A whole batch again, as a queue delivers one that it thinks was not handled.
    for delivery in draws.sample(deliveries, k=len(deliveries) // 10):
        deliveries.insert(draws.randrange(len(deliveries) + 1), delivery)
    return tuple(deliveries)


def _pack(draws: Draws, records: Sequence[Record], *, malformed_count: int) -> Delivery:
    plain = [encode(record) for record in records]
    sent = [encode(draws.choice(_FORMS)(record)) for record in records]
    sent += [_MALFORMED] * malformed_count
    draws.shuffle(sent)
    item: LogFile | Records
    if draws.random() < 0.5:
        item = Records(sent)
    else:
        # Of what is sent, so that a form more makes no other plan of a seed.
        item = _file_of(Draws(sent[0]), sent, plain + [_MALFORMED] * malformed_count)
    unidentified_count = decode_records(plain).unidentified_count
    return Delivery(item, tuple(plain), malformed_count, unidentified_count)


def _file_of(draws: Draws, sent: Sequence[bytes], plain: Sequence[bytes]) -> LogFile:
    """Returns a file of the records as they are sent, or as AWS writes them, in a drawn form."""
    name = draws.choice(tuple(FORMS))
    return LogFile(FORMS[name](draws, plain if name in OUTER_FORMS else sent), name)


def _as_it_is(record: Record) -> Record:
    return record


_FORMS = (_as_it_is, _as_it_is, _as_it_is, eventbridge, lookup_event, flattened)

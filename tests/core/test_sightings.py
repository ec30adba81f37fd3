"""Laws of looking into records: of those passed by, some tell where and when all were made."""

from __future__ import annotations

import json
import time
from datetime import UTC, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import Decoded, decode_log_file, decode_records
from amiguard_core.sightings import MIN_BOTH_ENDS, ONE_IN, Sighting
from tests.core.specimens import NOISE, SEARCH, without
from tests.data.records import ACCOUNT, NINE_O_CLOCK, REGION, UNAUTHORIZED, describe_images
from tests.data.shapes import Record, encode, utc
from tests.data.variations import eventbridge, insight, lookup_event

SEEN = Sighting(ACCOUNT, REGION, NINE_O_CLOCK.astimezone(UTC))
OTHER_REGION = "sa-east-1"
CALL = b'{"eventSource":"a","eventName":"b"}'


def noise(number: int, *, region: str = REGION) -> Record:
    """Makes a record that the rule has no interest in, `number` seconds after the first."""
    time = utc(NINE_O_CLOCK + timedelta(seconds=number))
    return NOISE | {"awsRegion": region, "eventTime": time}


def log_file(records: list[Record], *, indent: int | None = None) -> bytes:
    """Writes a log file, as AWS does unless it is indented."""
    separators = (",", ":") if indent is None else None
    return json.dumps({"Records": records}, indent=indent, separators=separators).encode()


def seconds(decoded: Decoded) -> list[int]:
    """Returns which records of `noise` were seen, by their numbers."""
    first = NINE_O_CLOCK.astimezone(UTC)
    return [(seen.event_time - first) // timedelta(seconds=1) for seen in decoded.seen]


class TestOneByOne:
    """Records that come one by one: exact in envelopes, one in sixteen otherwise."""

    @pytest.mark.parametrize(
        ("count", "seen"), [(1, [0]), (16, [0]), (17, [0, 16]), (40, [0, 16, 32])]
    )
    def test_one_in_sixteen_is_looked_into(self, count: int, seen: list[int]) -> None:
        """Every sixteenth record is, from the first on; the others are only counted."""
        decoded = decode_records([encode(noise(number)) for number in range(count)])

        assert seconds(decoded) == seen
        assert decoded.unseen_count == count - len(seen)

    @pytest.mark.parametrize("odd", [encode(NOISE | {"requestID": "é"}), b"{"])
    def test_one_in_sixteen_is_looked_into_among_odd_ones_too(self, odd: bytes) -> None:
        """A text that is not ASCII, or is no record, changes nothing for its neighbours."""
        decoded = decode_records([*(encode(noise(number)) for number in range(40)), odd])

        assert seconds(decoded)[:3] == [0, 16, 32]
        assert len(decoded.seen) == 3

    @pytest.mark.parametrize("wrap", [eventbridge, lookup_event])
    def test_every_record_in_an_envelope_is_seen(self, wrap: object) -> None:
        """An envelope has to be opened anyway."""
        assert callable(wrap)

        decoded = decode_records([encode(wrap(noise(number))) for number in range(20)])

        assert seconds(decoded) == list(range(20))

    @pytest.mark.parametrize(
        "record",
        [
            describe_images(error=UNAUTHORIZED, at=NINE_O_CLOCK),
            insight(at=NINE_O_CLOCK),
        ],
        ids=["failed", "insight"],
    )
    def test_call_that_is_no_search_is_seen(self, record: Record) -> None:
        """A failed search or an insight is one of the others, and looked into."""
        decoded = decode_records([encode(noise(0))] + [encode(record)] * 3)

        assert len(decoded.seen) == 4

    def test_searches_and_launches_are_not_among_those_seen(self) -> None:
        """They are counted for themselves."""
        decoded = decode_records([encode(SEARCH)] * 20)

        assert (decoded.seen, decoded.unseen_count) == ([], 0)

    @pytest.mark.parametrize(
        "record",
        [
            NOISE | {"eventTime": "2026-03-02 09:00:00"},
            NOISE | {"eventTime": "2026-03-02T10:00:00+01:00"},
            NOISE | {"eventTime": "2026-03-02T09:00:00.000Z"},
            without(NOISE, "recipientAccountId"),
            NOISE | {"recipientAccountId": ""},
            NOISE | {"recipientAccountId": None},
        ],
        ids=["no zone", "zone", "fractions", "no recipient", "empty recipient", "null recipient"],
    )
    @pytest.mark.parametrize("form", ["plain", "file", "envelope"])
    def test_places_are_read_as_those_of_searches_are(self, record: Record, form: str) -> None:
        """What is tolerated of a search is tolerated here."""
        match form:
            case "plain":
                decoded = decode_records([encode(record)])
            case "file":
                decoded = decode_log_file(log_file([record]))
            case _:
                decoded = decode_records([encode({"detail": record})])

        (seen,) = decoded.seen
        assert (seen.account_id, seen.region) == (ACCOUNT, REGION)
        assert seen.event_time == NINE_O_CLOCK

    def test_time_without_a_zone_is_utc_wherever_the_server_stands(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Forwarders that leave the zone out write CloudTrail's own time."""
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            (seen,) = decode_records([encode(NOISE | {"eventTime": "2026-03-02 09:00:00"})]).seen
        finally:
            monkeypatch.undo()
            time.tzset()

        assert seen.event_time == NINE_O_CLOCK

    @pytest.mark.parametrize(
        "record",
        [
            NOISE | {"eventTime": "yesterday"},
            NOISE | {"eventTime": 5},
            NOISE | {"awsRegion": ["eu-west-1"]},
            without(NOISE, "awsRegion"),
            without(without(NOISE, "recipientAccountId"), "userIdentity"),
            without(NOISE, "recipientAccountId") | {"userIdentity": "me"},
        ],
    )
    @pytest.mark.parametrize("form", ["plain", "file", "envelope"])
    def test_what_cannot_be_placed_is_counted_all_the_same(self, record: Record, form: str) -> None:
        """Looking into a record never makes a difference to what becomes of it."""
        match form:
            case "plain":
                decoded = decode_records([encode(record)])
            case "file":
                decoded = decode_log_file(log_file([record]))
            case _:
                decoded = decode_records([encode({"detail": record})])

        assert (decoded.record_count, decoded.seen, decoded.rejections) == (1, [], [])
        assert decoded.unseen_count == 1


class TestLogFiles:
    """Log files, each of one account and region as AWS delivers them."""

    @pytest.mark.parametrize("indent", [None, 1])
    @pytest.mark.parametrize("first", [noise(0), SEARCH], ids=["no search", "search"])
    def test_both_ends_are_looked_into(self, first: Record, indent: int | None) -> None:
        """Of a file the first and the last record are seen, whether or not others are read."""
        count = MIN_BOTH_ENDS
        records = [first, *(noise(number) for number in range(1, count))]

        decoded = decode_log_file(log_file(records, indent=indent))

        assert seconds(decoded) == [0, count - 1]
        assert decoded.record_count == count

    def test_file_of_searches_alone_has_nothing_to_see(self) -> None:
        """Where and when searches were made is known of each of them."""
        decoded = decode_log_file(log_file([SEARCH, SEARCH]))

        assert (len(decoded.searches), decoded.seen, decoded.unseen_count) == (2, [], 0)

    @pytest.mark.parametrize("count", [1, 2, MIN_BOTH_ENDS - 1])
    def test_last_record_of_a_short_file_is_enough(self, count: int) -> None:
        """Of a file that is read in no time, one record is seen."""
        decoded = decode_log_file(log_file([noise(number) for number in range(count)]))

        assert seconds(decoded) == [count - 1]

    def test_file_whose_first_record_has_no_place_is_looked_into_throughout(self) -> None:
        """Where an end says nothing, one in sixteen is seen."""
        count = MIN_BOTH_ENDS
        records = [without(noise(0), "awsRegion"), *(noise(n) for n in range(1, count))]

        decoded = decode_log_file(log_file(records))

        assert seconds(decoded) == list(range(ONE_IN, count, ONE_IN))

    def test_file_of_several_regions_is_looked_into_throughout(self) -> None:
        """Where the ends differ, one in sixteen is seen."""
        count = MIN_BOTH_ENDS
        records = [noise(number) for number in range(count - 1)]
        records.append(noise(count - 1, region=OTHER_REGION))

        decoded = decode_log_file(log_file(records))

        assert seconds(decoded) == list(range(0, count, ONE_IN))

    @pytest.mark.parametrize("count", [1, MIN_BOTH_ENDS])
    def test_likeness_of_a_beginning_inside_a_record_misleads_nobody(self, count: int) -> None:
        """A record may hold what looks like the beginning of another one."""
        (name,) = list(NOISE)[:1]
        inner = {name: "1.0", "awsRegion": OTHER_REGION, "eventTime": "2020-01-01T00:00:00Z"}
        inner |= {"recipientAccountId": "999999999999"}
        records = [noise(number) | {"zz": [{name: "x"}, inner]} for number in range(count)]

        decoded = decode_log_file(log_file(records))

        assert {(seen.account_id, seen.region) for seen in decoded.seen} == {(ACCOUNT, REGION)}
        assert decoded.record_count == count

    @pytest.mark.parametrize(
        "text",
        [
            b'{"Records":[]}',
            b'{"Records":[%b]}' % CALL,
            b'{"x":[1,2],"Records":[%b],"y":[{}]}' % CALL,
            b'{ "Records" : [ %b\n,\n\t%b ] }' % (CALL, CALL),
        ],
    )
    def test_file_that_tells_nothing_is_read_as_ever(self, text: bytes) -> None:
        """A file of another form, or without places, is counted and leaves nothing seen."""
        decoded = decode_log_file(text)

        assert (decoded.seen, decoded.rejections) == ([], [])
        assert decoded.unseen_count == decoded.record_count == text.count(b"eventName")

    def test_lines_are_looked_into_one_in_sixteen(self) -> None:
        """One record a line is like records that come one by one."""
        text = b"\n".join(encode(noise(number)) for number in range(40))

        assert seconds(decode_log_file(text)) == [0, 16, 32]


def test_records_seen_are_never_more_than_those_read() -> None:
    """What was seen and then refused leaves no others, rather than fewer than none."""
    assert Decoded(seen=[SEEN]).unseen_count == 0
    assert Decoded(seen=[SEEN], record_count=2).unseen_count == 1


@given(
    kinds=st.lists(st.sampled_from(("noise", "search", "envelope", "broken")), max_size=50),
)
def test_looking_in_loses_and_adds_nothing(kinds: list[str]) -> None:
    """Every record that was read is a search, seen, or counted as not looked into."""
    forms = {
        "noise": encode(noise(0)),
        "search": encode(SEARCH),
        "envelope": encode(eventbridge(noise(0))),
        "broken": b"{",
    }

    decoded = decode_records([forms[kind] for kind in kinds])

    parts = (decoded.relevant_count, len(decoded.seen), decoded.unseen_count)
    assert sum(parts) == decoded.record_count == len(kinds) - kinds.count("broken")
    assert set(decoded.seen) <= {SEEN}
    assert bool(decoded.seen) == bool({"noise", "envelope"} & set(kinds))

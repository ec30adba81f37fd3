"""Laws of log files, in which no record is refused for another."""

from __future__ import annotations

import json

import pytest

from amiguard_core.decode import decode_log_file, decode_records
from tests.core.specimens import (
    DEEP,
    IRRELEVANT,
    LAUNCH,
    NOISE,
    SEARCH,
    changed,
    counts,
    without,
)
from tests.data.shapes import Json, encode
from tests.data.variations import (
    eventbridge,
    lookup_event,
)


class TestLogFiles:
    """A log file is `{"Records": [...]}` or one record a line."""

    def test_every_form_of_a_log_file_reads_the_same(self) -> None:
        """As delivered, spread over lines, or one record a line: the same records."""
        records = [SEARCH, NOISE, LAUNCH]
        lines = [encode(each) for each in records]
        expected = decode_records(lines)

        assert expected == decode_log_file(encode({"Records": records}))
        assert expected == decode_log_file(json.dumps({"Records": records}, indent=2).encode())
        assert expected == decode_log_file(b"\n".join(lines))
        assert expected == decode_log_file(b"\r\n\r\n".join(lines) + b"\r\n")

    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_single_record_is_a_log_file_of_one(self, indent: int | None) -> None:
        """One record, on one line or spread over many, is one record a line."""
        text = json.dumps(SEARCH, indent=indent).encode()

        assert decode_records([encode(SEARCH)]) == decode_log_file(text)

    @pytest.mark.parametrize("text", [b'{"Records":[]}', b'{"Records": [ ] }\n', b"[]"])
    def test_a_log_file_may_be_empty(self, text: bytes) -> None:
        """No record is no refusal."""
        assert counts(decode_log_file(text)) == (0, 0, 0, 0)

    def test_lines_may_hold_envelopes(self) -> None:
        """What a forwarder writes a line at a time is opened like any input."""
        text = b"\n".join([encode(eventbridge(SEARCH)), encode(lookup_event(LAUNCH))])

        assert counts(decode_log_file(text)) == (1, 1, 0, 2)

    @pytest.mark.parametrize(
        "held",
        [
            {"Records": [SEARCH, LAUNCH]},
            {"Records": SEARCH},
            {"Records": [eventbridge(SEARCH), lookup_event(LAUNCH)]},
            {"Records": []},
            {"Records": {}},
            {"detail": {"Records": [SEARCH]}},
            eventbridge(SEARCH),
            lookup_event(SEARCH),
        ],
        ids=["array", "object", "envelopes", "none", "empty", "detail", "event", "item"],
    )
    def test_an_input_reads_the_same_alone_and_as_a_log_file(self, held: Json) -> None:
        """What holds records is opened, whichever way it is handed in."""
        as_record, as_file = decode_records([encode(held)]), decode_log_file(encode(held))

        assert as_record.searches == as_file.searches
        assert as_record.launches == as_file.launches
        assert len(as_record.rejections) == len(as_file.rejections)

    @pytest.mark.parametrize("form", ["array", "lines"])
    @pytest.mark.parametrize(
        "bad",
        [
            encode(changed(SEARCH, "eventTime", 5)),
            encode(without(NOISE, "eventName")),
            IRRELEVANT % b'"\xff"',
            encode({**SEARCH, "x": "@"}).replace(b"@", b"\xff"),
            IRRELEVANT % DEEP,
            b"5",
            b"null",
            b"true",
            b"{}",
        ],
        ids=[
            *("time", "no name", "bytes in noise", "bytes in search", "deep"),
            *("number", "null", "boolean", "object"),
        ],
    )
    def test_a_refusal_never_touches_the_rest_of_its_file(self, bad: bytes, form: str) -> None:
        """A bad record of a log file is rejected under its own index and fails no other."""
        records = [encode(SEARCH), bad, encode(LAUNCH)]
        text = b"\n".join(records)
        if form == "array":
            text = b'{"Records":[' + b",".join(records) + b"]}"

        decoded = decode_log_file(text)

        assert [each.index for each in decoded.rejections] == [1]
        assert [each.raw for each in decoded.rejections] == [bad]
        assert counts(decoded) == (1, 1, 1, 2)

    def test_a_line_that_is_no_json_fails_no_other(self) -> None:
        """One record a line: each line stands for itself."""
        text = b"\n".join([encode(SEARCH)[:-9], encode(SEARCH), b"oops", encode(LAUNCH)])

        decoded = decode_log_file(text)

        assert [each.index for each in decoded.rejections] == [0, 2]
        assert counts(decoded) == (1, 1, 2, 2)

    def test_a_file_cut_short_between_lines_keeps_what_is_whole(self) -> None:
        """The last line of a file that is being written is rejected, the others read."""
        decoded = decode_log_file(encode(SEARCH) + b"\n" + encode(LAUNCH)[:-9])

        assert counts(decoded) == (1, 0, 1, 1)

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"oops",
            b"oops\noops\n",
            json.dumps(SEARCH, indent=2).encode()[:-1],
            encode({"Records": None}),
            encode({"Records": "text"}),
            encode({"some": "thing else"}),
            b"\xff\xfe",
            DEEP,
        ],
    )
    def test_a_file_that_is_no_log_file_is_rejected_whole(self, text: bytes) -> None:
        """Input that cannot be taken apart is one rejection, with all of it kept."""
        decoded = decode_log_file(text)

        assert counts(decoded) == (0, 0, 1, 0)
        assert (decoded.rejections[0].index, decoded.rejections[0].raw) == (0, text)

    @pytest.mark.parametrize("cut", [1, 2, 3, 100])
    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_file_that_is_cut_short_is_said_to_be(self, cut: int, indent: int | None) -> None:
        """What is whole is read, and that something may be missing is one rejection more."""
        text = json.dumps({"Records": [SEARCH, LAUNCH, SEARCH]}, indent=indent).encode()[:-cut]

        decoded = decode_log_file(text)

        assert (len(decoded.searches), len(decoded.launches)) in {(1, 1), (2, 1)}
        last = decoded.rejections[-1]
        assert (last.path, last.raw) == ("$", text)
        assert "cut short" in last.message

    @pytest.mark.parametrize("form", ["array", "lines", "unsound"])
    def test_too_many_records_are_rejected_whole(self, form: str) -> None:
        """A file with more records than the limit is rejected; one at the limit is read."""
        lines = [encode(NOISE)] * 3
        text = {
            "array": b'{"Records":[' + b",".join(lines) + b"]}",
            "lines": b"\n".join(lines),
            "unsound": b'{"Records":[5,' + b",".join(lines[1:]) + b"]}",
        }[form]

        over, at = decode_log_file(text, max_records=2), decode_log_file(text, max_records=3)
        assert counts(over) == (0, 0, 1, 0)
        assert over.rejections[0].path == "$.Records"
        assert "got 3 records, wanted at most 2" in over.rejections[0].message
        assert at.record_count + len(at.rejections) == 3

    def test_too_many_records_inside_an_input_are_refused(self) -> None:
        """The limit holds for a log file inside an input too."""
        (rejection,) = decode_records([encode({"Records": [NOISE] * 3})], max_records=2).rejections

        assert (rejection.index, rejection.path) == (0, "$.Records")

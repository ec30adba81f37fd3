"""Laws of reading records that come in other clothes: variations and envelopes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.decode import decode_records
from tests.core.specimens import (
    LAUNCH,
    SEARCH,
    changed,
    counts,
    one_launch,
    one_search,
    refusal,
    without,
)
from tests.data.records import (
    describe_images,
    run_instances,
)
from tests.data.shapes import Json, Record, encode
from tests.data.strategies import encodings, launches, searches
from tests.data.variations import (
    eventbridge,
    flattened,
    lookup_event,
    panther,
    with_empty_values,
    with_null_sets,
    with_omitted_parameters,
    without_empty_sets,
)


class TestTolerated:
    """The real variations: each reads as the record AWS wrote."""

    @pytest.mark.parametrize(
        "form",
        [
            flattened,
            without_empty_sets,
            with_null_sets,
            with_empty_values,
            panther,
            lambda whole: dict(reversed(whole.items())),
            lambda whole: {**whole, "unknownField": {"deep": [1, None, {"x": 1e300}]}},
        ],
        ids=["flattened", "no sets", "null sets", "empty values", "panther", "order", "unknown"],
    )
    @pytest.mark.parametrize(
        "whole",
        [describe_images(), describe_images(filters={"name": ["a"]}), SEARCH],
        ids=["empty", "one", "full"],
    )
    def test_variations_of_a_search_read_the_same(
        self, whole: Record, form: Callable[[Record], Record]
    ) -> None:
        """Missing or null sets, one-item arrays as objects, empty value items, other times."""
        assert one_search(encode(whole)) == one_search(encode(form(whole)))

    @pytest.mark.parametrize("form", [flattened, panther], ids=["flattened", "panther"])
    @pytest.mark.parametrize("whole", [run_instances(), LAUNCH], ids=["one", "two"])
    def test_variations_of_a_launch_read_the_same(
        self, whole: Record, form: Callable[[Record], Record]
    ) -> None:
        """One-item arrays as objects and other times, in request and response."""
        assert one_launch(whole) == one_launch(form(whole))

    @pytest.mark.parametrize("empty", [None, {}, {"items": None}, {"items": []}, {"items": {}}])
    def test_an_empty_set_may_be_written_in_any_way(self, empty: Json | None) -> None:
        """Unset is `{}`; null and missing are accepted as well."""
        searched = describe_images(filters={"name": ["a"]})
        for name in ("ownersSet", "imagesSet", "executableBySet"):
            searched["requestParameters"][name] = empty

        assert one_search(encode(describe_images(filters={"name": ["a"]}))).request == (
            one_search(encode(searched)).request
        )

    @pytest.mark.parametrize("item", [{}, {"value": None}, {"value": ""}, None])
    def test_a_value_item_may_be_empty(self, item: Json | None) -> None:
        """A value item can be empty: the console writes `"items":[{}]`."""
        searched = describe_images(filters={"product-code": ["x"]})
        searched["requestParameters"]["filterSet"]["items"][0]["valueSet"] = {"items": [item]}

        assert one_search(encode(searched)).request.filters == ()

    def test_parameters_may_be_missing_or_null(self) -> None:
        """A search for anything at all asks for nothing."""
        null, missing = (
            changed(SEARCH, "requestParameters", None),
            without(SEARCH, "requestParameters"),
        )

        assert one_search(encode(null)).request == one_search(encode(missing)).request
        assert one_search(encode(describe_images())).request == one_search(encode(null)).request

    @pytest.mark.parametrize("omitted", [True, "true"])
    def test_omitted_parameters_are_known_as_such(self, omitted: object) -> None:
        """Parameters over 100 KB are omitted, and the search says so."""
        cut = changed(with_omitted_parameters(SEARCH), "requestParameters.omitted", omitted)

        assert one_search(encode(cut)).request.parameters_omitted

    @pytest.mark.parametrize("field", ["userAgent", "sourceIPAddress", "eventVersion", "eventType"])
    def test_fields_that_real_records_lack_may_be_missing(self, field: str) -> None:
        """Missing fields are real."""
        assert one_search(encode(without(SEARCH, field))).request == (
            one_search(encode(SEARCH)).request
        )

    def test_a_long_user_agent_is_cut(self) -> None:
        """CloudTrail itself cuts a userAgent at 1 KB."""
        chatty = changed(SEARCH, "userAgent", "x" * 5_000)

        assert one_search(encode(chatty)).origin.user_agent == "x" * 1_024

    def test_a_nul_in_a_user_agent_is_replaced(self) -> None:
        """The caller chooses its user agent, and cannot have its call refused by it."""
        odd = changed(SEARCH, "userAgent", "a\0b")

        assert one_search(encode(odd)).origin.user_agent == "a\N{REPLACEMENT CHARACTER}b"

    @pytest.mark.parametrize(
        "written",
        [
            "2026-03-02T09:00:00Z",
            "2026-03-02 09:00:00.000000000",
            "2026-03-02T09:00:00.999Z",
            "2026-03-02T09:00:00",
            "2026-03-02T09:00:00+00:00",
            "2026-03-02T14:30:00+05:30",
            "2026-03-02T03:00:00-0600",
        ],
    )
    def test_times_are_read_as_whole_seconds_of_utc(self, written: str) -> None:
        """Times have 1 s resolution; forwarders write spaces, fractions, and other zones."""
        time = one_search(encode(changed(SEARCH, "eventTime", written))).origin.event_time

        assert datetime(2026, 3, 2, 9, tzinfo=UTC) == time
        assert time.tzinfo is UTC

    def test_leading_zeros_of_an_account_are_real(self) -> None:
        """Always a string of 12 digits; leading zeros are real."""
        origin = one_search(encode(changed(SEARCH, "recipientAccountId", "000000000001"))).origin

        assert origin.account_id == "000000000001"

    @pytest.mark.parametrize("flag", [True, "true"])
    def test_flags_may_be_texts(self, flag: object) -> None:
        """Some deliveries write booleans as strings."""
        searched = changed(SEARCH, "requestParameters.includeDeprecated", flag)

        assert one_search(encode(searched)).request.include_deprecated

    def test_a_value_of_255_characters_is_taken(self) -> None:
        """255 characters are the most that EC2 takes."""
        longest = describe_images(filters={"x" * 255: ["y" * 255]})

        assert one_search(encode(longest)).request.values_of("x" * 255) == ("y" * 255,)


class TestEnvelopes:
    """An input that holds a record rather than being one is opened."""

    @given(searches() | launches(), st.data())
    def test_whatever_holds_a_record_it_is_the_same(
        self, whole: Record, data: st.DataObject
    ) -> None:
        """An EventBridge envelope, a LookupEvents item and the record itself read the same."""
        raw = data.draw(encodings(whole))

        plain, held = decode_records([encode(whole)]), decode_records([raw])
        assert plain == held

    @pytest.mark.parametrize(
        "held",
        [
            eventbridge(
                lookup_event(SEARCH) | {"eventTime": "", "recipientAccountId": ""} | SEARCH
            ),
            {"CloudTrailEvent": json.dumps(eventbridge(SEARCH))},
            {"detail": {"detail": {"detail": SEARCH}}},
            {"Records": [SEARCH]},
            {"Records": SEARCH},
            {"detail": {"Records": [SEARCH]}},
            {"CloudTrailEvent": json.dumps({"Records": [SEARCH]})},
        ],
    )
    def test_envelopes_may_hold_envelopes(self, held: Json) -> None:
        """A queue behind a bus makes two."""
        assert one_search(encode(SEARCH)) == one_search(encode(held))

    def test_envelopes_without_end_are_not_opened_without_end(self) -> None:
        """A few envelopes are opened, no more."""
        held: Json = SEARCH
        for _ in range(9):
            held = {"detail": held}

        assert refusal(encode(held)).startswith("$.detail")

    def test_records_of_a_nested_log_file_are_read_one_by_one(self) -> None:
        """A bad record of a log file inside an input fails no other."""
        bad = changed(SEARCH, "eventTime", 5)

        decoded = decode_records([encode({"Records": [SEARCH, bad, LAUNCH]})])

        assert counts(decoded) == (1, 1, 1, 2)
        assert decoded.rejections[0].path == "$.Records[1].eventTime"

    @pytest.mark.parametrize(
        ("raw", "path"),
        [
            (b"{}", "$"),
            (b'{"some":"thing else"}', "$"),
            (b'{"detail":{"state":"running"}}', "$.detail"),
            (b'{"detail":null}', "$.detail"),
            (b'{"detail":"text"}', "$.detail"),
            (b'{"CloudTrailEvent":{"eventName":"x"}}', "$.CloudTrailEvent"),
            (b'{"CloudTrailEvent":"no JSON"}', "$.CloudTrailEvent"),
            (b'{"CloudTrailEvent":"[]"}', "$.CloudTrailEvent"),
            (b'{"Records":5}', "$.Records"),
            (b'{"Records":[5]}', "$.Records[0]"),
            (b"[5]", "$[0]"),
            (b'"text"', "$"),
            (b"null", "$"),
            (b"5", "$"),
        ],
    )
    def test_an_unknown_envelope_is_refused(self, raw: bytes, path: str) -> None:
        """Anything else is rejected with the JSON path, never guessed."""
        assert path == refusal(raw)

    @pytest.mark.parametrize("wrap", [eventbridge, lookup_event])
    def test_a_refusal_inside_an_envelope_names_the_whole_path(
        self, wrap: Callable[[Record], Json]
    ) -> None:
        """The path leads from the input to the offending value."""
        bad = changed(SEARCH, "requestParameters.ownersSet.items.0.owner", 5)
        envelope = "detail" if wrap is eventbridge else "CloudTrailEvent"

        expected = f"$.{envelope}.requestParameters.ownersSet.items[0].owner"
        assert expected == refusal(encode(wrap(bad)))

"""Laws of the generated CloudTrail input that the tests, the demo and the bench stand on."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from datetime import timedelta
from importlib.resources import files as package_files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data import identities, launch_paths, records, variations
from tests.data.draws import Draws
from tests.data.log_files import event_time
from tests.data.noise import Scene, noise
from tests.data.records import NINE_O_CLOCK, UNAUTHORIZED, describe_images, run_instances
from tests.data.scenario import WINDOW_SECONDS, scenario
from tests.data.shapes import Record, encode
from tests.data.strategies import deliveries, record_sets

FIELD_ORDER = (
    "eventVersion",
    "userIdentity",
    "eventTime",
    "eventSource",
    "eventName",
    "awsRegion",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "vpcEndpointId",
    "eventCategory",
    "tlsDetails",
    "sessionCredentialFromConsole",
)
ALWAYS = frozenset(FIELD_ORDER[:8]) | {
    "requestParameters",
    "responseElements",
    "requestID",
    "eventID",
    "readOnly",
    "eventType",
    "managementEvent",
    "recipientAccountId",
    "eventCategory",
}
BY_NAME: records.Search = {"filters": {"name": ["acme-base-*"]}, "owners": ["self"]}

BUILDERS: tuple[Callable[..., Record], ...] = (
    describe_images,
    run_instances,
    launch_paths.create_launch_template,
    launch_paths.create_launch_template_version,
    launch_paths.create_launch_configuration,
    launch_paths.create_fleet,
    launch_paths.request_spot_instances,
    launch_paths.request_spot_fleet,
    variations.ecr_describe_images,
)
OF_SEARCHES: tuple[Callable[[Record], Record], ...] = (
    variations.flattened,
    variations.without_empty_sets,
    variations.with_null_sets,
    variations.with_empty_values,
    variations.with_omitted_parameters,
    variations.eventbridge,
    variations.lookup_event,
    variations.panther,
    variations.network_activity,
)


@pytest.mark.parametrize("build", BUILDERS)
def test_record_has_the_fields_of_aws_in_their_order(build: Callable[..., Record]) -> None:
    """Every record has the fields that all real ones have, and no field is out of its place."""
    made = build(error=UNAUTHORIZED, from_console=True, vpc_endpoint_id="vpce-1")

    places = [FIELD_ORDER.index(name) for name in made]
    assert places == sorted(places)
    assert made.keys() >= ALWAYS


@pytest.mark.parametrize("build", BUILDERS)
def test_same_call_is_the_same_record(build: Callable[..., Record]) -> None:
    """What is not given is derived, so that records are equal exactly when their calls are."""
    later = NINE_O_CLOCK + timedelta(seconds=1)

    assert build() == build()
    assert build()["eventID"] != build(at=later)["eventID"]
    assert build()["eventID"] != build(account="012345678901")["eventID"]


@pytest.mark.parametrize("build", BUILDERS)
def test_refused_call_has_no_response(build: Callable[..., Record]) -> None:
    """AWS writes an error code and no response for a call that it refused."""
    made = build(error=UNAUTHORIZED)

    assert (made["errorCode"], made["responseElements"]) == (UNAUTHORIZED.code, None)


def test_noise_has_the_size_of_real_records() -> None:
    """Noise records are between 1 and 2 KB, and about 1.5 KB in the mean."""
    draws = Draws(1)
    scene = Scene("111122223333", "eu-west-1", NINE_O_CLOCK)

    sizes = [len(encode(noise(draws, scene))) for _ in range(1_000)]
    assert min(sizes) > 1_000
    assert max(sizes) < 2_000
    assert 1_250 < sum(sizes) / len(sizes) < 1_650


def test_sets_not_asked_for_are_empty_objects() -> None:
    """A search without anything has its four sets, each of them empty."""
    made = describe_images()

    assert made["requestParameters"] == {
        "executableBySet": {},
        "imagesSet": {},
        "ownersSet": {},
        "filterSet": {},
    }


@pytest.mark.parametrize(
    ("launch", "requested", "launched"),
    [
        ({"image_id": "ami-1"}, "ami-1", "ami-1"),
        ({"image_id": None, "launched_image_id": "ami-1"}, None, "ami-1"),
        (
            {"image_id": "resolve:ssm:/web", "launched_image_id": "ami-1"},
            "resolve:ssm:/web",
            "ami-1",
        ),
        ({"image_id": None}, None, None),
    ],
)
def test_launch_names_its_image_where_asked(
    launch: records.Launch, requested: str | None, launched: str | None
) -> None:
    """Request and response name an image, another one, or none, whatever the launch came from."""
    of_two: records.Launch = {**launch, "instance_ids": ("i-1", "i-2")}
    made = run_instances(**of_two)

    asked = made["requestParameters"]["instancesSet"]["items"]
    started = made["responseElements"]["instancesSet"]["items"]
    assert [each.get("imageId") for each in asked] == [requested]
    assert [each.get("imageId") for each in started] == [launched, launched]
    assert [each["instanceId"] for each in started] == ["i-1", "i-2"]


def test_started_instance_has_only_fields_of_the_api() -> None:
    """Each field of a generated instance is one that the model of EC2's API knows."""
    model_file = package_files("botocore") / "data" / "ec2" / "2016-11-15" / "service-2.json.gz"
    model = json.loads(gzip.decompress(model_file.read_bytes()))["shapes"]
    known = {
        member.get("locationName", name) for name, member in model["Instance"]["members"].items()
    }
    made = run_instances(tags={"Name": "web"})

    (started,) = made["responseElements"]["instancesSet"]["items"]
    assert started.keys() <= known


@pytest.mark.parametrize(
    "identity",
    [identities.aws_service("ec2.amazonaws.com"), identities.other_account("111122223333")],
)
def test_services_and_strangers_have_no_principal(identity: identities.Identity) -> None:
    """A service, and a caller known by account alone, have no ARN."""
    made = describe_images(identity=identity, account="111122223333")

    assert "arn" not in made["userIdentity"]
    assert made["recipientAccountId"] == "111122223333"


def test_only_the_issuer_has_the_path_of_a_role() -> None:
    """The ARN of a session lacks the path that the ARN of its role has."""
    identity = identities.assumed_role("111122223333", "ci", session="one", path="/build/")

    assert identity["arn"] == "arn:aws:sts::111122223333:assumed-role/ci/one"
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert issuer["arn"] == "arn:aws:iam::111122223333:role/build/ci"


@pytest.mark.parametrize("vary", OF_SEARCHES)
def test_variation_leaves_its_record_alone(vary: Callable[[Record], Record]) -> None:
    """A variation is another value: the record it was made of is as before."""
    whole = describe_images(**BY_NAME)
    before = deepcopy(whole)

    assert vary(whole) != whole
    assert whole == before


def test_variations_of_sets_are_those_seen() -> None:
    """Sets come flattened, missing, null or with an empty member."""
    whole = describe_images(**BY_NAME)
    name_filter = {"name": "name", "valueSet": {"items": {"value": "acme-base-*"}}}

    assert variations.flattened(whole)["requestParameters"]["filterSet"] == {"items": name_filter}
    missing = variations.without_empty_sets(whole)["requestParameters"]
    assert sorted(missing) == ["filterSet", "ownersSet"]
    assert variations.with_null_sets(whole)["requestParameters"]["imagesSet"] is None
    filters = variations.with_empty_values(whole)["requestParameters"]["filterSet"]["items"]
    assert [each["valueSet"]["items"] for each in filters] == [[{"value": "acme-base-*"}, {}]]
    assert variations.with_omitted_parameters(whole)["requestParameters"]["omitted"] is True


def test_envelopes_carry_the_record() -> None:
    """An EventBridge event and a LookupEvents item hold the whole record."""
    whole = describe_images(**BY_NAME)

    assert variations.eventbridge(whole)["detail"] == whole
    assert json.loads(variations.lookup_event(whole)["CloudTrailEvent"]) == whole


def test_panther_writes_its_own_times() -> None:
    """Panther drops the `T` and the `Z` of a time and adds nanoseconds."""
    whole = describe_images(**BY_NAME)

    assert variations.panther(whole)["eventTime"] == "2026-03-02 09:00:00.000000000"


def test_decoys_share_only_the_name() -> None:
    """An Insights record names RunInstances and ecr has a DescribeImages; neither is ec2's call."""
    about = variations.insight()
    container = variations.ecr_describe_images()

    assert (about["eventName"], about["eventType"]) == ("RunInstances", "AwsCloudTrailInsight")
    assert (container["eventName"], container["eventSource"]) == (
        "DescribeImages",
        "ecr.amazonaws.com",
    )


def test_scenario_is_its_seed() -> None:
    """The same seed gives the same records, another seed others."""
    assert scenario(7) == scenario(7)
    assert scenario(7) != scenario(8)


@pytest.mark.parametrize("sizes", [(0, 0, 0), (0, 3, 0), (1, 30, 5), (40, 26, 100)])
def test_scenario_has_the_sizes_asked_for(sizes: tuple[int, int, int]) -> None:
    """Searches, launches and noise are as many as asked for, each with an event id of its own."""
    searches, launches, other = sizes

    made = scenario(3, accounts=3, searches=searches, launches=launches, noise=other)
    counts = Counter(record["eventName"] for record in made if record["eventSource"] == records.EC2)
    assert counts["DescribeImages"] == searches
    assert counts["RunInstances"] == launches
    assert len({record["eventID"] for record in made}) == sum(sizes)


@pytest.mark.parametrize("seed", range(5))
def test_scenario_holds_pairs_and_near_misses(seed: int) -> None:
    """Launches follow unsafe searches at every edge of the window, and just miss it."""
    made = scenario(seed, searches=40, launches=130, noise=0)

    gaps = set(_gaps(made))
    assert gaps >= {-1, 0, 1, 60, 61, WINDOW_SECONDS, WINDOW_SECONDS + 1}
    for elsewhere in ("account", "region", "principal"):
        same = [each for each in ("account", "region", "principal") if each != elsewhere]
        assert 45 in set(gaps_seconds(made, same=same)), elsewhere
    assert any("errorCode" in record for record in made if record["eventName"] == "RunInstances")


@given(record_sets())
@settings(max_examples=200, deadline=None)
def test_event_id_names_one_record_of_an_account(drawn: list[Record]) -> None:
    """Drawn records with one account and event id are one record, so that their set is a set."""
    named = [(r["recipientAccountId"], r["eventID"], encode(r)) for r in drawn if "eventID" in r]

    assert len({key[:2] for key in named}) == len(set(named))


def test_drawn_records_meet() -> None:
    """Pairs, ties, repeats, the edge of the window, shared and missing ids all occur often."""
    met: Counter[str] = Counter()

    @given(record_sets())
    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    def count(drawn: list[Record]) -> None:
        gaps = _gaps(drawn)
        ids = {(record["recipientAccountId"], record.get("eventID")) for record in drawn}
        met["pair"] += any(gap >= 0 for gap in gaps)
        met["edge"] += WINDOW_SECONDS in gaps
        met["just too late"] += WINDOW_SECONDS + 1 in gaps
        met["tie"] += _has_tie(drawn)
        met["repeat"] += len(set(map(encode, drawn))) < len(drawn)
        met["no event id"] += any(event_id is None for _, event_id in ids)
        met["shared event id"] += len({event_id for _, event_id in ids}) < len(ids)

    count()
    assert {what: often >= 5 for what, often in met.items()} == dict.fromkeys(met, True)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_deliveries_bring_every_record(data: st.DataObject) -> None:
    """However drawn records are encoded, split and repeated, their set arrives and nothing else."""
    drawn = data.draw(record_sets())

    batches = data.draw(deliveries(drawn))
    arrived = [opened(json.loads(each)) for batch in batches for each in batch]
    assert {canonical(record) for record in arrived} == {canonical(record) for record in drawn}


def gaps_seconds(made: Iterable[Record], *, same: Sequence[str]) -> list[float]:
    """Returns the gaps from every search to every launch that agree in what must be the same."""
    read_off: dict[str, Callable[[Record], Any]] = {
        "account": lambda record: record["recipientAccountId"],
        "region": lambda record: record["awsRegion"],
        "principal": lambda record: record["userIdentity"]["arn"],
    }
    called = [
        r for r in made if r["eventSource"] == records.EC2 and "arn" in r.get("userIdentity", {})
    ]
    done = [r for r in called if "errorCode" not in r]
    return [
        (event_time(launch) - event_time(search)).total_seconds()
        for search in done
        if search["eventName"] == "DescribeImages"
        for launch in done
        if launch["eventName"] == "RunInstances"
        and all(read_off[each](search) == read_off[each](launch) for each in same)
    ]


def opened(arrived: dict[str, Any]) -> Record:
    """Returns the record inside an envelope, or the record itself."""
    if "detail" in arrived:
        return dict(arrived["detail"])
    if "CloudTrailEvent" in arrived:
        return dict(json.loads(arrived["CloudTrailEvent"]))
    return arrived


def canonical(record: Record) -> str:
    """Returns the record whatever the order of its fields."""
    return json.dumps(record, sort_keys=True)


def _gaps(drawn: list[Record]) -> list[float]:
    return gaps_seconds(drawn, same=("account", "region", "principal"))


def _has_tie(drawn: list[Record]) -> bool:
    """Tells whether two searches of one principal and second wait for one launch."""
    different = list({encode(record): record for record in drawn}.values())
    done = [r for r in different if "errorCode" not in r and r["eventSource"] == records.EC2]
    searches = [r for r in done if r["eventName"] == "DescribeImages"]
    by_second = Counter(
        (r["recipientAccountId"], r["awsRegion"], r["userIdentity"].get("arn"), r["eventTime"])
        for r in searches
    )
    return any(
        by_second[
            search["recipientAccountId"],
            search["awsRegion"],
            search["userIdentity"].get("arn"),
            search["eventTime"],
        ]
        > 1
        and any(gap >= 0 for gap in _gaps([search, launch]))
        for search in searches
        for launch in done
        if launch["eventName"] == "RunInstances"
    )

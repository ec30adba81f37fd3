"""Laws of reading records: what is a search or a launch, and what is read of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from amiguard_core.decode import decode_log_file, decode_records
from amiguard_core.events import LaunchPath, TemplateVersion
from tests.core.specimens import (
    ALL_PATHS,
    LAUNCH,
    NOISE,
    SEARCH,
    changed,
    counts,
    one_launch,
    one_search,
    without,
)
from tests.data import identities
from tests.data.launch_paths import (
    create_fleet,
    create_launch_configuration,
    create_launch_template,
    create_launch_template_version,
    request_spot_fleet,
    request_spot_instances,
    template_tags,
)
from tests.data.records import (
    ACCOUNT,
    DRY_RUN,
    IMAGE_ID,
    NINE_O_CLOCK,
    REGION,
    UNAUTHORIZED,
    ApiError,
    describe_images,
    run_instances,
)
from tests.data.shapes import Json, Record, encode
from tests.data.variations import (
    ecr_describe_images,
    eventbridge,
    flattened,
    insight,
    lookup_event,
)


class TestWhatIsRead:
    """Section 3: which records are searches and launches, and what is read of them."""

    def test_a_search_is_read_in_full(self) -> None:
        """A search is a successful ec2 DescribeImages: who, where, when and what was asked."""
        search = one_search(encode(SEARCH))

        assert SEARCH["eventID"] == search.origin.event_id
        assert search.origin.event_time == NINE_O_CLOCK
        assert (search.origin.account_id, search.origin.region) == (ACCOUNT, REGION)
        assert SEARCH["userIdentity"]["arn"] == search.origin.principal_arn
        assert SEARCH["userAgent"] == search.origin.user_agent
        assert SEARCH["sourceIPAddress"] == search.origin.source_ip_address
        assert search.request.values_of("name") == ("acme-base-*",)
        assert search.request.owners == ("self",)
        assert search.request.image_ids == ("ami-1",)
        assert search.request.executable_by == ("all",)
        assert search.request.include_deprecated
        assert search.request.fingerprint() == search.fingerprint

    def test_a_launch_is_read_in_full(self) -> None:
        """A launch is a successful RunInstances: who, where, when, and what it started."""
        launch = one_launch(LAUNCH)

        assert launch.path is LaunchPath.RUN_INSTANCES
        assert launch.image_ids == (IMAGE_ID,)
        assert launch.instance_ids == ("i-1", "i-2")
        assert not launch.through_parameter

    def test_other_services_share_the_name_only(self) -> None:
        """Gate on `eventSource`: ecr also has a `DescribeImages`."""
        assert counts(decode_records([encode(ecr_describe_images())])) == (0, 0, 0, 1)

    @pytest.mark.parametrize("source", ["EC2.amazonaws.com", "gamelift.amazonaws.com", "ec2"])
    def test_event_source_must_be_exactly_ec2(self, source: str) -> None:
        """`eventSource == "ec2.amazonaws.com"` and nothing like it."""
        other = changed(LAUNCH, "eventSource", source)

        assert counts(decode_records([encode(other)])) == (0, 0, 0, 1)

    def test_an_insight_record_is_ignored(self) -> None:
        """Ignore `eventType == "AwsCloudTrailInsight"`: nobody called anything."""
        assert counts(decode_records([encode(insight())]))[:3] == (0, 0, 0)

    @pytest.mark.parametrize("wrap", [lambda whole: whole, eventbridge], ids=["plain", "event"])
    def test_an_insight_record_as_aws_writes_it_is_ignored(
        self, wrap: Callable[[Record], Record]
    ) -> None:
        """AWS writes the call of an Insight record inside `insightDetails` and nowhere else."""
        raw = encode(wrap(insight()))
        held = json.loads(raw)
        for place in (held, held.get("detail", {})):
            place.pop("eventName", None)
            place.pop("eventSource", None)

        decoded = decode_records([json.dumps(held).encode(), encode(SEARCH)])

        assert counts(decoded)[:3] == (1, 0, 0)

    @pytest.mark.parametrize("error", [UNAUTHORIZED, DRY_RUN, ApiError("RequestExpired", "late")])
    def test_a_refused_call_is_counted_and_is_neither(self, error: ApiError) -> None:
        """A record with an `errorCode` is neither search nor launch. Count it."""
        refused = [describe_images(error=error), run_instances(error=error)]

        decoded = decode_records([encode(each) for each in refused])

        assert counts(decoded) == (0, 0, 0, 2)
        assert decoded.failed_count == 2

    def test_an_empty_error_code_is_no_error(self) -> None:
        """Absent, null and empty are the same."""
        records = [changed(SEARCH, "errorCode", code) for code in (None, "")]

        assert counts(decode_records([encode(each) for each in records])) == (2, 0, 0, 2)

    def test_errors_of_other_calls_are_not_counted(self) -> None:
        """Only searches and launches that AWS refused count as failed."""
        assert decode_records([encode(changed(NOISE, "errorCode", "x"))]).failed_count == 0

    def test_relevant_count_is_of_searches_and_launches(self) -> None:
        """What the rule has no interest in is read and counted, and goes no further."""
        decoded = decode_records([encode(each) for each in (SEARCH, NOISE, LAUNCH, SEARCH)])

        assert (decoded.relevant_count, decoded.record_count) == (3, 4)

    def test_event_id_is_the_record_s(self) -> None:
        """Identity of a record: its `eventID`, whatever else the copies say."""
        copy = changed(SEARCH, "userAgent", "another")

        assert one_search(encode(SEARCH)).origin.event_id == SEARCH["eventID"]
        assert one_search(encode(copy)).origin.event_id == SEARCH["eventID"]

    @pytest.mark.parametrize("empty", [None, ""])
    def test_without_event_id_the_content_is_the_identity(self, empty: str | None) -> None:
        """No eventID: SHA-256 of the canonical JSON, in whatever order the keys come."""
        nameless = changed(SEARCH, "eventID", empty)
        turned = dict(reversed(nameless.items()))
        other = changed(nameless, "requestID", "another")

        event_id = one_search(encode(nameless)).origin.event_id
        assert len(event_id) == 64
        assert event_id == one_search(encode(turned)).origin.event_id
        assert event_id == one_search(json.dumps(nameless, indent=2).encode()).origin.event_id
        assert event_id == one_search(encode(eventbridge(nameless))).origin.event_id
        assert event_id == one_search(encode(lookup_event(nameless))).origin.event_id
        assert event_id != one_search(encode(other)).origin.event_id

    def test_account_is_that_of_the_recipient(self) -> None:
        """`account` = `recipientAccountId`, else `userIdentity.accountId`."""
        both = changed(SEARCH, "recipientAccountId", "012345678901")
        caller_alone = without(SEARCH, "recipientAccountId")
        empty = changed(SEARCH, "recipientAccountId", "")

        assert one_search(encode(both)).origin.account_id == "012345678901"
        assert one_search(encode(caller_alone)).origin.account_id == ACCOUNT
        assert one_search(encode(empty)).origin.account_id == ACCOUNT

    def test_actor_of_a_session_is_its_role(self) -> None:
        """Actor: the role for an assumed role, else the principal."""
        role, user = one_launch(LAUNCH).origin, one_search(encode(SEARCH)).origin

        assert role.actor_arn == f"arn:aws:iam::{ACCOUNT}:role/ci/ci"
        assert role.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/one"
        assert user.actor_arn == user.principal_arn

    def test_issuer_of_a_federated_user_is_not_the_actor(self) -> None:
        """Only a role stands behind its sessions; a federated user acts as itself."""
        federated = describe_images(identity=identities.federated_user(ACCOUNT, "contractor"))
        origin = one_search(encode(federated)).origin

        assert origin.principal_arn == origin.actor_arn

    def test_session_without_an_issuer_acts_as_itself(self) -> None:
        """Where nobody recorded the role, the principal is whom a person would talk to."""
        whole = identities.assumed_role(ACCOUNT, "ci", session="one")
        origin = one_search(encode(describe_images(identity=without(whole, "sessionContext"))))

        assert origin.origin.actor_arn == whole["arn"]

    @pytest.mark.parametrize(
        "identity",
        [
            identities.aws_service("autoscaling.amazonaws.com"),
            identities.other_account("012345678901"),
            {},
        ],
    )
    def test_a_record_that_names_nobody_is_counted(self, identity: Json) -> None:
        """No principal: cannot be correlated by principal; count it."""
        records = [
            changed(describe_images(), "userIdentity", identity),
            changed(run_instances(), "userIdentity", identity),
            changed(NOISE, "userIdentity", identity),
        ]

        decoded = decode_records([encode(each) for each in records])

        assert counts(decoded) == (1, 1, 0, 3)
        assert decoded.unidentified_count == 2

    def test_a_session_that_names_its_role_alone_is_counted(self) -> None:
        """No principal: cannot be correlated by principal; count it."""
        whole = identities.assumed_role(ACCOUNT, "ci", session="one")
        redacted = describe_images(identity=without(whole, "arn"))

        assert decode_records([encode(redacted)]).unidentified_count == 1

    def test_a_record_without_user_identity_is_counted(self) -> None:
        """Of 38,326 public records 89 have no `userIdentity` at all."""
        decoded = decode_records([encode(without(SEARCH, "userIdentity"))])

        assert (len(decoded.searches), decoded.unidentified_count) == (1, 1)

    def test_a_record_of_no_account_is_counted(self) -> None:
        """Without an account nothing can be correlated."""
        nameless = without(SEARCH, "recipientAccountId")
        del nameless["userIdentity"]["accountId"]

        decoded = decode_records([encode(nameless)])

        assert (len(decoded.searches), decoded.unidentified_count) == (1, 1)


class TestImagesOfALaunch:
    """Section 3 and 8: where the image ids of a launch stand."""

    def test_response_comes_before_request(self) -> None:
        """Image ids: the response's, else the request's."""
        launch = one_launch(run_instances(image_id="ami-asked", launched_image_id="ami-started"))

        assert launch.image_ids == ("ami-started",)

    def test_request_stands_in_for_a_silent_response(self) -> None:
        """The request names the image where the response does not."""
        silent = run_instances(image_id="ami-asked", launched_image_id=None)
        missing = changed(run_instances(image_id="ami-asked"), "responseElements", None)

        assert one_launch(silent).image_ids == ("ami-asked",)
        assert one_launch(missing).image_ids == ("ami-asked",)

    def test_parameter_is_kept_beside_the_image_it_resolved_to(self) -> None:
        """A request id may be `resolve:ssm:...`; the response says what came of it."""
        resolved = one_launch(
            run_instances(image_id="resolve:ssm:/golden", launched_image_id="ami-1")
        )
        unresolved = one_launch(run_instances(image_id="resolve:ssm:/golden"))

        assert (resolved.image_ids, resolved.through_parameter) == (("ami-1",), True)
        assert unresolved.image_ids == ("resolve:ssm:/golden",)

    def test_no_id_at_all_is_legal(self) -> None:
        """No id at all is legal (launch template): the launch still counts."""
        launch = one_launch(
            run_instances(
                image_id=None,
                launched_image_id=None,
                launch_template={"launchTemplateId": "lt-1", "version": "1"},
            )
        )

        assert launch.image_ids == ()

    def test_omitted_parts_leave_the_other(self) -> None:
        """Parts over 100 KB are omitted; what is left is read."""
        cut = {"omitted": True, "originalSize": 131_072, "reason": "too large"}
        request = changed(run_instances(launched_image_id="ami-1"), "requestParameters", cut)
        response = changed(run_instances(image_id="ami-2"), "responseElements", cut)

        assert one_launch(request).image_ids == ("ami-1",)
        assert one_launch(response).image_ids == ("ami-2",)

    @pytest.mark.parametrize(
        ("launched", "path"),
        [
            (create_launch_template(image_id="ami-1"), LaunchPath.CREATE_LAUNCH_TEMPLATE),
            (
                create_launch_template_version(image_id="ami-1"),
                LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION,
            ),
            (request_spot_instances(image_id="ami-1"), LaunchPath.REQUEST_SPOT_INSTANCES),
            (request_spot_fleet(image_ids=["ami-1"]), LaunchPath.REQUEST_SPOT_FLEET),
            (create_fleet(image_ids=["ami-1"]), LaunchPath.CREATE_FLEET),
            (create_launch_configuration(image_id="ami-1"), LaunchPath.CREATE_LAUNCH_CONFIGURATION),
        ],
    )
    @pytest.mark.parametrize("form", [lambda whole: whole, flattened], ids=["whole", "flattened"])
    def test_other_paths_are_read_when_asked_for(
        self, launched: Record, path: LaunchPath, form: Callable[[Record], Record]
    ) -> None:
        """Section 8: other ways to consume an image id, off by default."""
        launch = one_launch(form(launched))

        assert (launch.path, launch.image_ids) == (path, ("ami-1",))
        assert counts(decode_records([encode(form(launched))])) == (0, 0, 0, 1)

    @pytest.mark.parametrize("launched", [create_fleet, request_spot_fleet])
    def test_every_image_of_a_fleet_is_read(self, launched: Callable[..., Record]) -> None:
        """A fleet may name many images, or none."""
        assert one_launch(launched(image_ids=["ami-2", "ami-1"])).image_ids == ("ami-1", "ami-2")
        assert one_launch(launched(image_ids=[])).image_ids == ()

    def test_spot_specifications_may_be_a_bare_array(self) -> None:
        """No real record was found: the array may stand with or without `items`."""
        bare = request_spot_fleet()
        bare["requestParameters"]["spotFleetRequestConfig"]["launchSpecifications"] = [
            {"imageId": "ami-1"},
            {"imageId": "ami-2"},
        ]

        assert one_launch(bare).image_ids == ("ami-1", "ami-2")

    def test_a_template_may_name_a_parameter(self) -> None:
        """ImageId in templates may be `resolve:ssm:<name>`."""
        launch = one_launch(create_launch_template(image_id="resolve:ssm:/golden"))

        assert launch.through_parameter

    @pytest.mark.parametrize("form", [lambda whole: whole, flattened], ids=["whole", "flattened"])
    @pytest.mark.parametrize(
        ("whole", "version"),
        [
            (create_launch_template(), "1"),
            (create_launch_template_version(version=7), "7"),
            (run_instances(tags=template_tags(version=7)), "7"),
            (
                run_instances(
                    tags={"Name": "web", **template_tags(version=7)}, instance_ids=["i-1", "i-2"]
                ),
                "7",
            ),
            (run_instances(tags={"aws:ec2launchtemplate:id": "lt-1"}), None),
            (run_instances(launch_template={"launchTemplateId": "lt-1", "version": "1"}), None),
            (create_fleet(), None),
        ],
    )
    def test_template_is_that_of_the_response(
        self, whole: Record, version: str | None, form: Callable[[Record], Record]
    ) -> None:
        """What was made, or what instances carry in tags; a request may say `$Latest`."""
        launch = one_launch(form(whole))

        name = template_tags()["aws:ec2launchtemplate:id"]
        assert launch.template == (None if version is None else TemplateVersion(name, version))
        pins = launch.path is not LaunchPath.RUN_INSTANCES
        assert launch.is_pin == (version is not None and pins)
        assert launch.is_from_template == (version is not None and not pins)

    def test_paths_that_do_not_count_are_kept_apart_when_asked_for(self) -> None:
        """They are other records by every count; what cannot be read of them is passed by."""
        failed = create_launch_template(error=UNAUTHORIZED)
        given = [
            *(run_instances(), create_launch_template(), create_fleet(), failed),
            changed(create_launch_configuration(), "requestParameters", 5),
            eventbridge(changed(request_spot_instances(), "eventTime", "soon")),
        ]
        raw = [encode(each) for each in given]
        paths = [path for path in LaunchPath if path is not LaunchPath.CREATE_FLEET]

        plain, apart = decode_records(raw), decode_records(raw, other_paths=paths)
        file = decode_log_file(b'{"Records":[' + b",".join(raw) + b"]}", other_paths=paths)

        assert apart.other_launches == [one_launch(create_launch_template())]
        assert (apart.launches, counts(apart)) == (plain.launches, counts(plain))
        assert apart.rejections == plain.rejections == []
        assert file.other_launches == apart.other_launches
        assert (apart.relevant_count, apart.waiting_count) == (1, 2)

    @pytest.mark.parametrize("lost", [None, {}, {"omitted": True}])
    def test_response_that_is_lost_leaves_no_template(self, lost: object) -> None:
        """CloudTrail leaves out responses over 100 KB; the launch still counts."""
        cut = changed(run_instances(tags=template_tags()), "responseElements", lost)

        assert one_launch(cut).template is None

    @pytest.mark.parametrize(
        "launched", [create_launch_template(), create_launch_template_version(), create_fleet()]
    )
    def test_launch_configuration_is_a_call_of_autoscaling(self, launched: Record) -> None:
        """Each call has its own service; a namesake elsewhere is another call."""
        elsewhere = changed(launched, "eventSource", "autoscaling.amazonaws.com")
        ours = changed(create_launch_configuration(), "eventSource", "ec2.amazonaws.com")

        decoded = decode_records([encode(elsewhere), encode(ours)], launch_paths=ALL_PATHS)

        assert counts(decoded) == (0, 0, 0, 2)

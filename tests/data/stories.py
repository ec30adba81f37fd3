"""What happens in the demo's trail: nine stories, each with the finding it makes, if any."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from tests.data import agents, identities
from tests.data.draws import Draws
from tests.data.records import (
    NINE_O_CLOCK,
    VCPU_LIMIT,
    ApiError,
    Caller,
    Launch,
    Search,
    describe_images,
    run_instances,
)
from tests.data.scenario import FOCAL, WINDOW_SECONDS
from tests.data.shapes import Record

SANDBOX: Final = "111122223333"
PRODUCTION: Final = "012345678901"
REGIONS: Final = ("eu-west-1", "us-east-1")


@dataclass(frozen=True, slots=True)
class ExpectedFinding:
    """What the rule finds in the demo, with its default policy."""

    account_id: str
    region: str
    actor_arn: str
    name_patterns: tuple[str, ...]
    client: str
    likelihood: str
    likelihood_score: int
    occurrence_count: int
    # The code with which the rule sets the finding aside.
    suppression: str | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """Records that belong together, and the finding they make, if any."""

    records: tuple[Record, ...]
    finding: ExpectedFinding | None = None
    lags: Mapping[str, timedelta] = field(default_factory=dict)


def _by(identity: identities.Identity, user_agent: str, *, region: str = REGIONS[0]) -> Caller:
    return {
        "identity": identity,
        "user_agent": user_agent,
        "region": region,
        "source_ip": "198.51.100.24",
    }


def _search(draws: Draws, by: Caller, asked: Search, *, minute: float) -> Record:
    at = NINE_O_CLOCK + timedelta(minutes=minute)
    search: Search = {**asked, **by, "at": at, "event_id": draws.uuid()}
    return describe_images(**search)


def _launch(
    draws: Draws,
    by: Caller,
    *,
    minute: float,
    instances: int = 1,
    error: ApiError | None = None,
) -> Record:
    image: Launch = {"image_id": draws.resource_id("ami"), "error": error}
    launch: Launch = {
        **image,
        **by,
        "at": NINE_O_CLOCK + timedelta(minutes=minute),
        "event_id": draws.uuid(),
        "instance_ids": [draws.resource_id("i") for _ in range(instances)],
    }
    return run_instances(**launch)


def _documented_example(draws: Draws) -> Story:
    """Tells of a person who follows a tutorial: name filter, no owner, launch of the newest."""
    alice = identities.iam_user(SANDBOX, "alice")
    asked: Search = {"filters": {"name": [FOCAL]}}
    look = _by(alice, agents.aws_cli_v2("ec2.describe-images"))
    run = _by(alice, agents.aws_cli_v2("ec2.run-instances"))
    return Story(
        records=(
            _search(draws, look, asked, minute=12),
            _launch(draws, run, minute=12.7),
        ),
        finding=ExpectedFinding(
            account_id=SANDBOX,
            region=REGIONS[0],
            actor_arn=alice["arn"],
            name_patterns=(FOCAL,),
            client="aws-cli",
            likelihood="HIGH",
            likelihood_score=85,
            occurrence_count=1,
        ),
    )


def _terraform_ci(draws: Draws) -> Story:
    """Tells of a pipeline whose module names no owner: two runs, one role, one finding."""
    pattern = "acme-base-*"
    asked: Search = {"filters": {"name": [pattern], "state": ["available"]}}
    records: list[Record] = []
    for minute, session in ((31, "run-1041"), (118, "run-1042")):
        identity = identities.assumed_role(PRODUCTION, "terraform-ci", session=session, path="/ci/")
        by = _by(identity, agents.TERRAFORM)
        records += [
            _search(draws, by, asked, minute=minute),
            _launch(draws, by, minute=minute + 3, instances=2),
        ]
    return Story(
        records=tuple(records),
        finding=ExpectedFinding(
            account_id=PRODUCTION,
            region=REGIONS[0],
            actor_arn=f"arn:aws:iam::{PRODUCTION}:role/ci/terraform-ci",
            name_patterns=(pattern,),
            client="terraform",
            likelihood="MEDIUM",
            likelihood_score=50,
            occurrence_count=2,
        ),
    )


def _exact_name(draws: Draws) -> Story:
    """Tells of a script that asks for one exact name, which any account may use as well."""
    name = "acme-bastion-2026.02.11"
    bob = identities.iam_user(PRODUCTION, "bob", path="/ops/", with_mfa=True)
    by = _by(bob, agents.BOTO3, region=REGIONS[1])
    return Story(
        records=(
            _search(draws, by, {"filters": {"name": [name]}}, minute=47),
            _launch(draws, by, minute=47.1),
        ),
        finding=ExpectedFinding(
            account_id=PRODUCTION,
            region=REGIONS[1],
            actor_arn=bob["arn"],
            name_patterns=(name,),
            client="boto3",
            likelihood="MEDIUM",
            likelihood_score=40,
            occurrence_count=1,
        ),
    )


def _tagged_search(draws: Draws) -> Story:
    """Tells of a playbook that also asks for a tag, which only the account itself can have set."""
    pattern = "acme-worker-*"
    deploy = identities.web_identity_role(
        SANDBOX, "deploy", session="GitHubActions", provider="token.actions.githubusercontent.com"
    )
    by = _by(deploy, agents.ANSIBLE)
    asked: Search = {"filters": {"name": [pattern], "tag:Team": ["platform"]}}
    return Story(
        records=(_search(draws, by, asked, minute=64), _launch(draws, by, minute=66)),
        finding=ExpectedFinding(
            account_id=SANDBOX,
            region=REGIONS[0],
            actor_arn=f"arn:aws:iam::{SANDBOX}:role/deploy",
            name_patterns=(pattern,),
            client="ansible",
            likelihood="LOW",
            likelihood_score=25,
            occurrence_count=1,
        ),
    )


def _packer_prevalidation(draws: Draws) -> Story:
    """Tells of Packer, which first asks whether the name of its new image is still free."""
    name = "acme-web-2026.03.02"
    role = identities.instance_role(SANDBOX, "packer", instance_id="i-0c0ffee0c0ffee0c0")
    by = _by(role, agents.PACKER)
    source: Search = {"filters": {"name": [FOCAL]}, "owners": ["099720109477"]}
    return Story(
        records=(
            _search(draws, by, {"filters": {"name": [name]}}, minute=80),
            _search(draws, by, source, minute=80.05),
            _launch(draws, by, minute=80.5),
        ),
        finding=ExpectedFinding(
            account_id=SANDBOX,
            region=REGIONS[0],
            actor_arn=f"arn:aws:iam::{SANDBOX}:role/packer",
            name_patterns=(name,),
            client="packer",
            likelihood="MEDIUM",
            likelihood_score=40,
            occurrence_count=1,
            suppression="PACKER_PREVALIDATION",
        ),
    )


def _late_search(draws: Draws) -> Story:
    """Tells of a search that is delivered a quarter of an hour after the launch it led to."""
    pattern = "al2023-ami-2023.*-x86_64"
    role = identities.assumed_role(PRODUCTION, "scaler", session="nightly")
    by = _by(role, agents.BOTO3)
    search = _search(draws, by, {"filters": {"name": [pattern]}}, minute=95)
    launch = _launch(draws, by, minute=97)
    return Story(
        records=(search, launch),
        finding=ExpectedFinding(
            account_id=PRODUCTION,
            region=REGIONS[0],
            actor_arn=f"arn:aws:iam::{PRODUCTION}:role/scaler",
            name_patterns=(pattern,),
            client="boto3",
            likelihood="HIGH",
            likelihood_score=85,
            occurrence_count=1,
        ),
        lags={
            search["eventID"]: timedelta(minutes=20),
            launch["eventID"]: timedelta(minutes=1),
        },
    )


def _safe_search(draws: Draws) -> Story:
    """Tells of somebody who says whose image it is to be."""
    role = identities.assumed_role(
        SANDBOX,
        "AWSReservedSSO_PowerUser_0f1e2d3c4b5a6978",
        session="carol@example.com",
        path=identities.SSO_PATH,
    )
    by = _by(role, agents.aws_cli_v2("ec2.describe-images"))
    asked: Search = {"filters": {"name": [FOCAL]}, "owners": ["099720109477"]}
    return Story((_search(draws, by, asked, minute=102), _launch(draws, by, minute=103)))


def _console_pages(draws: Draws) -> Story:
    """Tells of the console, which pages through every image and asks for no name at all."""
    by = _by(identities.root(PRODUCTION), agents.CONSOLE_INTERNAL, region=REGIONS[1])
    pages: list[Search] = [{"max_results": 1000}]
    pages += [{"max_results": 1000, "next_token": draws.token(40)} for _ in range(4)]
    looks = [_search(draws, by, page, minute=140) for page in pages]
    return Story((*looks, _launch(draws, by, minute=142)))


def _near_misses(draws: Draws) -> Story:
    """Tells of unsafe searches that no launch follows: too late, elsewhere, others, refused."""
    asked: Search = {"filters": {"name": [FOCAL]}}
    too_late, elsewhere, others, refused, somebody = (
        _by(identities.assumed_role(SANDBOX, role, session="job"), agents.JAVA_SDK)
        for role in ("reports", "exports", "imports", "training", "cleanup")
    )
    minute = 20
    return Story(
        (
            _search(draws, too_late, asked, minute=minute),
            _launch(draws, too_late, minute=minute + (WINDOW_SECONDS + 1) / 60),
            _search(draws, elsewhere, asked, minute=minute),
            _launch(draws, {**elsewhere, "region": REGIONS[1]}, minute=minute + 1),
            _search(draws, others, asked, minute=minute),
            _launch(draws, somebody, minute=minute + 1),
            _search(draws, refused, asked, minute=minute),
            _launch(draws, refused, minute=minute + 1, error=VCPU_LIMIT),
        )
    )


STORIES: Final[tuple[Callable[[Draws], Story], ...]] = (
    _documented_example,
    _terraform_ci,
    _exact_name,
    _tagged_search,
    _packer_prevalidation,
    _late_search,
    _safe_search,
    _console_pages,
    _near_misses,
)

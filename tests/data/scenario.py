"""Stretches of a trail, drawn from a seed: searches, launches that follow or just miss, noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from tests.data import agents, identities
from tests.data.draws import Draws
from tests.data.noise import Scene
from tests.data.noise import noise as noise_record
from tests.data.records import (
    DRY_RUN,
    NINE_O_CLOCK,
    UNAUTHORIZED,
    VCPU_LIMIT,
    Caller,
    Launch,
    Search,
    describe_images,
    run_instances,
)
from tests.data.shapes import Record

# The default window of the rule: a launch this many seconds after its search is the last to count.
WINDOW_SECONDS: Final = 900
REGIONS: Final = ("us-east-1", "eu-west-1", "ap-southeast-2")
FOCAL: Final = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*"

UNSAFE_SEARCHES: Final[tuple[Search, ...]] = (
    {"filters": {"name": [FOCAL]}},
    {"filters": {"name": [FOCAL], "architecture": ["x86_64"]}, "include_deprecated": False},
    {"filters": {"name": ["amzn2-ami-hvm-*-x86_64-gp2"]}, "max_results": 1000},
    {"filters": {"name": ["acme-base-*"]}},
    {"filters": {"name": ["acme-bastion-2026.02.11"]}},
    {"filters": {"name": ["*-base-*", "acme-base-*"]}},
    {"filters": {"name": ["acme-base-*"], "tag:Team": ["platform"]}},
    {"filters": {"name": ["acme-base-*"], "is-public": ["false"]}},
    {"filters": {"name": ["acme-base-*"], "owner-id": ["*"]}},
    {"filters": {"name": ["acme-base-*"]}, "owners": ["*"]},
    {"filters": {"name": ["acme-base-*"]}, "executable_by": ["all"]},
)
SAFE_SEARCHES: Final[tuple[Search, ...]] = (
    {"filters": {"name": [FOCAL]}, "owners": ["099720109477"]},
    {"filters": {"name": ["amzn2-ami-hvm-*-x86_64-gp2"]}, "owners": ["amazon"]},
    {"filters": {"name": ["acme-base-*"]}, "owners": ["self"]},
    {"filters": {"name": [FOCAL], "owner-id": ["099720109477"]}},
    {"filters": {"name": ["Windows_Server-2022-*"], "owner-alias": ["amazon"]}},
    {"filters": {"name": ["acme-base-*"]}, "executable_by": ["self"]},
    {"filters": {"name": ["acme-base-*"]}, "images": ["ami-0a1b2c3d4e5f60718"]},
    {"filters": {"name": ["acme-base-*"], "image-id": ["ami-0a1b2c3d4e5f60718"]}},
    {"images": ["ami-0a1b2c3d4e5f60718"]},
    {"filters": {"state": ["available"]}, "max_results": 1000},
    {"filters": {"name": []}},
    {},
)


class _Miss(Enum):
    """What keeps a launch from following a search it is near."""

    NOTHING = auto()
    OTHER_REGION = auto()
    OTHER_PRINCIPAL = auto()
    OTHER_ACCOUNT = auto()
    REFUSED = auto()


class _Image(Enum):
    """Where a launch says which image it starts."""

    REQUEST = auto()
    RESPONSE = auto()
    PARAMETER = auto()
    NOWHERE = auto()


@dataclass(frozen=True, slots=True)
class _Relation:
    """How a launch stands to a search."""

    gaps_seconds: Sequence[int]
    miss: _Miss = _Miss.NOTHING
    image: _Image = _Image.REQUEST
    instances: int = 1


_RELATIONS: Final = (
    _Relation((1, 30, 60)),
    _Relation((0,)),
    _Relation((61, 299, 300), image=_Image.RESPONSE),
    _Relation((301, WINDOW_SECONDS - 1, WINDOW_SECONDS)),
    _Relation((WINDOW_SECONDS + 1,)),
    _Relation((-1, -30)),
    _Relation((45,), miss=_Miss.OTHER_REGION),
    _Relation((45,), miss=_Miss.OTHER_PRINCIPAL),
    _Relation((45,), miss=_Miss.REFUSED),
    _Relation((20,), instances=3),
    _Relation((45,), miss=_Miss.OTHER_ACCOUNT),
    _Relation((90,), image=_Image.PARAMETER),
    _Relation((90,), image=_Image.NOWHERE),
)


def scenario(
    seed: int,
    *,
    accounts: int = 2,
    minutes: int = 60,
    searches: int = 20,
    launches: int = 20,
    noise: int = 100,
) -> list[Record]:
    """Returns `searches + launches + noise` records of different ids, in the order of their times.

    Every second search is unsafe. From 39 launches on, every way to follow a search, or just to
    miss it, occurs; launches may come up to a window after the last minute.
    """
    draws = Draws(seed)
    owners = [f"{n:012d}" for n in draws.sample(range(10**9, 10**12), k=accounts)]
    # A leading zero is part of an account id, and the first thing a careless reader loses.
    owners[0] = f"0{owners[0][1:]}"
    asked = [_search(draws, owners, number, minutes) for number in range(searches)]
    records = [describe_images(**search) for search in asked]
    records += [
        run_instances(**_launch(draws, owners, number, asked)) for number in range(launches)
    ]
    records += [noise_record(draws, _scene(draws, owners, minutes)) for _ in range(noise)]
    return sorted(records, key=lambda record: (record["eventTime"], record["eventID"]))


def callers(account: str) -> tuple[Caller, ...]:
    """Returns the callers of an account, each with the program it uses; two share one role."""
    terraform = [
        identities.assumed_role(account, "terraform-ci", session=session, path="/ci/")
        for session in ("run-1041", "run-1042")
    ]
    sso = identities.assumed_role(
        account,
        "AWSReservedSSO_PowerUser_0f1e2d3c4b5a6978",
        session="carol@example.com",
        path=identities.SSO_PATH,
    )
    ansible = identities.web_identity_role(
        account, "deploy", session="GitHubActions", provider="token.actions.githubusercontent.com"
    )
    packer = identities.instance_role(account, "packer", instance_id="i-0c0ffee0c0ffee0c0")
    return (
        _caller(identities.iam_user(account, "alice"), agents.aws_cli_v2("ec2.run-instances")),
        _caller(identities.iam_user(account, "bob", path="/ops/", with_mfa=True), agents.BOTO3),
        _caller(terraform[0], agents.TERRAFORM),
        _caller(terraform[1], agents.TERRAFORM),
        _caller(sso, agents.CONSOLE_FRONTEND),
        _caller(ansible, agents.ANSIBLE),
        _caller(packer, agents.PACKER),
        _caller(identities.root(account), agents.CONSOLE_INTERNAL),
        _caller(identities.federated_user(account, "contractor"), agents.OLD_AWS_CLI_V1),
        # Has no ARN, so that nothing it does can be told from what another service does.
        {
            "identity": identities.aws_service(agents.CLOUDFORMATION),
            "account": account,
            "user_agent": agents.CLOUDFORMATION,
            "source_ip": agents.CLOUDFORMATION,
        },
    )


def _caller(identity: identities.Identity, user_agent: str) -> Caller:
    return {
        "identity": identity,
        "account": identity["accountId"],
        "user_agent": user_agent,
        "source_ip": "203.0.113.17",
    }


def _search(draws: Draws, owners: Sequence[str], number: int, minutes: int) -> Search:
    unsafe = number % 2 == 0
    search: Search = {
        **draws.choice(UNSAFE_SEARCHES if unsafe else SAFE_SEARCHES),
        **draws.choice(callers(draws.choice(owners))),
        "at": _moment(draws, minutes),
        "region": draws.choice(REGIONS),
        "event_id": draws.uuid(),
    }
    if not unsafe and draws.random() < 0.25:
        search.update(draws.choice(UNSAFE_SEARCHES))
        search["error"] = draws.choice((UNAUTHORIZED, DRY_RUN))
    return search


def _launch(draws: Draws, owners: Sequence[str], number: int, asked: Sequence[Search]) -> Launch:
    # Mostly after an unsafe search, so that the ways to miss one are near misses.
    candidates = asked[::2] if number % 4 else asked
    near = draws.choice(candidates) if candidates else _search(draws, owners, 0, 1)
    round_number, place = divmod(number, len(_RELATIONS))
    relation = _RELATIONS[place]
    miss = relation.miss
    gap = relation.gaps_seconds[round_number % len(relation.gaps_seconds)]
    launch: Launch = {
        "identity": near["identity"],
        "account": near["account"],
        "user_agent": near["user_agent"],
        "source_ip": near["source_ip"],
        "region": near["region"],
        "at": near["at"] + timedelta(seconds=gap),
        "event_id": draws.uuid(),
        "instance_ids": [draws.resource_id("i") for _ in range(relation.instances)],
    }
    if miss is _Miss.OTHER_REGION:
        launch["region"] = draws.choice([r for r in REGIONS if r != near["region"]])
    if miss is _Miss.OTHER_ACCOUNT:
        # A record delivered to another account that took part in the call.
        launch["account"] = draws.choice([o for o in owners if o != near["account"]] or owners)
    if miss is _Miss.OTHER_PRINCIPAL:
        others = [c for c in callers(near["account"]) if c["identity"] != near["identity"]]
        launch["identity"] = draws.choice(others)["identity"]
    if miss is _Miss.REFUSED:
        launch["error"] = draws.choice((UNAUTHORIZED, DRY_RUN, VCPU_LIMIT))
    return _with_image(draws, launch, relation.image)


def _with_image(draws: Draws, launch: Launch, image: _Image) -> Launch:
    image_id = draws.resource_id("ami")
    template = {"launchTemplateId": draws.resource_id("lt"), "version": "1"}
    if image is _Image.REQUEST:
        return {**launch, "image_id": image_id}
    if image is _Image.PARAMETER:
        parameter = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64"
        return {**launch, "image_id": parameter, "launched_image_id": image_id}
    if image is _Image.RESPONSE:
        template_launch: Launch = {"launch_template": template, "launched_image_id": image_id}
        return {**launch, **template_launch, "image_id": None}
    return {**launch, "launch_template": template, "image_id": None}


def _scene(draws: Draws, owners: Sequence[str], minutes: int) -> Scene:
    return Scene(draws.choice(owners), draws.choice(REGIONS), _moment(draws, minutes))


def _moment(draws: Draws, minutes: int) -> datetime:
    return NINE_O_CLOCK + timedelta(seconds=draws.randrange(60 * minutes))

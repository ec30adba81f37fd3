"""The generator writes what CloudTrail would of the calls that real AWS clients make.

The AWS CLI and boto3 run as programs of their own against moto's EC2 on a loopback port; what they
sent there is what the records are made of.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from amiguard_core.clients import client_of
from amiguard_core.findings import Likelihood
from amiguard_core.pipeline import evaluate
from amiguard_core.policy import Policy
from tests.data import agents, identities
from tests.data.captured import CapturedRequest, Recorder, records_from_requests
from tests.data.records import Launch, Search, describe_images, run_instances
from tests.data.shapes import Record, encode

ALICE: Final = identities.iam_user("123456789012", "alice")
PATTERN: Final = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-*"
# A name that anybody may give to an image; the account that publishes it here is not Canonical's.
IMAGE_NAME: Final = "ubuntu/images/hvm-ssd/ubuntu-focal-20.04-amd64-server-20260301"

_BY_NAME: Final = ("--filters", f"Name=name,Values={PATTERN}")
_NEWEST: Final = ("--query", "sort_by(Images,&CreationDate)[-1].ImageId")
_PUBLISH: Final = """
ec2.register_image(Name=IMAGE_NAME, RootDeviceName="/dev/sda1")
"""
_LAUNCH_BY_NAME: Final = """
found = ec2.describe_images(Filters=[{"Name": "name", "Values": [PATTERN]}])["Images"]
newest = max(found, key=lambda image: image["CreationDate"])
answer = ec2.run_instances(
    ImageId=newest["ImageId"], InstanceType="t3.micro", MinCount=2, MaxCount=2
)
print(json.dumps([newest["ImageId"], [each["InstanceId"] for each in answer["Instances"]]]))
"""
_SEARCH_IN_EVERY_WAY: Final = """
ec2.describe_images(
    Filters=[
        {"Name": "name", "Values": [PATTERN, "acme-base-*"]},
        {"Name": "architecture", "Values": ["x86_64"]},
    ],
    Owners=["099720109477", "self"],
)
ec2.describe_images(
    ExecutableUsers=["self"],
    Filters=[{"Name": "state", "Values": ["pending"]}],
    IncludeDeprecated=True,
    MaxResults=100,
    NextToken="page-2",
)
for refused in ({"ImageIds": ["ami-00000000"]}, {"DryRun": True}):
    try:
        ec2.describe_images(**refused)
    except ClientError:
        continue
    raise AssertionError(refused)
"""


@dataclass(frozen=True, slots=True)
class RealClients:
    """Runs AWS clients against a recorded EC2."""

    url: str
    recorder: Recorder
    home: Path

    def aws_cli(self, *arguments: str) -> Any:
        """Runs the AWS CLI and returns what it printed."""
        return self._run(["-m", "awscli", *arguments, "--output", "json"])

    def boto3(self, script: str) -> Any:
        """Runs a script that has an EC2 client `ec2` and returns what it printed, if any."""
        prelude = (
            "import json, boto3\n"
            "from botocore.exceptions import ClientError\n"
            f"PATTERN, IMAGE_NAME = {PATTERN!r}, {IMAGE_NAME!r}\n"
            "ec2 = boto3.client('ec2')\n"
        )
        return self._run(["-c", prelude + script])

    def _run(self, arguments: Sequence[str]) -> Any:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={
                "AWS_ACCESS_KEY_ID": ALICE["accessKeyId"],
                "AWS_SECRET_ACCESS_KEY": "not-a-secret",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "AWS_ENDPOINT_URL": self.url,
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_CONFIG_FILE": str(self.home / "no-config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "no-credentials"),
                "HOME": str(self.home),
                "NO_PROXY": "127.0.0.1",
            },
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None


@dataclass(frozen=True, slots=True)
class Sent:
    """One search and one launch that a client really made, and what it was answered."""

    client: str
    search: CapturedRequest
    launch: CapturedRequest
    image_id: str
    instance_ids: tuple[str, ...]

    def records(self) -> list[Record]:
        """Returns the records of both, as made by Alice."""
        return records_from_requests([self.search, self.launch], identity=ALICE)


@pytest.fixture(scope="module")
def real_clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealClients]:
    """Serves moto's EC2, with an image of a well-known name, behind a recorder."""
    recorder = Recorder(DomainDispatcherApplication(create_backend_app))
    server = make_server(
        "127.0.0.1", 0, recorder, threaded=True, request_handler=MotoRequestHandler
    )
    thread = Thread(target=server.serve_forever)
    thread.start()
    real = RealClients(
        url=f"http://127.0.0.1:{server.server_port}",
        recorder=recorder,
        home=tmp_path_factory.mktemp("home"),
    )
    try:
        real.boto3(_PUBLISH)
        yield real
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module", params=["aws-cli", "boto3"])
def sent(request: pytest.FixtureRequest, real_clients: RealClients) -> Sent:
    """Searches by name with no owner and launches the newest answer, with each client."""
    real_clients.recorder.requests.clear()
    if request.param == "boto3":
        image_id, instance_ids = real_clients.boto3(_LAUNCH_BY_NAME)
    else:
        image_id = real_clients.aws_cli("ec2", "describe-images", *_BY_NAME, *_NEWEST)
        launch = ("--image-id", image_id, "--instance-type", "t3.micro")
        answer = real_clients.aws_cli("ec2", "run-instances", *launch)
        instance_ids = [each["InstanceId"] for each in answer["Instances"]]
    search, launched = real_clients.recorder.requests
    return Sent(request.param, search, launched, image_id, tuple(instance_ids))


def test_real_client_is_recorded_as_the_generator_writes_it(sent: Sent) -> None:
    """A search by name and the launch of its answer are the records that the generator makes."""
    asked: Search = {"filters": {"name": [PATTERN]}}
    search: Search = {**asked, **sent.search.caller(ALICE)}
    started: Launch = {
        "image_id": sent.image_id,
        "instance_type": "t3.micro",
        "instance_ids": sent.instance_ids,
        "client_token": sent.launch.parameters["ClientToken"],
    }
    launch: Launch = {**started, **sent.launch.caller(ALICE)}

    assert sent.records() == [describe_images(**search), run_instances(**launch)]


def test_real_client_makes_one_high_finding(sent: Sent) -> None:
    """What a real client does when it looks an image up by name alone is one HIGH finding."""
    (finding,) = evaluate(map(encode, sent.records()), Policy())

    assert finding.likelihood is Likelihood.HIGH
    assert finding.key.actor_arn == ALICE["arn"]
    assert finding.latest.search.request.values_of("name") == (PATTERN,)
    assert finding.latest.launch.image_ids == (sent.image_id,)
    assert set(finding.latest.launch.instance_ids) == set(sent.instance_ids)
    assert client_of(finding.latest.search.origin.user_agent) == sent.client


def test_real_client_names_the_products_that_the_generator_names(sent: Sent) -> None:
    """The agents of the generator have the products of the real ones, in their order."""
    generated = {"aws-cli": agents.AWS_CLI_V1, "boto3": agents.BOTO3}

    assert products(sent.search.user_agent) == products(generated[sent.client])


def test_every_search_parameter_is_recorded_as_the_generator_writes_it(
    real_clients: RealClients,
) -> None:
    """Filters, owners, ids, users, flags and pages of a search are those of generated records."""
    asked: list[Search] = [
        {
            "filters": {"name": [PATTERN, "acme-base-*"], "architecture": ["x86_64"]},
            "owners": ["099720109477", "self"],
        },
        {
            "executable_by": ["self"],
            "filters": {"state": ["pending"]},
            "include_deprecated": True,
            "max_results": 100,
            "next_token": "page-2",
        },
        {"images": ["ami-00000000"]},
        {"dry_run": True},
    ]
    errors = [None, None, "Client.InvalidAMIID.NotFound", "Client.DryRunOperation"]

    real_clients.recorder.requests.clear()
    real_clients.boto3(_SEARCH_IN_EVERY_WAY)
    records = records_from_requests(real_clients.recorder.requests, identity=ALICE)

    assert [record["requestParameters"] for record in records] == [
        describe_images(**search)["requestParameters"] for search in asked
    ]
    assert [record.get("errorCode") for record in records] == errors


def test_unknown_parameter_is_refused(sent: Sent) -> None:
    """A parameter with no known place in a record is an error, so that none is lost in silence."""
    newer = replace(sent.search, body=sent.search.body + b"&ImageAge=old")

    with pytest.raises(ValueError, match="ImageAge"):
        records_from_requests([newer], identity=ALICE)


def products(user_agent: str) -> list[str]:
    """Returns the names in an agent without their versions."""
    return [product.partition("/")[0] for product in user_agent.split()]

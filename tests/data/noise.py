"""Records of every other kind, which are nearly all of a real trail: about 1 to 1.5 KB each."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tests.data import agents, identities
from tests.data.draws import Draws
from tests.data.identities import Identity
from tests.data.records import EC2, UNAUTHORIZED, ApiError, Caller, record
from tests.data.shapes import Json, Record, items
from tests.data.variations import ecr_describe_images


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when noise is made."""

    account: str
    region: str
    at: datetime


def noise(draws: Draws, scene: Scene) -> Record:
    """Returns one record that is neither a search nor a launch."""
    (make,) = draws.choices(_KINDS, weights=_WEIGHTS)
    return make(draws, scene)


def _call(draws: Draws, scene: Scene, identity: Identity, user_agent: str) -> Caller:
    return {
        "at": scene.at,
        "account": scene.account,
        "region": scene.region,
        "identity": identity,
        "user_agent": user_agent,
        "source_ip": identity.get("invokedBy", f"10.20.{draws.randrange(256)}.17"),
        "request_id": draws.uuid(),
        "event_id": draws.uuid(),
    }


def _application(draws: Draws, scene: Scene) -> Identity:
    return identities.instance_role(
        scene.account,
        draws.choice(("orders-api", "billing-worker", "search-indexer")),
        instance_id=draws.resource_id("i"),
    )


def _operator(draws: Draws, scene: Scene) -> Identity:
    return identities.assumed_role(
        scene.account,
        "AWSReservedSSO_PowerUser_0f1e2d3c4b5a6978",
        session=draws.choice(("alice@example.com", "bob@example.com")),
        path=identities.SSO_PATH,
    )


def _resource(scene: Scene, kind: str, arn: str) -> Json:
    return {"accountId": scene.account, "type": kind, "ARN": arn}


def _kms_decrypt(draws: Draws, scene: Scene) -> Record:
    secret = (
        f"arn:aws:secretsmanager:{scene.region}:{scene.account}:secret:orders/db-{draws.token(6)}"
    )
    key = f"arn:aws:kms:{scene.region}:{scene.account}:key/{draws.uuid()}"
    identity = _application(draws, scene) | {"invokedBy": "secretsmanager.amazonaws.com"}
    return record(
        "kms.amazonaws.com",
        "Decrypt",
        parameters={
            "encryptionAlgorithm": "SYMMETRIC_DEFAULT",
            "encryptionContext": {"SecretARN": secret, "SecretVersionId": draws.uuid().upper()},
        },
        resources=[_resource(scene, "AWS::KMS::Key", key)],
        vpc_endpoint_id=draws.resource_id("vpce"),
        **_call(draws, scene, identity, "secretsmanager.amazonaws.com"),
    )


def _assume_role(draws: Draws, scene: Scene) -> Record:
    service = draws.choice(("lambda.amazonaws.com", "ecs-tasks.amazonaws.com", "ec2.amazonaws.com"))
    role = draws.choice(("orders-api", "billing-worker", "search-indexer"))
    session = draws.token(20)
    arn = f"arn:aws:iam::{scene.account}:role/{role}"
    return record(
        "sts.amazonaws.com",
        "AssumeRole",
        parameters={"roleArn": arn, "roleSessionName": session, "durationSeconds": 3600},
        response={
            "credentials": {
                "accessKeyId": f"ASIA{draws.hexadecimal(9).upper()}EXAMPLE",
                "sessionToken": b64encode(draws.randbytes(510)).decode(),
                "expiration": (scene.at + timedelta(hours=1)).strftime("%b %d, %Y, %I:%M:%S %p"),
            },
            "assumedRoleUser": {
                "assumedRoleId": f"{draws.unique_id('AROA')}:{session}",
                "arn": f"arn:aws:sts::{scene.account}:assumed-role/{role}/{session}",
            },
        },
        resources=[_resource(scene, "AWS::IAM::Role", arn)],
        shared_event_id=draws.uuid(),
        **_call(draws, scene, identities.aws_service(service), service),
    )


def _bucket_acl(draws: Draws, scene: Scene) -> Record:
    bucket = f"example-trail-{scene.account}"
    host = f"{bucket}.s3.{scene.region}.amazonaws.com"
    return record(
        "s3.amazonaws.com",
        "GetBucketAcl",
        parameters={"bucketName": bucket, "Host": host, "acl": ""},
        additional_data={
            "SignatureVersion": "SigV4",
            "CipherSuite": "TLS_AES_128_GCM_SHA256",
            "bytesTransferredIn": 0,
            "AuthenticationMethod": "AuthHeader",
            "x-amz-id-2": b64encode(draws.randbytes(56)).decode(),
            "bytesTransferredOut": 552,
        },
        resources=[_resource(scene, "AWS::S3::Bucket", f"arn:aws:s3:::{bucket}")],
        shared_event_id=draws.uuid(),
        vpc_endpoint_id=draws.resource_id("vpce"),
        **_call(
            draws,
            scene,
            identities.aws_service("cloudtrail.amazonaws.com"),
            "cloudtrail.amazonaws.com",
        ),
    )


def _describe_instances(draws: Draws, scene: Scene) -> Record:
    identity = identities.service_linked_role(
        scene.account, "AWSServiceRoleForAmazonInspector2", service="inspector2.amazonaws.com"
    )
    return record(
        EC2,
        "DescribeInstances",
        parameters={
            "instancesSet": items({"instanceId": draws.resource_id("i")} for _ in range(4)),
            "filterSet": items(
                [
                    {
                        "name": "instance-state-name",
                        "valueSet": items([{"value": "running"}, {"value": "pending"}]),
                    }
                ]
            ),
        },
        **_call(draws, scene, identity, "inspector2.amazonaws.com"),
    )


def _describe_network(draws: Draws, scene: Scene) -> Record:
    name, wanted = draws.choice(
        (
            ("DescribeSecurityGroups", "securityGroupSet"),
            ("DescribeSubnets", "subnetSet"),
            ("DescribeVpcs", "vpcSet"),
            ("DescribeRouteTables", "routeTableIdSet"),
        )
    )
    vpc = {"name": "vpc-id", "valueSet": items([{"value": draws.resource_id("vpc")}])}
    identity = identities.assumed_role(
        scene.account, "terraform-ci", session=f"run-{draws.randrange(10_000)}", path="/ci/"
    )
    return record(
        EC2,
        name,
        parameters={wanted: {}, "filterSet": items([vpc])},
        **_call(draws, scene, identity, agents.TERRAFORM),
    )


def _refused(draws: Draws, scene: Scene) -> Record:
    service, name, error = draws.choice(
        (
            (EC2, "DescribeInstanceAttribute", UNAUTHORIZED),
            (
                "ssm.amazonaws.com",
                "GetParameter",
                ApiError("AccessDenied", "User is not authorized"),
            ),
            ("s3.amazonaws.com", "GetBucketPolicy", ApiError("NoSuchBucketPolicy", "None found")),
        )
    )
    return record(
        service,
        name,
        parameters={"name": f"/orders/{draws.token(12)}"},
        error=error,
        **_call(draws, scene, _application(draws, scene), agents.JAVA_SDK),
    )


def _get_role(draws: Draws, scene: Scene) -> Record:
    return record(
        "iam.amazonaws.com",
        draws.choice(("GetRole", "ListRolePolicies", "ListAttachedRolePolicies")),
        parameters={"roleName": f"orders-{draws.token(8)}"},
        **_call(draws, scene, _operator(draws, scene), agents.aws_cli_v2("iam.get-role")),
    )


def _instance_information(draws: Draws, scene: Scene) -> Record:
    return record(
        "ssm.amazonaws.com",
        "UpdateInstanceInformation",
        parameters={
            "instanceId": draws.resource_id("i"),
            "agentVersion": "3.3.1345.0",
            "agentStatus": "Active",
            "platformType": "Linux",
            "platformName": "Amazon Linux",
            "platformVersion": "2023",
            "iPAddress": f"10.20.{draws.randrange(256)}.17",
            "agentName": "amazon-ssm-agent",
            "availabilityZone": f"{scene.region}a",
        },
        read_only=False,
        **_call(draws, scene, _application(draws, scene), agents.GO_SDK),
    )


def _log_stream(draws: Draws, scene: Scene) -> Record:
    return record(
        "logs.amazonaws.com",
        "CreateLogStream",
        parameters={
            "logGroupName": "/aws/lambda/orders-events",
            "logStreamName": f"{scene.at:%Y/%m/%d}/[$LATEST]{draws.hexadecimal(32)}",
        },
        read_only=False,
        **_call(draws, scene, _application(draws, scene), "awslambda-worker/1.0 rusoto/0.48.0"),
    )


def _secret_value(draws: Draws, scene: Scene) -> Record:
    return record(
        "secretsmanager.amazonaws.com",
        "GetSecretValue",
        parameters={"secretId": f"orders/db-{draws.token(6)}", "versionStage": "AWSCURRENT"},
        vpc_endpoint_id=draws.resource_id("vpce"),
        **_call(draws, scene, _application(draws, scene), agents.JAVA_SDK),
    )


def _container_images(draws: Draws, scene: Scene) -> Record:
    return ecr_describe_images(**_call(draws, scene, _operator(draws, scene), agents.BOTO3))


_KINDS: Final[tuple[Callable[[Draws, Scene], Record], ...]] = (
    _kms_decrypt,
    _assume_role,
    _bucket_acl,
    _describe_instances,
    _describe_network,
    _refused,
    _get_role,
    _instance_information,
    _log_stream,
    _secret_value,
    _container_images,
)
_WEIGHTS: Final = (22, 16, 6, 12, 14, 4, 6, 8, 6, 5, 1)

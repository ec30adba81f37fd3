"""The `userIdentity` of a record, one function for each kind of caller AWS records."""

from hashlib import sha256
from typing import Any, TypeAlias

Identity: TypeAlias = dict[str, Any]

SSO_PATH = "/aws-reserved/sso.amazonaws.com/eu-west-1/"
_CREATION_DATE = "2026-03-02T07:58:11Z"


def iam_user(account: str, name: str, *, path: str = "/", with_mfa: bool = False) -> Identity:
    """Returns an IAM user; with MFA it acts through temporary credentials."""
    identity: Identity = {
        "type": "IAMUser",
        "principalId": _unique_id("AIDA", account, name),
        "arn": f"arn:aws:iam::{account}:user{path}{name}",
        "accountId": account,
        "accessKeyId": _access_key("ASIA" if with_mfa else "AKIA", account, name),
        "userName": name,
    }
    if with_mfa:
        identity["sessionContext"] = {
            "sessionIssuer": {},
            "webIdFederationData": {},
            "attributes": {"creationDate": _CREATION_DATE, "mfaAuthenticated": "true"},
        }
    return identity


def assumed_role(account: str, role: str, *, session: str, path: str = "/") -> Identity:
    """Returns a session of a role; only the issuer's ARN carries the role's path."""
    role_id = _unique_id("AROA", account, role)
    return {
        "type": "AssumedRole",
        "principalId": f"{role_id}:{session}",
        "arn": f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        "accountId": account,
        "accessKeyId": _access_key("ASIA", account, role, session),
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": role_id,
                "arn": f"arn:aws:iam::{account}:role{path}{role}",
                "accountId": account,
                "userName": role,
            },
            "webIdFederationData": {},
            "attributes": {"creationDate": _CREATION_DATE, "mfaAuthenticated": "false"},
        },
    }


def web_identity_role(account: str, role: str, *, session: str, provider: str) -> Identity:
    """Returns a session of a role that an OpenID Connect provider vouched for, as in CI."""
    identity = assumed_role(account, role, session=session)
    identity["sessionContext"]["webIdFederationData"] = {
        "federatedProvider": f"arn:aws:iam::{account}:oidc-provider/{provider}",
        "attributes": {},
    }
    return identity


def service_linked_role(account: str, role: str, *, service: str) -> Identity:
    """Returns the session of a role in which a service acts for the account."""
    identity = assumed_role(
        account,
        role,
        session=role.removeprefix("AWSServiceRoleFor"),
        path=f"/aws-service-role/{service}/",
    )
    del identity["accessKeyId"]
    identity["invokedBy"] = service
    return identity


def instance_role(account: str, role: str, *, instance_id: str) -> Identity:
    """Returns the session of a role that an EC2 instance got from its metadata service."""
    identity = assumed_role(account, role, session=instance_id)
    identity["sessionContext"]["ec2RoleDelivery"] = "2.0"
    return identity


def root(account: str) -> Identity:
    """Returns the account's root user, signed in to the console."""
    return {
        "type": "Root",
        "principalId": account,
        "arn": f"arn:aws:iam::{account}:root",
        "accountId": account,
        "accessKeyId": _access_key("ASIA", account, "root"),
        "sessionContext": {
            "sessionIssuer": {},
            "webIdFederationData": {},
            "attributes": {"creationDate": _CREATION_DATE, "mfaAuthenticated": "true"},
        },
    }


def federated_user(account: str, name: str) -> Identity:
    """Returns a user who signed in through GetFederationToken."""
    return {
        "type": "FederatedUser",
        "principalId": f"{account}:{name}",
        "arn": f"arn:aws:sts::{account}:federated-user/{name}",
        "accountId": account,
        "accessKeyId": _access_key("ASIA", account, name),
        "sessionContext": {
            "sessionIssuer": {
                "type": "IAMUser",
                "principalId": _unique_id("AIDA", account, "federation-broker"),
                "arn": f"arn:aws:iam::{account}:user/federation-broker",
                "accountId": account,
                "userName": "federation-broker",
            },
            "webIdFederationData": {},
            "attributes": {"creationDate": _CREATION_DATE, "mfaAuthenticated": "false"},
        },
    }


def aws_service(service: str) -> Identity:
    """Returns a service acting on its own: it has neither an ARN nor an account."""
    return {"type": "AWSService", "invokedBy": service}


def other_account(account: str) -> Identity:
    """Returns a caller of another account, of whom only the account is known."""
    return {
        "type": "AWSAccount",
        "principalId": _unique_id("AIDA", account, "stranger"),
        "accountId": account,
    }


def _unique_id(prefix: str, *parts: str) -> str:
    return prefix + _letters(*parts, length=17)


def _access_key(prefix: str, *parts: str) -> str:
    # Ends like the keys of AWS's documentation, so that no scanner takes it for a secret.
    return prefix + _letters(*parts, length=9) + "EXAMPLE"


def _letters(*parts: str, length: int) -> str:
    digest = sha256("\0".join(parts).encode()).hexdigest().upper()
    return digest.translate(str.maketrans("0189", "GHIJ"))[:length]

"""Which program made a call, read from its user agent."""

from __future__ import annotations

import re
from functools import lru_cache

MAX_USER_AGENT_LENGTH = 1_024
"""CloudTrail cuts a user agent at 1 KB; what comes after says nothing."""

UNKNOWN = "unknown"
"""The client of a user agent that names no program we know."""

AWS_SERVICE = "aws-service"
"""The client of a call that an AWS service, none of `SERVICES`, made by itself."""

CONSOLE = "console"
"""The client of a call that a person made in the AWS console."""

_PRODUCTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    # Tools first, for each of them names the SDK that it stands on as well. A bridged Pulumi
    # provider and OpenTofu may also name Terraform, whose provider they run.
    ("packer", ("packer/", "packer-plugin-amazon/")),
    ("pulumi", ("pulumi/", "pulumi-aws/", "pulumiaws/", "pulumiawsnative/")),
    ("opentofu", ("opentofu/", "opentofu-", "tofu/")),
    ("terraform", ("terraform/", "terraform-provider-aws/", "hashicorp-terraform-exec/")),
    ("ansible", ("ansible/", "ansible-")),
    ("cdk", ("aws-cdk/", "cdk-")),
    ("eksctl", ("eksctl/",)),
    ("karpenter", ("karpenter",)),
    ("aws-cli", ("aws-cli/",)),
    ("aws-powershell", ("awspowershell",)),
    ("boto3", ("boto3/",)),
    ("botocore", ("botocore/",)),
    ("aws-sdk-go", ("aws-sdk-go/", "aws-sdk-go-v2/")),
    ("aws-sdk-java", ("aws-sdk-java/", "aws-sdk-android/")),
    ("aws-sdk-kotlin", ("aws-sdk-kotlin/",)),
    ("aws-sdk-js", ("aws-sdk-js/", "aws-sdk-js-v3/", "aws-sdk-nodejs/")),
    ("aws-sdk-ruby", ("aws-sdk-ruby",)),
    ("aws-sdk-php", ("aws-sdk-php",)),
    ("aws-sdk-dotnet", ("aws-sdk-dotnet", "awssdk-dotnet")),
    ("aws-sdk-rust", ("aws-sdk-rust/",)),
    ("aws-sdk-cpp", ("aws-sdk-cpp/",)),
    ("aws-sdk-swift", ("aws-sdk-swift/",)),
)

SERVICES = frozenset(
    {
        "autoscaling",
        "batch",
        "cloud9",
        "cloudformation",
        "codebuild",
        "ec2",
        "ec2fleet",
        "ecs",
        "eks",
        "eks-nodegroup",
        "elasticbeanstalk",
        "elasticmapreduce",
        "gamelift",
        "imagebuilder",
        "lambda",
        "opsworks",
        "sagemaker",
        "servicecatalog",
        "spot",
        "spotfleet",
        "ssm",
        "workspaces",
    }
)
"""AWS services that look images up or start instances for somebody, named one by one."""

CLIENTS = frozenset(
    {client for client, _ in _PRODUCTS} | SERVICES | {AWS_SERVICE, CONSOLE, UNKNOWN}
)
"""Every client that `client_of` can name. The set is closed, so it is fit for a metric's label."""

_RANKS = {prefix: rank for rank, (_, prefixes) in enumerate(_PRODUCTS) for prefix in prefixes}
_PRODUCT = re.compile(r"(?:^|[\s\[\](),;])(" + "|".join(map(re.escape, _RANKS)) + ")")
_CONSOLE = re.compile(r"\[?(?:[a-z0-9 ._-]{0,40}console|aws internal|mozilla/)")
_INTERNAL = re.compile(r"(?:^|[\s\[(,])aws-internal/")
_SERVICE = re.compile(r"\[?([a-z0-9-]{1,63})(?:\.[a-z0-9-]{1,63}){0,4}\.amazonaws\.com(?:\.cn)?\]?")
_FRAMEWORK = "coral/"


def client_of(user_agent: str) -> str:
    """Names the program behind a user agent, in the words of `CLIENTS`.

    A user agent lists a tool and all it is built on; the most specific one is named: `terraform`
    although `aws-sdk-go` stands there as well. Letter case and the brackets that old records have
    do not matter. The caller chooses its user agent, so the answer is a hint and proves nothing.
    """
    return _client_of(user_agent[:MAX_USER_AGENT_LENGTH])


@lru_cache(maxsize=2_048)
def _client_of(user_agent: str) -> str:
    text = user_agent.lower().strip()
    # The console's and other internal callers name the SDK they are written in, so they go first.
    if _INTERNAL.search(text):
        return CONSOLE
    ranks = [_RANKS[match[1]] for match in _PRODUCT.finditer(text)]
    if ranks:
        return _PRODUCTS[min(ranks)][0]
    if _CONSOLE.match(text):
        return CONSOLE
    service = _SERVICE.fullmatch(text)
    if service is not None:
        return service[1] if service[1] in SERVICES else AWS_SERVICE
    return AWS_SERVICE if text.startswith(_FRAMEWORK) else UNKNOWN

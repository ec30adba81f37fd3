"""Laws of naming the program behind a user agent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amiguard_core.clients import CLIENTS, MAX_USER_AGENT_LENGTH, SERVICES, client_of

TERRAFORM = (
    "APN/1.0 HashiCorp/1.0 Terraform/1.1.2 (+https://www.terraform.io) "
    "terraform-provider-aws/3.76.1 (+https://registry.terraform.io/providers/hashicorp/aws) "
    "aws-sdk-go/1.44.157 (go1.19.3; linux; amd64) HashiCorp-terraform-exec/0.17.3"
)

SEEN = [
    (TERRAFORM, "terraform"),
    (f"[{TERRAFORM}]", "terraform"),
    ("APN/1.0 HashiCorp/1.0 Terraform/0.7.9-dev", "terraform"),
    (
        "aws-sdk-go/1.44.12 (go1.19.1; darwin; amd64) APN/1.0 HashiCorp/1.0 Terraform/ (+https)",
        "terraform",
    ),
    (
        "APN/1.0 OpenTofu-S3-Backend/1.0 OpenTofu/1.10.1 aws-sdk-go-v2/1.36.3 ua/2.1 os/linux",
        "opentofu",
    ),
    ("APN/1.0 HashiCorp/1.0 Terraform/1.10.1 OpenTofu/1.10.1 aws-sdk-go-v2/1.36.3", "opentofu"),
    (
        "APN/1.0 HashiCorp/1.0 packer-plugin-amazon/1.2.1 (+https://www.packer.io) aws-sdk-go/1.44",
        "packer",
    ),
    ("aws-sdk-go/1.44.114 (go1.18) Packer/1.8.5 (+https://www.packer.io)", "packer"),
    (
        "APN/1.0 Pulumi/1.0 Pulumi-Aws/4.17.0 (+https://www.pulumi.com) aws-sdk-go/1.40.20",
        "pulumi",
    ),
    ("APN/1.0 Pulumi/1.0 PulumiAwsNative/1.12, aws-sdk-go-v2/1.9.0 os/macos", "pulumi"),
    (
        "APN/1.0 Ansible/2.15.0 amazon.aws/7.0.0 Boto3/1.34.1 md/Botocore#1.34.1 Botocore/1.34.1",
        "ansible",
    ),
    ("Boto3/1.34.1 Botocore/1.34.1 Ansible/2.9.6", "ansible"),
    ("aws-cdk/2.150.0 aws-sdk-js/3.600.0 ua/2.0 os/linux lang/js md/nodejs#20.11.0", "cdk"),
    ("eksctl/0.190.0 aws-sdk-go-v2/1.30.3 os/linux lang/go#1.22.5", "eksctl"),
    (
        "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24 api/ec2#1.218 karpenter.sh-1.5.0 m/h",
        "karpenter",
    ),
    ("m/F karpenter.sh-1.5.0", "karpenter"),
    ("aws-cli/2.32.3 md/awscrt#0.28.4 ua/2.1 md/command#ec2.run-instances", "aws-cli"),
    ("[aws-cli/1.16.190 Python/2.7.16 Linux/4.14 botocore/1.12.180]", "aws-cli"),
    ("aws-cli/1.33.1 md/Botocore#1.34.119 exec-env/CloudShell Botocore/1.34.119", "aws-cli"),
    ("AWSPowerShell/4.1.0 .NET_Runtime/4.0 aws-sdk-dotnet-coreclr/3.7.0", "aws-powershell"),
    ("[Boto3/1.26.165 Python/3.10.6 Linux/5.19.0-46-generic Botocore/1.29.165]", "boto3"),
    ("Botocore/1.44.5 ua/2.1 os/linux#6.18.44 md/arch#x86_64 lang/python#3.11.7", "botocore"),
    ("aws-sdk-go/1.41.4 (go1.18.3; linux; amd64) amazon-ssm-agent/", "aws-sdk-go"),
    ("aws-sdk-go-v2/1.39.2 ua/2.1 os/linux lang/go#1.25.4 api/ec2#1.254.1", "aws-sdk-go"),
    ("aws-sdk-java/2.20.26 Linux/5.10 OpenJDK_64-Bit_Server_VM/17 Java/17", "aws-sdk-java"),
    ("aws-sdk-js/3.922.0 ua/2.1 os/darwin#24.6.0 lang/js md/nodejs#22.19.0", "aws-sdk-js"),
    ("aws-sdk-nodejs/2.1083.0 linux/v14.19.0 promise", "aws-sdk-js"),
    ("aws-sdk-ruby3/3.190.0 md/internal ua/2.0 api/ec2#1.0.0 os/linux", "aws-sdk-ruby"),
    ("aws-sdk-ruby/1.39.0 ruby/1.9.3 x86_64-linux", "aws-sdk-ruby"),
    ("aws-sdk-php/3.300.0 ua/2.0 OS/Linux/5.10 lang/php/8.2.1 GuzzleHttp/7", "aws-sdk-php"),
    ("aws-sdk-dotnet-coreclr/3.7.0 .NET_Core/6.0 OS/Linux", "aws-sdk-dotnet"),
    ("aws-sdk-rust/1.3.14 os/linux lang/rust/1.94.1", "aws-sdk-rust"),
    ("console.ec2.amazonaws.com", "console"),
    ("console.amazonaws.com", "console"),
    ("AWS Internal", "console"),
    ("EC2ConsoleFrontend, aws-internal/3 aws-sdk-java/1.12.488 Linux/5.10", "console"),
    ("[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.488 cfg/retry-mode/standard]", "console"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:124.0) Gecko/20100101", "console"),
    ("autoscaling.amazonaws.com", "autoscaling"),
    ("eks-nodegroup.amazonaws.com", "eks-nodegroup"),
    ("cloudformation.amazonaws.com", "cloudformation"),
    ("signin.amazonaws.com", "aws-service"),
    ("ec2.cn-north-1.amazonaws.com.cn", "ec2"),
    ("Coral/Jakarta", "aws-service"),
    ("stratus-red-team_c8ff220a-7e52-429b-868f-d979123ed2d3", "unknown"),
    ("curl/8.5.0", "unknown"),
    ("...", "unknown"),
    ("", "unknown"),
]


@pytest.mark.parametrize(("user_agent", "client"), SEEN)
def test_most_specific_program_is_named(user_agent: str, client: str) -> None:
    """A user agent is named after the tool, not after the SDK that the tool stands on."""
    assert client_of(user_agent) == client


ALONE = {
    "packer": ("packer/1.9", "packer-plugin-amazon/1.2"),
    "pulumi": ("pulumi/3.1", "pulumi-aws/6.0", "pulumiaws/6.0", "pulumiawsnative/1.1"),
    "opentofu": ("opentofu/1.8", "opentofu-1.8", "tofu/1.8"),
    "terraform": ("terraform/1.5", "terraform-provider-aws/5.1", "hashicorp-terraform-exec/0.17"),
    "ansible": ("ansible/2.15", "ansible-core/2.17"),
    "cdk": ("aws-cdk/2.150", "cdk-cli/2.150"),
    "eksctl": ("eksctl/0.190",),
    "karpenter": ("karpenter", "karpenter.sh-1.5"),
    "aws-cli": ("aws-cli/2.17",),
    "aws-powershell": ("awspowershell.common/4.1",),
    "boto3": ("boto3/1.34",),
    "botocore": ("botocore/1.34",),
    "aws-sdk-go": ("aws-sdk-go/1.44", "aws-sdk-go-v2/1.36"),
    "aws-sdk-java": ("aws-sdk-java/2.20", "aws-sdk-android/2.22"),
    "aws-sdk-kotlin": ("aws-sdk-kotlin/1.0",),
    "aws-sdk-js": ("aws-sdk-js/3.9", "aws-sdk-js-v3/3.9", "aws-sdk-nodejs/2.1"),
    "aws-sdk-ruby": ("aws-sdk-ruby3/3.1", "aws-sdk-ruby/1.3"),
    "aws-sdk-php": ("aws-sdk-php/3.3", "aws-sdk-php2/2.8"),
    "aws-sdk-dotnet": ("aws-sdk-dotnet-45/3.3", "awssdk-dotnet/4.0"),
    "aws-sdk-rust": ("aws-sdk-rust/1.3",),
    "aws-sdk-cpp": ("aws-sdk-cpp/1.11",),
    "aws-sdk-swift": ("aws-sdk-swift/1.0",),
}


@pytest.mark.parametrize(
    ("client", "product"), [(client, each) for client, names in ALONE.items() for each in names]
)
def test_program_is_named_by_each_of_its_names_alone(client: str, product: str) -> None:
    """Releases and parts of one program write different names, often with nothing beside them."""
    assert client_of(product) == client_of(f"m/F {product} os/linux") == client


def test_every_program_is_tried_by_name() -> None:
    """Whoever adds a program adds what it writes."""
    assert set(ALONE) == CLIENTS - SERVICES - {"aws-service", "console", "unknown"}


@pytest.mark.parametrize(("user_agent", "client"), SEEN)
def test_letter_case_does_not_matter(user_agent: str, client: str) -> None:
    """The same user agent in capitals or in small letters names the same client."""
    assert [client, client] == [client_of(user_agent.upper()), client_of(user_agent.lower())]


@pytest.mark.parametrize(
    "user_agent",
    [
        "Boto3/1.34.1 Botocore/1.34.1 app/terraform-checker",
        "Boto3/1.34.1 Botocore/1.34.1 app/aws-cli/2",
        "Boto3/1.34.1 md/packer#1 Botocore/1.34.1",
        "Boto3/1.34.1 my-ansible/2.9 Botocore/1.34.1",
    ],
)
def test_name_inside_another_name_is_not_a_program(user_agent: str) -> None:
    """A program is named only where a product of the user agent begins with its name."""
    assert client_of(user_agent) == "boto3"


def test_service_is_named_only_by_whole_host() -> None:
    """A service's host among other words is no service's user agent."""
    assert client_of("my-tool autoscaling.amazonaws.com") == "unknown"


def test_two_calls_of_one_program_have_one_client() -> None:
    """The command that the AWS CLI adds to its user agent does not make it another client."""
    search = client_of("aws-cli/2.17.32 md/command#ec2.describe-images")
    launch = client_of("aws-cli/2.17.32 md/command#ec2.run-instances")

    assert search == launch


def test_nothing_after_first_kilobyte_is_read() -> None:
    """What CloudTrail would have cut off has no say."""
    assert client_of("x" * MAX_USER_AGENT_LENGTH + " Terraform/1.1.2") == "unknown"


@pytest.mark.slow
@given(
    st.one_of(
        st.text(max_size=3_000),
        st.lists(
            st.sampled_from(
                ["aws-sdk-go/1", " ", "[", "(", "Terraform/", "x", "console", "a.", ";"]
            ),
            max_size=400,
        ).map("".join),
    )
)
def test_every_user_agent_has_a_client_of_the_list(user_agent: str) -> None:
    """Whatever the caller sends, the answer is one of a closed set of words."""
    assert client_of(user_agent) in CLIENTS


@given(st.sampled_from(sorted(SERVICES)), st.sampled_from(["", ".us-east-1", ".eu-west-1"]))
def test_known_service_is_named_by_its_first_label(service: str, rest: str) -> None:
    """A known service keeps its name whatever the region in its host."""
    assert client_of(f"{service}{rest}.amazonaws.com") == service

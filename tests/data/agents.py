"""The `userAgent` of the programs that look images up and start instances."""

from typing import Final

TERRAFORM: Final = (
    "APN/1.0 HashiCorp/1.0 Terraform/1.9.8 (+https://www.terraform.io) "
    "terraform-provider-aws/5.74.0 (+https://registry.terraform.io/providers/hashicorp/aws) "
    "aws-sdk-go-v2/1.32.2 ua/2.1 os/linux lang/go#1.23.2 md/GOOS#linux md/GOARCH#amd64 "
    "api/ec2#1.186.0 m/E,g"
)
PACKER: Final = (
    "APN/1.0 HashiCorp/1.0 Packer/1.11.2 (+https://www.packer.io/) packer-plugin-amazon/1.2.1 "
    "(+https://www.packer.io/docs/builders/amazon) aws-sdk-go/1.44.114 (go1.21.5; linux; amd64)"
)
PULUMI: Final = (
    "APN/1.0 Pulumi/1.0 PulumiAWS/6.56.1 aws-sdk-go-v2/1.32.2 ua/2.1 os/linux lang/go#1.23.2 "
    "md/GOOS#linux md/GOARCH#amd64 api/ec2#1.186.0 m/E,g"
)
ANSIBLE: Final = "APN/1.0 Ansible/2.17.5 amazon.aws/9.0.0"
CDK: Final = (
    "aws-sdk-js/3.699.0 ua/2.1 os/linux#6.8.0-49-generic lang/js md/nodejs#20.18.1 api/ec2#3.699.0 "
    "aws-cdk/2.173.0 m/E,N"
)
KARPENTER: Final = (
    "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOOS#linux md/GOARCH#amd64 "
    "api/ec2#1.212.0 m/h karpenter.sh-1.5.0"
)
GO_SDK: Final = (
    "aws-sdk-go-v2/1.36.3 ua/2.1 os/linux lang/go#1.24.2 md/GOOS#linux md/GOARCH#amd64 "
    "api/ec2#1.212.0 m/E,g"
)
JAVA_SDK: Final = (
    "aws-sdk-java/2.29.20 md/io#sync md/http#Apache ua/2.1 os/Linux#6.8.0-49-generic "
    "lang/java#21.0.5 md/OpenJDK_64-Bit_Server_VM#21.0.5+11 md/vendor#Eclipse_Adoptium md/en_US "
    "api/EC2#2.29.x m/D,N"
)
BOTO3: Final = (
    "Boto3/1.37.4 md/Botocore#1.37.4 ua/2.0 os/linux#6.8.0-1021-aws md/arch#x86_64 "
    "lang/python#3.12.8 md/pyimpl#CPython m/Z,b,D cfg/retry-mode#legacy Botocore/1.37.4"
)
AWS_CLI_V1: Final = (
    "aws-cli/1.38.4 md/Botocore#1.37.4 ua/2.0 os/linux#6.8.0-1021-aws md/arch#x86_64 "
    "lang/python#3.11.9 md/pyimpl#CPython m/b,Z,D cfg/retry-mode#legacy botocore/1.37.4"
)
OLD_AWS_CLI_V1: Final = "[aws-cli/1.16.300 Python/2.7.16 Linux/4.14.152 botocore/1.13.36]"

CONSOLE: Final = "console.ec2.amazonaws.com"
CONSOLE_FRONTEND: Final = (
    "[EC2ConsoleFrontend, aws-internal/3 aws-sdk-java/1.12.780 "
    "Linux/5.10.228-198.884.amzn2int.x86_64 OpenJDK_64-Bit_Server_VM/25.432-b09 java/1.8.0_432 "
    "vendor/N/A cfg/retry-mode/standard]"
)
CONSOLE_INTERNAL: Final = "AWS Internal"
BROWSER: Final = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Safari/537.36"
)

AUTOSCALING: Final = "autoscaling.amazonaws.com"
CLOUDFORMATION: Final = "cloudformation.amazonaws.com"
EKS_NODEGROUP: Final = "eks-nodegroup.amazonaws.com"


def aws_cli_v2(command: str) -> str:
    """Returns the agent of aws-cli 2, which names its command, such as `ec2.describe-images`."""
    return (
        "aws-cli/2.22.7 md/awscrt#0.23.4 ua/2.0 os/linux#6.8.0-49-generic md/arch#x86_64 "
        "lang/python#3.12.6 md/pyimpl#CPython m/b,E cfg/retry-mode#standard md/installer#exe "
        f"md/distrib#ubuntu.24 md/prompt#off md/command#{command}"
    )

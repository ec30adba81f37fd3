"""What the rule reads out of CloudTrail: searches and launches, as immutable values."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec
from msgspec import Struct

MAX_INSTANCE_IDS = 1_000
"""Instance ids kept of one launch; RunInstances itself starts at most 1,000 by default quota."""

RESOLVE_PREFIX = "resolve:ssm:"
"""How a request names an image through an SSM parameter instead of by id."""

# Below, `gc=False`: what is frozen and made of these, texts and times is part of no cycle, and the
# collector would look at every record of a batch in vain.


class LaunchPath(StrEnum):
    """The API calls that consume an image id (docs/rule.md, sections 2 and 8)."""

    RUN_INSTANCES = "RunInstances"
    CREATE_LAUNCH_TEMPLATE = "CreateLaunchTemplate"
    CREATE_LAUNCH_TEMPLATE_VERSION = "CreateLaunchTemplateVersion"
    REQUEST_SPOT_INSTANCES = "RequestSpotInstances"
    REQUEST_SPOT_FLEET = "RequestSpotFleet"
    CREATE_FLEET = "CreateFleet"
    CREATE_LAUNCH_CONFIGURATION = "CreateLaunchConfiguration"


TEMPLATE_PATHS = frozenset(
    {LaunchPath.CREATE_LAUNCH_TEMPLATE, LaunchPath.CREATE_LAUNCH_TEMPLATE_VERSION}
)
"""The launch paths that pin an image into a version of a launch template."""


def lane_of(actor_arn: str) -> str:
    """Returns the lane of an actor's records: see `Origin.lane`."""
    role = _role_of(actor_arn)
    return f"role/{role}" if role else actor_arn


def _role_of(arn: str) -> str:
    """Returns the name of the role that an ARN stands for; empty where it stands for none."""
    _, _, session = arn.partition(":assumed-role/")
    if session:
        return session.partition("/")[0]
    return arn.partition(":role/")[2].rpartition("/")[2]


class Origin(Struct, frozen=True, gc=False, omit_defaults=True):
    """Which call this was: whose, where and when.

    `event_id` is the CloudTrail eventID, or the SHA-256 of the canonical record where there is
    none. `principal_arn` is `userIdentity.arn` exactly as recorded; `actor_arn` is the role behind
    an assumed role, else the principal. `account_id` is None where the record names no account.
    `event_time` is aware UTC with whole seconds.
    """

    event_id: str
    event_time: datetime
    region: str
    account_id: str | None = None
    principal_arn: str | None = None
    actor_arn: str | None = None
    user_agent: str = ""
    source_ip_address: str = ""

    @property
    def is_identified(self) -> bool:
        """Whether it names an account and somebody of it, and so can be correlated at all."""
        return self.account_id is not None and (self.principal_arn or self.actor_arn) is not None

    @property
    def lane(self) -> str | None:
        """Gives what both correlation keys imply: the role's name, else the principal.

        Records with the same principal, or with the same actor, are in one lane, so that a store
        can keep and lock them together whichever key the policy asks for. None where the record
        names nobody or no account, and so can never be correlated.
        """
        who = self.principal_arn or self.actor_arn
        if who is None or self.account_id is None:
            return None
        role = _role_of(who) or _role_of(self.actor_arn or "")
        return f"role/{role}" if role else who


class SearchFilter(Struct, frozen=True, gc=False):
    """One filter of a search: values are sorted, free of repeats and never empty."""

    name: str
    values: tuple[str, ...]


class SearchRequest(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a search asked for, in canonical form: sorted, without repeats, empties and paging.

    Two requests are equal exactly when their fingerprints are. `parameters_omitted` says that
    CloudTrail left the parameters out because they were over 100 KB.
    """

    filters: tuple[SearchFilter, ...] = ()
    owners: tuple[str, ...] = ()
    image_ids: tuple[str, ...] = ()
    executable_by: tuple[str, ...] = ()
    include_deprecated: bool = False
    include_disabled: bool = False
    parameters_omitted: bool = False

    def values_of(self, name: str) -> tuple[str, ...]:
        """Returns the values of the filter with exactly this name; none when it is absent."""
        for item in self.filters:
            if item.name == name:
                return item.values
        return ()

    def fingerprint(self) -> str:
        """Returns the SHA-256, in hexadecimal, of the canonical JSON of the request."""
        fields = {
            "executableByUsers": self.executable_by,
            "filters": {item.name: item.values for item in self.filters},
            "imageIds": self.image_ids,
            "includeDeprecated": self.include_deprecated,
            "includeDisabled": self.include_disabled,
            "owners": self.owners,
            "parametersOmitted": self.parameters_omitted,
        }
        canonical = {name: value for name, value in fields.items() if value}
        return sha256(msgspec.json.encode(canonical, order="sorted")).hexdigest()


class Search(Struct, frozen=True, gc=False):
    """A successful ec2 DescribeImages."""

    origin: Origin
    request: SearchRequest
    fingerprint: str


class TemplateVersion(Struct, frozen=True, gc=False):
    """One version of a launch template: made once, with one image or none, and never changed."""

    template_id: str
    version: str

    @property
    def lane(self) -> str:
        """Gives the lane in which a version and the launches made from it meet.

        Whoever pins an image and whoever launches it have lanes of their own: see `Origin.lane`.
        """
        return f"template/{self.template_id}"


class Launch(Struct, frozen=True, gc=False, omit_defaults=True):
    """A successful call that starts instances from an image, or pins one (`path`).

    `image_ids` come from the response, else from the request, and may be empty: a launch template
    names the image elsewhere. `through_parameter` says that the request named an SSM parameter.
    `template` is the version of a launch template that the call made, where it is of
    TEMPLATE_PATHS, and else the one that the instances carry in their tags.
    """

    origin: Origin
    path: LaunchPath = LaunchPath.RUN_INSTANCES
    image_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    through_parameter: bool = False
    template: TemplateVersion | None = None

    @property
    def is_pin(self) -> bool:
        """Whether later launches can be known to use what this call pinned."""
        return self.template is not None and self.path in TEMPLATE_PATHS

    @property
    def is_from_template(self) -> bool:
        """Whether the call started instances from what another one had pinned."""
        return self.template is not None and self.path not in TEMPLATE_PATHS

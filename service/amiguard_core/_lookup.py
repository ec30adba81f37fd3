"""The mended lookup, before it is written in any language."""

from __future__ import annotations

import re

from msgspec import Struct

from amiguard_core.events import SearchFilter, SearchRequest
from amiguard_core.families import families_of, suggested_owners
from amiguard_core.judge import IMAGE_ID_FILTER, NAME_FILTER, OWNER_FILTERS
from amiguard_core.patterns import Pattern

DEFAULT_OWNER = "self"
"""The owner of a lookup whose publisher is not known: the only one that lets no stranger in."""

MAX_ADVISED = 20
"""Names that are compared with the public families. A search may have 200, each of which takes a
comparison with every family; people ask for a few."""

PARAMETER_TREES = {
    "Amazon EKS": "/aws/service/eks/optimized-ami",
    "Amazon Linux": "/aws/service/ami-amazon-linux-latest",
    "Amazon Windows": "/aws/service/ami-windows-latest",
    "Canonical": "/aws/service/canonical/ubuntu",
}
"""Where AWS keeps the image ids of a publisher as public SSM parameters.

Sources: the AWS Systems Manager user guide, "Calling AMI public parameters" (Linux, Windows), the
Amazon EKS user guide, "Retrieve recommended Amazon Linux AMI IDs", and Canonical's "Find Ubuntu
images on AWS". Only the trees are named: the leaves change with releases.
"""

_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,16}){1,4}", re.ASCII)
_GRANTEE = re.compile(r"self|all|[0-9]{12}", re.ASCII)
_PUBLIC_PARTITION = re.compile(r"(?!cn-|us-gov-|us-iso|eu-iso|eusc-)")


class Lookup(Struct, frozen=True):
    """A search with its owners stated.

    `filters` are those of the search, names first, without its owner filters. `notes` are comments
    in our own words, of letters, digits and plain punctuation alone, so that they are comments in
    every language and nothing in any shell.
    """

    owners: tuple[str, ...]
    filters: tuple[SearchFilter, ...] = ()
    executable_by: tuple[str, ...] = ()
    include_deprecated: bool = False
    include_disabled: bool = False
    region: str | None = None
    notes: tuple[str, ...] = ()

    def values_of(self, name: str) -> tuple[str, ...]:
        """Returns the values of the filter with exactly this name; none when it is absent."""
        return next((item.values for item in self.filters if item.name == name), ())


class Advice(Struct, frozen=True):
    """Whose images a search most likely means, and how sure that is."""

    owners: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    is_partial: bool = False
    """Some of the names point to no publisher."""
    parameter_tree: str | None = None
    """Where the same images are found without a search; None where we are not sure."""


def known_region(region: str) -> str | None:
    """Returns the region when it reads like one; else None, and it is not to be shown."""
    return region if _REGION.fullmatch(region) else None


def advise(request: SearchRequest, *, region: str) -> Advice:
    """Says whose images the names of a search most likely are, by the first MAX_ADVISED of them."""
    names = request.values_of(NAME_FILTER)
    patterns = tuple(Pattern.parse(text) for text in names[:MAX_ADVISED])
    owners = suggested_owners(patterns, region)
    if not owners:
        return Advice()
    publishers = tuple(
        dict.fromkeys(
            family.publisher
            for pattern in patterns
            for family in families_of(pattern)
            if family.publisher and set(suggested_owners((family.pattern,), region)) <= set(owners)
        )
    )
    sole = publishers[0] if len(publishers) == 1 else ""
    return Advice(
        owners=owners,
        publishers=publishers,
        is_partial=len(names) > MAX_ADVISED
        or any(not suggested_owners((pattern,), region) for pattern in patterns),
        parameter_tree=PARAMETER_TREES.get(sole) if _PUBLIC_PARTITION.match(region) else None,
    )


def lookup_of(request: SearchRequest, advice: Advice, *, region: str) -> Lookup:
    """Returns the search as it was asked, but for its owners."""
    kept = [item for item in request.filters if item.name not in OWNER_FILTERS]
    if request.image_ids and not request.values_of(IMAGE_ID_FILTER):
        kept.append(SearchFilter(name=IMAGE_ID_FILTER, values=request.image_ids))
    return Lookup(
        owners=advice.owners or (DEFAULT_OWNER,),
        filters=tuple(sorted(kept, key=lambda item: (item.name != NAME_FILTER, item.name))),
        # EC2 takes nothing else, so nothing else was in a search that succeeded.
        executable_by=tuple(user for user in request.executable_by if _GRANTEE.fullmatch(user)),
        include_deprecated=request.include_deprecated,
        include_disabled=request.include_disabled,
        region=known_region(region),
        notes=tuple(_notes(request, advice)),
    )


def names_owner(request: SearchRequest) -> bool:
    """Says whether a search names an owner at all, trusted or not."""
    return bool(request.owners) or any(request.values_of(name) for name in OWNER_FILTERS)


def _notes(request: SearchRequest, advice: Advice) -> list[str]:
    notes = []
    if not advice.owners:
        notes += [
            "CHOOSE THE OWNER: self finds only images of the account itself.",
            "For images of somebody else write that account id in its place,",
            "or one of amazon, aws-marketplace, aws-backup-vault.",
        ]
    elif len(advice.publishers) == 1:
        notes.append(f"Owner of these names: {advice.publishers[0]}.")
    else:
        notes.append("Known owners of these names: keep only those that are meant.")
    if advice.is_partial:
        notes.append("Some of the names have no known owner: add it, or take them out.")
    if names_owner(request):
        notes.append("These owners replace those that the search asked for.")
    if request.parameters_omitted:
        notes.append("CloudTrail left the parameters out: keep the filters of the code.")
    if advice.parameter_tree is not None:
        notes.append(
            f"Or read the image id from the public SSM parameters in {advice.parameter_tree}"
        )
    return notes

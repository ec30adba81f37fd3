"""What a person must read on a finding: triage steps, and the lookup mended for its client."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct

from amiguard_core._lookup import advise, known_region, lookup_of, names_owner
from amiguard_core._snippets import snippet_for
from amiguard_core.clients import CLIENTS, UNKNOWN
from amiguard_core.judge import NAME_FILTER
from amiguard_core.patterns import Pattern

if TYPE_CHECKING:
    from amiguard_core._lookup import Advice
    from amiguard_core.events import SearchRequest

_ACCOUNT_ID = re.compile(r"[0-9]{12}", re.ASCII)


class Remediation(Struct, frozen=True):
    """How to triage a finding and how to mend the search (docs/rule.md, section 11).

    `fix_snippet` asks what the search asked, with the owner stated, in `fix_language`. Where no
    publisher is known it says `self` and tells the reader to choose. Nothing in the snippet runs
    when it is pasted but the lookup itself, whatever the search had in it. `suggested_owners` are
    the owners of the searched names, none when no publisher is known.
    """

    steps: tuple[str, ...]
    fix_snippet: str
    fix_language: str
    suggested_owners: tuple[str, ...]


@lru_cache(maxsize=1_024)
def remediate(request: SearchRequest, *, client: str, account_id: str, region: str) -> Remediation:
    """Says how to triage and mend a search that a client made in an account and a region.

    A client without a form of its own is given the lookup for the AWS CLI.
    """
    advice = advise(request, region=region)
    snippet = snippet_for(client, lookup_of(request, advice, region=region))
    return Remediation(
        steps=(
            _look_into_the_principal(_place(account_id, region)),
            _find_the_code(request, client),
            _say_whose_image(request, advice),
            _limit_the_account(_place(account_id, region)),
        ),
        fix_snippet=snippet.text,
        fix_language=snippet.language,
        suggested_owners=advice.owners,
    )


def _place(account_id: str, region: str) -> str:
    account = f"account {account_id}" if _ACCOUNT_ID.fullmatch(account_id) else "the account"
    return f"{account}, region {known_region(region) or 'unknown'}"


def _look_into_the_principal(place: str) -> str:
    return (
        f"Look into the principal that made the calls in {place}: who or what acts as it, "
        "and were this search and this launch expected of it?"
    )


def _find_the_code(request: SearchRequest, client: str) -> str:
    named = "" if client == UNKNOWN or client not in CLIENTS else f" (client: {client})"
    step = (
        f"Find the code that looked the image up{named} and check whether the launch used its "
        "answer. If it did, see whose the launched image is: `aws ec2 describe-images "
        "--image-ids` shows OwnerId and Name. An instance of a stranger's image is an incident: "
        "isolate it."
    )
    if client == "packer" and _is_exact(request.values_of(NAME_FILTER)):
        step += (
            " Packer's amazon plugin before 1.2.4 makes such a search by itself, to see whether "
            "the name of the new image is free: upgrade it."
        )
    return step


def _say_whose_image(request: SearchRequest, advice: Advice) -> str:
    step = (
        "Have the code say whose image it wants, as the fix does: Owners = an account id, self, "
        "amazon, aws-backup-vault or aws-marketplace; or the filter owner-alias = amazon, "
        "aws-marketplace or aws-backup-vault; or the filter owner-id = an account id."
    )
    if advice.owners:
        owners = ", ".join(advice.owners)
        publishers = " or ".join(advice.publishers)
        step += f" The searched names are published by {publishers}: {owners}."
    else:
        step += " No known publisher uses the searched names: the choice is yours."
    if names_owner(request):
        step += (
            " The search did ask for an owner, but for one that bounds nothing or is not trusted "
            "here: if it is the right one, put it on the allowlist with a reason."
        )
    if advice.parameter_tree is not None:
        step += (
            " Or drop the search and read the image id from the public SSM parameters under "
            f"{advice.parameter_tree}."
        )
    return step


def _limit_the_account(place: str) -> str:
    return (
        f"Consider Allowed AMIs in {place}, first in audit mode: only images of the owners "
        "listed there can then be found and launched. It is set per account and region, or for "
        "all of them by a declarative policy of the organization."
    )


def _is_exact(patterns: tuple[str, ...]) -> bool:
    return bool(patterns) and not any(Pattern.parse(text).has_wildcard for text in patterns)

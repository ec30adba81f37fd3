"""Findings as events of the Open Cybersecurity Schema Framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amiguard import ocsf
from amiguard_client._to_wire import finding_message

if TYPE_CHECKING:
    from amiguard_client.values import Finding

DEFAULT_VERSION: Final = ocsf.DEFAULT_VERSION
VERSIONS: Final = ocsf.VERSIONS
"""Releases of the schema that an event may name; what stands in it is valid in each of them."""


def detection_finding(finding: Finding, *, version: str = DEFAULT_VERSION) -> dict[str, Any]:
    """Returns a finding as an OCSF Detection Finding (class_uid 2004), ready for JSON.

    `amiguard.ocsf.detection_finding`, which takes the message of the contract, says what is where.

    Raises ValueError for a version that is not in VERSIONS, and for a finding without any time.
    """
    return ocsf.detection_finding(finding_message(finding), version=version)

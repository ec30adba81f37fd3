"""What whoever configures an asset is asked for."""

from typing import Final

from soar_sdk.asset import AssetField, BaseAsset, FieldCategory

LIKELIHOODS: Final = ("LOW", "MEDIUM", "HIGH")
"""From the least to the greatest."""
UNHANDLED: Final = "state = OPEN OR state = ACKNOWLEDGED"
"""What is polled unless the asset says otherwise: a new occurrence reopens what is closed."""
MAX_FINDINGS: Final = 500
"""Findings of one scheduled poll: more would hold up the other assets of the platform."""


class Asset(BaseAsset):
    """One amiguard server, and what is polled from it."""

    server: str = AssetField(description="Address of the amiguard server: HOST:PORT")
    token: str | None = AssetField(
        description="Token: with role read to poll and to see; with respond, ingest and admin for "
        "the actions that write",
        sensitive=True,
    )
    ca_certificate: str | None = AssetField(
        description="Certificates (PEM) that the server's is checked against; "
        "those of the system if empty",
        is_file=True,
    )
    insecure: bool = AssetField(
        description="Plain text without credentials: only for a server on this machine",
        default=False,
        required=False,
    )
    min_likelihood: str = AssetField(
        description="Least likelihood of the findings that are polled",
        default="LOW",
        required=False,
        value_list=list(LIKELIHOODS),
        category=FieldCategory.INGEST,
    )
    # Not optional: the SDK takes what is optional and not given for None, whatever its default.
    filter: str = AssetField(
        description="Which findings are polled, in the filter language of the API; all if empty",
        default=UNHANDLED,
        required=False,
        category=FieldCategory.INGEST,
    )
    max_findings: int = AssetField(
        description="Most findings of one scheduled poll; the next one goes on where it ended",
        default=MAX_FINDINGS,
        required=False,
        category=FieldCategory.INGEST,
    )

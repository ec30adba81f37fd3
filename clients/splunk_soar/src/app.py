"""The app: every action under its name, and how to run one from a command line.

`python -m src.app action get_findings -p params.json -a asset.json`, from the app's directory.
"""

from collections.abc import Callable
from typing import cast

from soar_sdk.app import App
from soar_sdk.logging import getLogger
from soar_sdk.types import NamedCallable

from .allowing import allow_pattern
from .asset import Asset
from .connection import connected
from .finding_actions import acknowledge_finding, close_finding, get_finding, get_findings
from .polling import poll
from .selection import polled
from .submitting import submit_events

app = App(
    asset_cls=Asset,
    # The SDK names the folder in the package so, which must not hide the Python package `amiguard`.
    name="amiguard connector",
    app_type="siem",
    logo="logo.svg",
    logo_dark="logo_dark.svg",
    product_vendor="amiguard",
    product_name="amiguard",
    publisher="amiguard",
    appid="8a0f6a1c-41a5-4f0e-9d6b-6a7c54f0b7d2",
    python_version="3.13",
    fips_compliant=False,
)


@app.test_connectivity()
def check_connectivity(asset: Asset) -> None:
    """Reads one finding in the way that a poll does: address, certificate, token and filter."""
    getLogger().progress(f"Reading from {asset.server}")
    with connected(asset) as client:
        next(client.list_findings(polled(asset), page_size=1), None)


def _register(
    action: Callable[..., object],
    action_type: str,
    *,
    read_only: bool = False,
    render_as: str = "table",
) -> None:
    # To mypy the `__globals__` of a function are not settable, as the SDK's protocol wants them.
    function = cast("NamedCallable", action)
    app.register_action(function, action_type=action_type, read_only=read_only, render_as=render_as)


app.on_poll()(poll)
_register(get_findings, "investigate", read_only=True)
_register(get_finding, "investigate", read_only=True, render_as="json")
_register(acknowledge_finding, "correct")
_register(close_finding, "correct")
_register(submit_events, "generic")
_register(allow_pattern, "correct")

if __name__ == "__main__":
    app.cli()

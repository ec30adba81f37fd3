"""What the modules share: their options for the server, a client of it, and how they fail."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

if TYPE_CHECKING:
    from amiguard_client import Client

CONNECTION: dict[str, dict[str, Any]] = {
    "server": {
        "type": "str",
        "required": True,
        "fallback": (env_fallback, ["AMIGUARD_SERVER"]),
    },
    "ca": {"type": "path", "fallback": (env_fallback, ["AMIGUARD_CA"])},
    "token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AMIGUARD_TOKEN"])},
    "token_file": {"type": "path", "no_log": False},
    "insecure": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 30},
}
"""The options that the doc fragment describes."""


@contextmanager
def connected(module: AnsibleModule) -> Iterator[Client]:
    """Gives a client of the server that a module's options name, until the end of the block.

    What goes wrong in the block fails the module with one line, and with `code` and `reason` as
    the server gave them.
    """
    try:
        from amiguard_client import AmiguardError
        from amiguard_client.options import OptionError, open_client
    except ImportError:
        fail(module, missing_required_lib("amiguard"), exception=traceback.format_exc())
    options = {name: module.params[name] for name in ("ca", "token", "token_file", "insecure")}
    if options["token_file"]:
        # Named in the task, while a token may come from the environment.
        options["token"] = None
    try:
        timeout = timedelta(seconds=module.params["timeout"])
        with open_client(module.params["server"], timeout=timeout, **options) as client:
            yield client
    except AmiguardError as error:
        fail(module, " ".join(str(error).split()), code=error.code, reason=error.reason)
    except OptionError as error:
        fail(module, str(error), code="INVALID_ARGUMENT")


def fail(
    module: AnsibleModule,
    message: str,
    *,
    code: str | None = None,
    reason: str | None = None,
    exception: str | None = None,
) -> NoReturn:
    """Ends a module with one line, and with what tells a playbook why."""
    details = {"exception": exception} if exception else {}
    module.fail_json(msg=message, code=code, reason=reason, **details)
    raise SystemExit(1)


def time_of(module: AnsibleModule, option: str) -> datetime | None:
    """Returns the time an option gives, None where it is absent; fails the module if it is none."""
    text = module.params[option]
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        fail(module, f"{option}: got {text!r}, expected such as 2026-01-31T08:00:00Z")
    return time if time.tzinfo else time.replace(tzinfo=UTC)

"""What to do about an error of the client, in the words of the command line."""

from __future__ import annotations

import re

from amiguard_client import errors
from amiguard_client._status import BETWEEN

_PREAMBLE = re.compile(
    r"(?:failed to connect to all addresses|connections to all backends failing); last error: \w+: "
)
"""How gRPC begins where it could have begun with the cause."""
_NOT_TRUSTED = "CERTIFICATE_VERIFY_FAILED"
_NO_TLS = "WRONG_VERSION_NUMBER"
"""What gRPC says of a server that is not trusted, and of one that speaks plain text."""

_BY_PROXY = re.compile(r"cannot be reached through the proxy that (\w+) names")

_ADVICE = {
    errors.UnreachableError: "Check the address (--server, or the context) and that it runs.",
    errors.UnauthenticatedError: "Give a valid token (AMIGUARD_TOKEN, or the context's source).",
    errors.PermissionDeniedError: "Ask the operator of the server for the role.",
    errors.OverloadedError: "Try again in a while.",
    errors.CursorExpiredError: "To go on, list the findings, then watch anew.",
}

_ADVICE_ON_REASON = {
    "STORE_UNAVAILABLE": "Its log says why, under store.unavailable.",
    "DRAINING": "Try again in a while.",
    "STATEMENT_TIMEOUT": "Ask for less, or try again in a while.",
}
"""What to do where the server was reached and its answer says more than the kind of the error."""


def line_on(error: errors.AmiguardError) -> str:
    """Returns an error, its cause as the contract names it, and what to do, on one line."""
    text = _PREAMBLE.sub("", str(error)).rstrip(".")
    reason = f"Reason: {error.reason}." if error.reason else None
    advice = _ADVICE_ON_REASON.get(error.reason or "") or _ADVICE.get(type(error))
    if _NOT_TRUSTED in text:
        advice = "Its certificate is not trusted: give --ca."
    elif _NO_TLS in text:
        advice = "It speaks plain text: give --insecure if that is meant."
    elif BETWEEN in text:
        advice = "Check what stands in between, and its log."
    elif by_proxy := _BY_PROXY.search(text):
        advice = f"Check {by_proxy[1]}, or name the server's host in no_proxy."
    return " ".join(filter(None, (f"Error: {text}.", reason, advice)))

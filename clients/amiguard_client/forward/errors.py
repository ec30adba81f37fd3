"""What may come in the way of forwarding: one exception per thing that is done about it."""

from __future__ import annotations


class ForwardError(Exception):
    """Base of them all; the text is one line for whoever runs the forwarder."""


class SetupError(ForwardError):
    """The forwarder cannot work as it is set up: whoever runs it has to mend something."""


class AwayError(ForwardError):
    """AWS cannot be reached, fails or asks to slow down: the same may go well later."""


class ObjectFaultError(ForwardError):
    """One object cannot be had now, such as for want of a permission: tried again a few times."""


class BadObjectError(ForwardError):
    """One object or message cannot be forwarded, however often it is tried."""


class StoppedError(ForwardError):
    """The forwarder stops, and what was under way is given back."""

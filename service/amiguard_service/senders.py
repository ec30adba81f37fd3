"""The sinks of a server, from its settings to what sends to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from amiguard_service.config import Effective
from amiguard_service.delivery import Sender
from amiguard_service.sink_files import SinkFileError, read_sinks
from amiguard_service.sinks import Sink, SinkKind


def make_sinks(effective: Effective, environment: Mapping[str, str]) -> tuple[Sink, ...]:
    """Returns the sinks that the settings name; raises ConfigError where they cannot be used."""
    path = effective.settings.sinks
    if path is None:
        return ()
    try:
        return read_sinks(path, environment)
    except OSError as error:
        raise effective.error("sinks", expected=f"a readable file ({error.strerror})") from None
    except SinkFileError as error:
        raise effective.error("sinks", expected=f"a file of sinks ({error})") from None


def make_sender(sink: Sink, *, clock: Callable[[], datetime]) -> Sender:
    """Returns what sends to a sink. Called on the event loop."""
    # Each needs a package that only servers with such a sink have.
    if sink.kind is SinkKind.APPRISE:
        from amiguard_service.notices import Notices  # noqa: PLC0415

        return Notices(sink)
    from amiguard_service.webhook import Webhook  # noqa: PLC0415

    return Webhook(sink, clock=clock)

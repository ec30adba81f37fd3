"""Notices to chats and pagers, through apprise: a title and a few lines about a finding.

Apprise says whether a service took a notice and no more, so every failure is taken for one of the
service, and what the service said about coming back is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

from amiguard_core.findings import Likelihood
from amiguard_service.delivery import MAX_ANSWER_CHARACTERS, Event, Outcome, Send, printable
from amiguard_service.sinks import Sink
from amiguard_service.stored import State, finding_name

if TYPE_CHECKING:
    from apprise import NotifyBase

_MAX_PATTERNS: Final = 3
_MAX_TEXT: Final = 200
"""What is shown of anything that a caller chose: names and ARNs may be longer."""
_TYPES: Final = {Likelihood.LOW: "info", Likelihood.MEDIUM: "warning", Likelihood.HIGH: "failure"}


class NoticeUrlError(ValueError):
    """A URL is none that apprise knows. The text never holds it."""


def open_service(url: str, *, seconds: float | None = None) -> NotifyBase:
    """Returns the service behind a URL of apprise; `seconds` bound each wait for it.

    Raises NoticeUrlError, or ImportError where apprise is not installed.
    """
    # Loads a hundred services, which nobody without such a sink should wait for.
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415

    # A redirect would take a finding to a place that the operator has not named.
    asset = AppriseAsset(app_id="amiguard", app_desc="amiguard", http_redirects=False)
    service = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise NoticeUrlError("a URL that apprise knows")
    if seconds is not None:
        service.socket_connect_timeout = service.socket_read_timeout = seconds
    return service


class Notices:
    """Sends the events of one sink, one at a time in a thread of its own."""

    max_concurrent = 1

    def __init__(self, sink: Sink) -> None:
        from apprise import Apprise  # noqa: PLC0415 - as above

        self._apprise = Apprise()
        self._apprise.add(open_service(sink.url, seconds=sink.timeout.total_seconds()))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{sink.sink_id}")

    def prepare(self, event: Event) -> Send:
        """Returns the attempt to send an event."""
        return partial(self._notify, *_notice_of(event))

    async def close(self) -> None:
        """Lets the notice under way end by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _notify(self, title: str, body: str, kind: str) -> Outcome:
        def work() -> Outcome:
            result = self._apprise.notify(
                body=body, title=title, notify_type=kind, body_format="text"
            )
            said = printable(
                " ".join(entry.message for entry in result.logs()), MAX_ANSWER_CHARACTERS
            )
            if result:
                return Outcome(is_delivered=True, answer="taken")
            return Outcome(is_delivered=False, answer=said or "not taken")

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _notice_of(event: Event) -> tuple[str, str, str]:
    """Returns title, text and kind of a notice."""
    if event.finding is None:
        return "amiguard: test", "A test of this sink. There is no finding behind it.", "info"
    finding = event.finding
    key = finding.key
    title = (
        f"[{finding.likelihood}] AMI name confusion in {key.account_id} {_short(key.region)}"
        f" is {finding.state}"
    )
    count = finding.occurrence_count
    launches = "1 launch" if count == 1 else f"{count} launches"
    what = (
        f"{_short(key.actor_arn)} searched for images named {_patterns(finding.search_names)} "
        "without saying whose they may be, and launched instances."
    )
    when = (
        f"{launches}, the last at {finding.last_launch_time:%Y-%m-%d %H:%M:%S} UTC. "
        f"Likelihood {finding.score} of 100, confidence {finding.confidence}."
    )
    where = f"{finding_name(finding.finding_id)}, revision {finding.revision}"
    kind = "success" if finding.state is State.CLOSED else _TYPES[finding.likelihood]
    return title, f"{what}\n{when}\n{where}", kind


def _patterns(patterns: Iterable[str]) -> str:
    shown = [_short(pattern) for pattern in patterns]
    more = len(shown) - _MAX_PATTERNS
    return ", ".join(shown[:_MAX_PATTERNS]) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    """Returns what a caller chose, on one line."""
    return printable(text, _MAX_TEXT)

"""Webhooks: one POST for each event, and what its answer means.

Every attempt has a connection of its own. No redirect is followed, no proxy used, no certificate
taken on trust, and unless the operator says otherwise no address connected to that is not public,
whatever its name resolves to at that moment.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from importlib.metadata import version
from typing import Final

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from amiguard_service.addresses import is_public
from amiguard_service.cloud_events import CONTENT_TYPE, encode_event, signed_headers
from amiguard_service.delivery import MAX_ANSWER_CHARACTERS, Event, Outcome, Send, printable
from amiguard_service.sinks import Sink

_REFUSALS: Final = frozenset({400, 409, 411, 413, 415, 422, 431})
"""Answers that speak of the one request: another may be taken. Any other failure is the sink's."""
_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


class Webhook:
    """Sends the events of one sink. Made on the event loop that it is used from."""

    max_concurrent = 8

    def __init__(self, sink: Sink, *, clock: Callable[[], datetime]) -> None:
        """Raises OSError or ssl.SSLError where the sink's authorities cannot be read."""
        self._sink = sink
        # As it is dialled, not as it is written: there are other digits, and other dots.
        self._host = yarl.URL(sink.url).host or ""
        self._clock = clock
        # What the system trusts, or these alone; names and certificates are always checked.
        context = ssl.create_default_context(cafile=sink.tls_ca)
        self._resolver = SinkResolver(only_public=not sink.private_network)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context, resolver=self._resolver, use_dns_cache=False, force_close=True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The deliverer bounds the whole attempt.
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            trust_env=False,
            headers={
                "Accept-Encoding": "identity",
                "Content-Type": CONTENT_TYPE,
                "User-Agent": f"amiguard/{version('amiguard')}",
            },
        )

    def prepare(self, event: Event) -> Send:
        """Returns the attempt to send an event."""
        return partial(self._post, encode_event(event, self._sink.payload), event.key)

    async def close(self) -> None:
        """Ends every connection."""
        await self._session.close()
        await self._resolver.close()

    async def _post(self, body: bytes, key: str) -> Outcome:
        if not self._sink.private_network and not is_public(self._host):
            # What is an address already is never resolved.
            return Outcome(is_delivered=False, answer=_private(self._host))
        now = self._clock()
        headers = signed_headers(body, key=key, now=now, secrets=self._sink.secrets)
        try:
            async with self._session.post(
                self._sink.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if response.status in _SUCCESS:
                    # Whatever else it says: the event is taken.
                    return Outcome(is_delivered=True, answer=f"HTTP {response.status}")
                begin = await response.content.read(MAX_ANSWER_CHARACTERS)
                return _failure_of(response, begin, now=now)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Outcome(is_delivered=False, answer=_explain(error))


class SinkResolver(AbstractResolver):
    """Resolves names in threads of its own, so that no sink waits for the name of another.

    The addresses it gives are those that are connected to: a name cannot mean another one a moment
    later.
    """

    def __init__(self, *, only_public: bool) -> None:
        self._only_public = only_public
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Returns the addresses of a name; raises OSError where there are none to connect to."""
        ask = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        results = [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
            if is_public(str(address[0])) or not self._only_public
        ]
        if not results:
            raise OSError(_private(host))
        return results

    async def close(self) -> None:
        """Lets the questions under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _private(host: str) -> str:
    return f"{host} is in a private network, and private_network is not set"


def _failure_of(response: aiohttp.ClientResponse, begin: bytes, *, now: datetime) -> Outcome:
    status = response.status
    answer = f"HTTP {status}"
    if status in _REDIRECTS:
        place = response.headers.get("Location", "nowhere")
        answer += f", a redirect to {place}, which is not followed"
    elif begin:
        answer += f": {begin.decode(errors='replace')}"
    return Outcome(
        is_delivered=False,
        answer=printable(answer, MAX_ANSWER_CHARACTERS),
        is_refusal=status in _REFUSALS,
        retry_after=_read_retry_after(response.headers.get("Retry-After", ""), now=now),
    )


def _read_retry_after(text: str, *, now: datetime) -> timedelta | None:
    """Returns the wait that a header asks for, in seconds or until a date; None for neither."""
    try:
        if text.isascii() and text.isdecimal():
            return timedelta(seconds=int(text))
        time = parsedate_to_datetime(text)
        return max(time.replace(tzinfo=time.tzinfo or UTC) - now, timedelta(0))
    except (OverflowError, ValueError):
        return None


def _reason(error: OSError) -> str:
    # Where there is a number, its text is shorter than the one made for the exception.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _explain(error: Exception) -> str:
    """Says what kept a request from being answered, without what was in the request."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text = f"the certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorError():
            text = f"cannot connect: {_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            text = "the connection was closed before an answer came"
        case aiohttp.ClientResponseError():
            text = f"the answer is no HTTP: {error.message}"
        case _:
            text = f"no answer: {error}"
    return printable(text, MAX_ANSWER_CHARACTERS)

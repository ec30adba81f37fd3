"""What a shell offers for a word that is being typed: names that a server or a file knows.

An error ends it with nothing to offer; the root command sees to it that nobody hears of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from amiguard_client.client import Client

_Items: TypeAlias = "list[CompletionItem]"

DEADLINE = timedelta(seconds=1)
"""For each answer of the server, where no --timeout is given: somebody waits for a key to work."""
MOST = 200
"""Names that are asked for: more are no help to anybody."""
_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
"""What may be put on a command line that was typed in part, whoever the server is."""


def complete_finding(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Offers the ids of findings, the latest change first."""
    del param
    with _client(ctx) as client:
        findings = islice(client.list_findings(page_size=MOST), MOST)
        return _items(
            incomplete,
            (
                (
                    finding.name.removeprefix("findings/"),
                    f"{finding.likelihood} {finding.state} {finding.account_id} {finding.region} "
                    + " ".join(finding.search.name_patterns),
                )
                for finding in findings
            ),
        )


def complete_entry(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Offers the ids of allowlist entries."""
    del param
    from amiguard_client._tuning_calls import TuningCalls

    with _client(ctx) as client:
        pages = TuningCalls(client.connection).entry_pages("", page_size=MOST, page_token="")
        return _items(
            incomplete,
            (
                (entry.name.removeprefix("allowlistEntries/"), entry.justification)
                for entry in next(pages).allowlist_entries
            ),
        )


def complete_sink(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Offers the ids of sinks."""
    del param
    from amiguard_client._sink_calls import SinkCalls

    with _client(ctx) as client:
        pages = SinkCalls(client.connection).sink_pages(page_size=MOST)
        return _items(
            incomplete,
            ((sink.name.removeprefix("sinks/"), sink.url) for sink in next(pages).sinks),
        )


def complete_revision(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Offers the revisions of the rule configuration, the newest first."""
    del param
    from amiguard_client._tuning_calls import TuningCalls

    with _client(ctx) as client:
        pages = TuningCalls(client.connection).rule_pages(page_size=MOST, page_token="")
        return _items(
            incomplete,
            (
                (str(rule.revision), f"{rule.create_time.ToJsonString()} by {rule.creator}")
                for rule in next(pages).rule_configs
            ),
        )


def complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> _Items:
    """Offers the names of contexts."""
    del ctx, param
    from amiguard_client.cli.contexts import load_config

    contexts = load_config().contexts
    return _items(incomplete, ((name, context.server) for name, context in contexts.items()))


@contextmanager
def _client(ctx: click.Context) -> Iterator[Client]:
    from dataclasses import replace

    from amiguard_client.cli.server import server_of

    timeout = ctx.find_root().params["timeout"] or DEADLINE
    with replace(server_of(ctx), timeout=timeout).connect() as client:
        yield client


def _items(incomplete: str, named: Iterable[tuple[str, str]]) -> _Items:
    from click.shell_completion import CompletionItem

    from amiguard_client.cli.safe import safe

    return [
        CompletionItem(name, help=safe(note))
        for name, note in named
        if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
    ]

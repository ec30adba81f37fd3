"""Steps of a playbook: functions of plain data, for any SOAR that runs Python.

Every step takes a connection first: the `Settings` of a server, a dict, or a `Client` that is
connected already, which spares a connection for each step. It takes and gives strings, numbers,
booleans, lists and dicts alone, under the names of the wire contract; enum values read as in
filters (`OPEN`), times are RFC 3339 text, and what is absent is None. It raises a SoarError, whose
message is one line, and nothing else.

Findings are named by `findings/{finding_id}` or by the bare id. A step that changes one returns it
as it is then. Playbooks are run again: a finding that is already as a step would leave it is left
as it is, and the step succeeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from amiguard_client._soar import Settings, SoarError, connected, plain, step, time_of
from amiguard_client.errors import ConflictError
from amiguard_client.packing import Records
from amiguard_client.retry import RetryPolicy
from amiguard_client.values import Disposition, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from amiguard_client.client import Client
    from amiguard_client.values import Finding

__all__ = [
    "Settings",
    "SoarError",
    "acknowledge",
    "allow_pattern",
    "assign",
    "close",
    "get_finding",
    "get_findings",
    "label",
    "poll",
    "propose_allow",
    "reopen",
    "submit_events",
]

_MAX_PAGE_SIZE: Final = 500
_ATTEMPTS: Final = 5
"""How often labels are merged anew after somebody else was faster."""


@step
def get_findings(
    connection: Settings | Client,
    filter: str = "",  # noqa: A002 - the contract's word
    *,
    order_by: str = "",
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Returns the first `limit` findings that a filter lets through, newest change first.

    For example `state = OPEN AND likelihood = HIGH`, by `likelihood_score desc`.
    """
    if limit < 1:
        raise ValueError(f"limit: got {limit}, expected 1 or more")
    with connected(connection) as client:
        listed = client.list_findings(
            filter, order_by=order_by, page_size=min(limit, _MAX_PAGE_SIZE)
        )
        return [plain(finding) for finding in islice(listed, limit)]


@step
def get_finding(connection: Settings | Client, name: str) -> dict[str, Any]:
    """Returns one finding."""
    with connected(connection) as client:
        return _plain(client.get_finding(name))


@step
def poll(
    connection: Settings | Client,
    cursor: str | None = None,
    *,
    filter: str = "",  # noqa: A002 - the contract's word
    start_time: str | None = None,
    limit: int = 500,
) -> dict[str, Any]:
    """Returns `findings` that changed since a cursor, oldest change first, and the next `cursor`.

    Store the cursor after handling the findings, and come back with it: nothing is missed, and a
    finding may come again. Without a cursor it begins at `start_time`, else at the present. At most
    `limit` findings come, and the rest comes next time; no findings means that none were left. A
    cursor whose changes are deleted raises a SoarError with the reason CURSOR_EXPIRED: read what
    there is with `get_findings`, then begin without a cursor.
    """
    with connected(connection) as client:
        changes = client.poll_findings(
            filter,
            cursor=cursor or None,
            start_time=time_of(start_time, name="start_time"),
            limit=limit,
        )
        return _plain(changes)


@step
def acknowledge(
    connection: Settings | Client,
    name: str,
    *,
    assignee: str | None = None,
    etag: str | None = None,
) -> dict[str, Any]:
    """Takes up an open finding, for `assignee` or for the caller.

    With `etag` it does so only if this is still the finding's; so do the steps below.
    """

    def is_done(finding: Finding) -> bool:
        return finding.state is State.ACKNOWLEDGED and assignee in (None, finding.assignee)

    with connected(connection) as client:
        return _settled(
            client,
            name,
            lambda: client.acknowledge_finding(name, assignee=assignee, etag=etag),
            is_done=is_done,
        )


@step
def close(
    connection: Settings | Client,
    name: str,
    disposition: str,
    *,
    comment: str,
    accept_until_time: str | None = None,
    etag: str | None = None,
) -> dict[str, Any]:
    """Closes a finding as TRUE_POSITIVE, UNRELATED_LAUNCH, FALSE_POSITIVE or RISK_ACCEPTED.

    `accept_until_time` goes with RISK_ACCEPTED and with nothing else.
    """
    choices = [member for member in Disposition if member is not Disposition.UNKNOWN]
    if disposition not in choices:
        raise ValueError(f"disposition: got {disposition!r}, expected one of {', '.join(choices)}")
    end = time_of(accept_until_time, name="accept_until_time")

    def is_done(finding: Finding) -> bool:
        return (finding.disposition, finding.accept_until_time) == (disposition, end)

    with connected(connection) as client:
        return _settled(
            client,
            name,
            lambda: client.close_finding(
                name, Disposition(disposition), comment=comment, accept_until_time=end, etag=etag
            ),
            is_done=is_done,
        )


@step
def reopen(
    connection: Settings | Client, name: str, *, comment: str, etag: str | None = None
) -> dict[str, Any]:
    """Opens a closed finding again; one that is not closed stays as it is."""
    with connected(connection) as client:
        return _settled(
            client,
            name,
            lambda: client.reopen_finding(name, comment=comment, etag=etag),
            is_done=lambda finding: finding.state is not State.CLOSED,
        )


@step
def assign(
    connection: Settings | Client, name: str, assignee: str, *, etag: str | None = None
) -> dict[str, Any]:
    """Hands a finding to somebody, in whichever state it is; an empty `assignee` is nobody."""
    with connected(connection) as client:
        return _plain(client.update_finding(name, assignee=assignee, etag=etag))


@step
def label(
    connection: Settings | Client,
    name: str,
    labels: Mapping[str, str | None],
    *,
    etag: str | None = None,
) -> dict[str, Any]:
    """Sets labels of a finding beside those it has; a value of None takes a label away."""
    for key, value in labels.items():
        if not isinstance(value, str | None):
            raise TypeError(f"labels.{key}: got {type(value).__name__}, expected text")
    with connected(connection) as client:
        for attempt in range(_ATTEMPTS):
            present = client.get_finding(name)
            merged = {**present.labels, **labels}
            wanted = {key: value for key, value in merged.items() if value is not None}
            try:
                return _plain(client.update_finding(name, labels=wanted, etag=etag or present.etag))
            except ConflictError as error:
                is_last = attempt + 1 == _ATTEMPTS
                if error.reason != "ETAG_MISMATCH" or etag is not None or is_last:
                    raise
        raise AssertionError


@step
def submit_events(
    connection: Settings | Client,
    events: Mapping[str, Any] | str | Iterable[Mapping[str, Any] | str],
    *,
    source: str = "soar",
) -> dict[str, Any]:
    """Submits CloudTrail records, one or many, as objects or as JSON text; returns the counts.

    An EventBridge envelope, an item of LookupEvents and the content of a log file (`Records`) will
    do too. It returns once all is durable: `accepted_count`, `duplicate_count`, `relevant_count`
    (searches and launches), `rejected_count`, the `rejections` by `index`, and `finding_names` that
    were opened or added to. Submitting the same records again is safe.
    """
    records = tuple(_records_of(events))
    with connected(connection) as client:
        bound = RetryPolicy(give_up_after=client.connection.timeout)
        return _plain(client.submit([Records(records)], source=source, retry=bound))


@step
def propose_allow(
    connection: Settings | Client,
    pattern: str,
    *,
    account_ids: Iterable[str] = (),
    start_time: str | None = None,
    max_examples: int = 5,
) -> dict[str, Any]:
    """Says what `allow_pattern` would do to the findings there are, and changes nothing.

    Of findings created since `start_time`, those of the last 7 days where None: how many would be
    judged again (`evaluated_count`), gone, scored otherwise and new, and the worst `examples`, each
    with the finding `before` and `after`.
    """
    with connected(connection) as client:
        preview = client.tuning.preview_entry(
            organization_pattern=pattern,
            account_ids=tuple(account_ids),
            start_time=time_of(start_time, name="start_time"),
            max_examples=max_examples,
        )
        return _plain(preview)


@step
def allow_pattern(
    connection: Settings | Client,
    entry_id: str,
    pattern: str,
    *,
    justification: str,
    account_ids: Iterable[str] = (),
    expire_time: str | None = None,
    ttl_seconds: float | None = None,
    force: bool = False,
    refuse_if_loses_true_positives: bool = True,
) -> dict[str, Any]:
    """Vouches for image names that only this organization uses; returns the allowlist entry.

    It applies in `account_ids`, in all where there are none, until `expire_time` or for
    `ttl_seconds`, else for good. Unless told otherwise it refuses to hide a finding that was closed
    as TRUE_POSITIVE. A pattern that reaches into a well-known public family needs `force`.
    """
    accounts = tuple(account_ids)
    with connected(connection) as client:
        try:
            entry = client.tuning.create_entry(
                entry_id,
                organization_pattern=pattern,
                justification=justification,
                account_ids=accounts,
                expire_time=time_of(expire_time, name="expire_time"),
                ttl=timedelta(seconds=ttl_seconds) if ttl_seconds is not None else None,
                force=force,
                refuse_if_loses_true_positives=refuse_if_loses_true_positives,
            )
        except ConflictError as error:
            if error.reason != "RESOURCE_EXISTS":
                raise
            entry = client.tuning.get_entry(entry_id)
            if (entry.organization_pattern, set(entry.account_ids)) != (pattern, set(accounts)):
                raise
        return _plain(entry)


def _settled(
    client: Client,
    name: str,
    move: Callable[[], Finding],
    *,
    is_done: Callable[[Finding], bool],
) -> dict[str, Any]:
    """Returns a finding after a move, or as it is where an earlier run has made that move."""
    try:
        return _plain(move())
    except ConflictError as error:
        if error.reason != "STATE_TRANSITION":
            raise
        finding = client.get_finding(name)
        if not is_done(finding):
            raise
        return _plain(finding)


def _records_of(events: Mapping[str, Any] | str | Iterable[Mapping[str, Any] | str]) -> list[bytes]:
    if not isinstance(events, Iterable):
        raise TypeError(f"events: got {type(events).__name__}, expected objects or texts")
    given = [events] if isinstance(events, Mapping | str) else events
    return [
        record if isinstance(record, bytes) else json.dumps(record).encode()
        for index, event in enumerate(given)
        for record in _opened(event, index=index)
    ]


def _opened(event: Mapping[str, Any] | str, *, index: int) -> list[Any]:
    """Returns the records of a log file, or the one record that an event is."""
    if not isinstance(event, Mapping | str):
        raise TypeError(f"events[{index}]: got {type(event).__name__}, expected an object or text")
    try:
        whole = json.loads(event) if isinstance(event, str) else event
    except (RecursionError, ValueError):
        # The server says what is wrong with it.
        whole = None
    if isinstance(whole, Mapping) and isinstance(whole.get("Records"), list):
        return list(whole["Records"])
    return [event.encode() if isinstance(event, str) else event]


def _plain(value: Any) -> dict[str, Any]:
    made: dict[str, Any] = plain(value)
    return made

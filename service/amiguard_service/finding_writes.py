"""What people ask to be done to findings: requests read and checked, and the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from amiguard.v1 import finding_pb2
from amiguard.v1 import finding_service_pb2 as wire
from amiguard_service.admission import Admission
from amiguard_service.convert import finding_id_of, finding_message, read_time
from amiguard_service.identity import caller
from amiguard_service.lifecycle import Acknowledgement, Closure, Edit, Move, Reopening
from amiguard_service.limits import Limits
from amiguard_service.refusals import FieldInvalidError, ResourceNotFoundError
from amiguard_service.store_calls import StoreCalls
from amiguard_service.stored import Disposition, StoredFinding

MAX_ASSIGNEE_LENGTH: Final = 256
MAX_COMMENT_LENGTH: Final = 2_000
MAX_LABELS: Final = 32
MAX_LABEL_KEY_LENGTH: Final = 64
MAX_LABEL_VALUE_LENGTH: Final = 256

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_EDITABLE: Final = frozenset({"assignee", "labels"})


class FindingWriter(Protocol):
    """What keeps findings."""

    def update_finding(
        self, finding_id: str, edit: Edit, *, actor: str, etag: str | None
    ) -> StoredFinding | None:
        """Returns a finding after an edit; None when there is none of this id."""

    def move_finding(
        self, finding_id: str, move: Move, *, actor: str, etag: str | None
    ) -> StoredFinding | None:
        """Returns a finding after a move of its state; None when there is none of this id."""


class FindingWrites:
    """Serves the calls that change findings."""

    def __init__(self, writer: FindingWriter, store: StoreCalls, *, limits: Limits) -> None:
        self._writer = writer
        self._store = store
        self._calls = Admission(
            limits.max_calls, name="changes", per_caller=limits.max_calls_per_principal
        )

    async def update(self, request: wire.UpdateFindingRequest) -> wire.UpdateFindingResponse:
        """Changes the assignee and the labels of a finding."""
        given = request.finding
        finding_id = finding_id_of(given.name, field="finding.name")
        edit = read_edit(request)
        etag, actor = given.etag or None, caller().name
        finding = await self._write(
            lambda: self._writer.update_finding(finding_id, edit, actor=actor, etag=etag),
            name=given.name,
        )
        return wire.UpdateFindingResponse(finding=finding)

    async def acknowledge(
        self, request: wire.AcknowledgeFindingRequest
    ) -> wire.AcknowledgeFindingResponse:
        """Moves an open finding to acknowledged; the caller takes it up unless another is named."""
        assignee = read_assignee(request.assignee, field="assignee") or caller().name
        finding = await self._move(request.name, Acknowledgement(assignee), etag=request.etag)
        return wire.AcknowledgeFindingResponse(finding=finding)

    async def close(self, request: wire.CloseFindingRequest) -> wire.CloseFindingResponse:
        """Closes a finding."""
        finding = await self._move(request.name, read_closure(request), etag=request.etag)
        return wire.CloseFindingResponse(finding=finding)

    async def reopen(self, request: wire.ReopenFindingRequest) -> wire.ReopenFindingResponse:
        """Reopens a closed finding."""
        reopening = Reopening(read_comment(request.comment))
        finding = await self._move(request.name, reopening, etag=request.etag)
        return wire.ReopenFindingResponse(finding=finding)

    async def _move(self, name: str, move: Move, *, etag: str) -> finding_pb2.Finding:
        finding_id, actor = finding_id_of(name, field="name"), caller().name
        return await self._write(
            lambda: self._writer.move_finding(finding_id, move, actor=actor, etag=etag or None),
            name=name,
        )

    async def _write(
        self, work: Callable[[], StoredFinding | None], *, name: str
    ) -> finding_pb2.Finding:
        with self._calls.admit():
            finding = await self._store.run(work)
        if finding is None:
            raise ResourceNotFoundError(name)
        return finding_message(finding)


def read_edit(request: wire.UpdateFindingRequest) -> Edit:
    """Returns what to set of a finding; raises FieldInvalidError for what cannot be set."""
    given = request.finding
    paths = set(request.update_mask.paths)
    if not paths:
        paths = {path for path in _EDITABLE if getattr(given, path)}
    if "*" in paths:
        paths |= _EDITABLE
    for path in sorted(paths - _EDITABLE - {"*"}):
        raise FieldInvalidError("update_mask", got=repr(path), expected="assignee or labels")
    return Edit(
        read_assignee(given.assignee, field="finding.assignee") if "assignee" in paths else None,
        read_labels(given.labels, field="finding.labels") if "labels" in paths else None,
    )


def read_closure(request: wire.CloseFindingRequest) -> Closure:
    """Returns how to close a finding; raises FieldInvalidError for what is missing or malformed."""
    until = None
    if request.HasField("accept_until_time"):
        until = read_time(request.accept_until_time, field="accept_until_time")
    return Closure(_read_disposition(request.disposition), read_comment(request.comment), until)


def read_assignee(text: str, *, field: str) -> str:
    """Returns who is to handle a finding."""
    return _read_text(text, field=field, most=MAX_ASSIGNEE_LENGTH)


def read_comment(text: str) -> str:
    """Returns why a finding is moved, which has to be said."""
    expected = f"1 to {MAX_COMMENT_LENGTH} characters"
    if not text.strip():
        raise FieldInvalidError("comment", got="nothing", expected=expected)
    return _read_text(text, field="comment", most=MAX_COMMENT_LENGTH, control=_CONTROL_BUT_LINES)


def read_labels(labels: Mapping[str, str], *, field: str) -> dict[str, str]:
    """Returns the labels of a finding."""
    if len(labels) > MAX_LABELS:
        raise FieldInvalidError(field, got=f"{len(labels)} labels", expected=f"up to {MAX_LABELS}")
    for key, value in labels.items():
        if not key.strip():
            expected = f"1 to {MAX_LABEL_KEY_LENGTH} characters"
            raise FieldInvalidError(field, got="a key of no characters", expected=expected)
        _read_text(key, field=field, most=MAX_LABEL_KEY_LENGTH, what="a key of ")
        _read_text(value, field=field, most=MAX_LABEL_VALUE_LENGTH, what="a value of ")
    return dict(labels)


def _read_disposition(value: finding_pb2.Finding.Disposition.ValueType) -> Disposition:
    known = finding_pb2.Finding.Disposition.items()
    names = {number: name.removeprefix("DISPOSITION_") for name, number in known if number}
    if value not in names:
        got = f"{value}" if value else "nothing"
        raise FieldInvalidError("disposition", got=got, expected=", ".join(names.values()))
    return Disposition(names[value])


def _read_text(
    text: str, *, field: str, most: int, what: str = "", control: re.Pattern[str] = _CONTROL
) -> str:
    """Returns a text that is neither too long nor holds what no terminal should be sent."""
    if len(text) > most:
        got = f"{what}{len(text)} characters"
        raise FieldInvalidError(field, got=got, expected=f"at most {most}")
    found = control.search(text)
    if found:
        got = f"{what}characters such as U+{ord(found[0]):04X}"
        raise FieldInvalidError(field, got=got, expected="no control characters")
    return text

"""What has to be done to make an allowlist what a file says, as a plan like a diff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from amiguard.v1 import tuning_service_pb2 as wire
from amiguard_client.cli.entries import Entry, changed_fields, entry_of, request_id_of
from amiguard_client.cli.previews import difference_lines
from amiguard_client.cli.safe import safe

if TYPE_CHECKING:
    from amiguard_client._tuning_calls import TuningCalls


class Action(StrEnum):
    """What is done to one entry."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


_SIGNS = {Action.ADD: "+", Action.CHANGE: "~", Action.REMOVE: "-"}


class Change(Struct, frozen=True):
    """One step of a plan. `etag` is that of the entry it was made for."""

    before: Entry | None
    after: Entry | None
    etag: str = ""

    @property
    def action(self) -> Action:
        """What the step does."""
        if self.before is None:
            return Action.ADD
        return Action.REMOVE if self.after is None else Action.CHANGE

    @property
    def entry(self) -> Entry:
        """The entry as it is to be, or as it was."""
        entry = self.after or self.before
        assert entry is not None  # noqa: S101 - one of them is there
        return entry

    def lines(self) -> Iterator[str]:
        """Yields the step for people: the entry, and field by field what differs."""
        yield f"{_SIGNS[self.action]} {safe(self.entry.entry_id)}"
        before = self.before.texts() if self.before else {}
        after = self.after.texts() if self.after else {}
        for line in difference_lines(before, after):
            yield f"    {line}"

    def to_plain(self) -> dict[str, Any]:
        """Returns the step as JSON has it."""
        return {
            "action": self.action.value,
            "entry": self.entry.name,
            "before": self.before.to_plain() if self.before else None,
            "after": self.after.to_plain() if self.after else None,
        }

    def preview_request(self) -> wire.PreviewTuningRequest:
        """Returns what asks for the effect of this step by itself."""
        if self.after is None:
            return wire.PreviewTuningRequest(deleted_allowlist_entry=self.entry.name)
        return wire.PreviewTuningRequest(allowlist_entry=self.after.to_message())


class Plan(Struct, frozen=True):
    """Steps in the order in which they are taken: nothing goes before what is new has come.

    `unlisted` are entries that the file does not name and that stay. `problems` are changes that
    no step can make.
    """

    changes: tuple[Change, ...]
    unlisted: tuple[str, ...]
    problems: tuple[str, ...]


class Terms(Struct, frozen=True):
    """How the steps of a plan are taken."""

    is_forced: bool = False
    keeps_true_positives: bool = False
    validate_only: bool = False


def make_plan(
    present: Iterable[wire.AllowlistEntry], wanted: Iterable[Entry], *, prunes: bool
) -> Plan:
    """Returns the plan that makes of what is present what is wanted.

    With `prunes`, what is not wanted goes.
    """
    there = {entry.entry_id: (entry, m.etag) for m in present for entry in [entry_of(m)]}
    listed = {entry.entry_id: entry for entry in wanted}
    added, changed, problems = [], [], []
    for entry_id, after in listed.items():
        if entry_id not in there:
            added.append(Change(None, after))
            continue
        before, etag = there[entry_id]
        if (before.kind, before.subject) != (after.kind, after.subject):
            problems.append(
                f"{entry_id}: got {after.kind} {after.subject!r}, but it is {before.kind} "
                f"{before.subject!r}: give the new one another id"
            )
        elif changed_fields(before, after):
            changed.append(Change(before, after, etag))
    gone = [entry_id for entry_id in there if entry_id not in listed]
    removed = [Change(*_removal(there[entry_id])) for entry_id in gone] if prunes else []
    return Plan(
        changes=tuple(added + changed + removed),
        unlisted=() if prunes else tuple(gone),
        problems=tuple(problems),
    )


def take_step(tuning: TuningCalls, change: Change, terms: Terms, *, last_hash: str) -> None:
    """Makes one change, at the etag it was planned for."""
    if change.action is Action.ADD:
        create = wire.CreateAllowlistEntryRequest(
            allowlist_entry_id=change.entry.entry_id,
            allowlist_entry=change.entry.to_message(),
            force=terms.is_forced,
            refuse_if_loses_true_positives=terms.keeps_true_positives,
        )
        create.request_id = request_id_of(create, last_hash=last_hash)
        create.validate_only = terms.validate_only
        tuning.create_entry(create)
    elif change.action is Action.CHANGE and change.before and change.after:
        update = wire.UpdateAllowlistEntryRequest(
            allowlist_entry=change.after.to_message(etag=change.etag),
            validate_only=terms.validate_only,
            refuse_if_loses_true_positives=terms.keeps_true_positives,
        )
        update.update_mask.paths.extend(changed_fields(change.before, change.after))
        tuning.update_entry(update)
    else:
        tuning.delete_entry(
            wire.DeleteAllowlistEntryRequest(
                name=change.entry.name,
                etag=change.etag,
                validate_only=terms.validate_only,
                refuse_if_loses_true_positives=terms.keeps_true_positives,
            )
        )


def _removal(there: tuple[Entry, str]) -> tuple[Entry, None, str]:
    entry, etag = there
    return entry, None, etag

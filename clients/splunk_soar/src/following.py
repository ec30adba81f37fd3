"""The findings that changed since the last time, with the place to go on from.

At first everything there is is listed, from the oldest finding to the newest; from then on the
change log is followed. Its cursor is taken before the list is begun, so that nothing falls between
the two. The place is kept in the asset's state, which the SDK saves once everything that was
yielded is stored, and not at all where that fails.
"""

from collections.abc import Iterator
from typing import Final

from soar_sdk.asset_state import AssetState
from soar_sdk.logging import getLogger

from amiguard_client import (
    Client,
    CursorExpiredError,
    Finding,
    InvalidRequestError,
)

from .outputs import time_text

_CONDITION: Final = "condition"
_CURSOR: Final = "cursor"
_LISTED_UNTIL: Final = "listed_until"
_LISTED: Final = "is_listed"
_PAGE_SIZE: Final = 100


class Following:
    """One poll of one asset: used once.

    It yields `max_findings`, and besides only what was made in the same instant as the last of
    them. A poll with another condition begins at the beginning, or
    what the former one left out would never come.
    """

    def __init__(
        self, client: Client, condition: str, *, state: AssetState, max_findings: int
    ) -> None:
        self._client = client
        self._condition = condition
        self._state = state
        self._room = max_findings

    def findings(self) -> Iterator[Finding]:
        """Yields findings, one that changes meanwhile once more."""
        if self._state.get_all().get(_CONDITION) != self._condition:
            self._begin()
        try:
            yield from self._go_on()
        except (CursorExpiredError, InvalidRequestError) as error:
            # The change log no longer reaches back, or the server has another database.
            if isinstance(error, InvalidRequestError) and not _is_about_cursor(error):
                raise
            getLogger().warning(f"Listing every finding anew: {error}")
            self._begin()
            yield from self._go_on()

    def _begin(self) -> None:
        self._state.put_all(
            {
                _CONDITION: self._condition,
                _CURSOR: self._client.poll_findings(self._condition).cursor,
                _LISTED: False,
                _LISTED_UNTIL: "",
            }
        )

    def _go_on(self) -> Iterator[Finding]:
        if not self._state[_LISTED]:
            yield from self._list()
        if self._state[_LISTED] and self._room > 0:
            yield from self._follow()

    def _list(self) -> Iterator[Finding]:
        conditions = [f"({self._condition})"] if self._condition else []
        if self._state[_LISTED_UNTIL]:
            conditions.append(f"create_time > {self._state[_LISTED_UNTIL]}")
        listed = self._client.list_findings(
            " AND ".join(conditions), order_by="create_time", page_size=_PAGE_SIZE
        )
        until = None
        for finding in listed:
            # Findings of one commit were made in the same instant, and must not be parted.
            if self._room <= 0 and finding.create_time != until:
                self._state[_LISTED_UNTIL] = time_text(until)
                return
            until = finding.create_time
            self._room -= 1
            yield finding
        self._state[_LISTED] = True

    def _follow(self) -> Iterator[Finding]:
        while self._room > 0:
            changes = self._client.poll_findings(
                self._condition, cursor=str(self._state[_CURSOR]), limit=self._room
            )
            self._room -= len(changes.findings)
            yield from changes.findings
            self._state[_CURSOR] = changes.cursor
            if not changes.findings:
                return


def _is_about_cursor(error: InvalidRequestError) -> bool:
    return any(violation.field == "cursor" for violation in error.violations)

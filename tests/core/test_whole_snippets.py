"""Every snippet whole, as people paste it: snippets.txt holds what each client is given.

A form is changed there only after it was tried in the product. A wrong name of an argument is code
that fails for the person who pastes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from amiguard_core._lookup import Lookup
from amiguard_core._snippets import _WRITERS, MAX_KARPENTER_TERMS, snippet_for
from amiguard_core.clients import CLIENTS
from amiguard_core.events import SearchFilter

LOOKUPS: Final = {
    "everything": Lookup(
        owners=("111122223333", "amazon"),
        filters=(SearchFilter("name", ("a-*", "b,c")), SearchFilter("tag:x", ("y",))),
        executable_by=("444455556666", "self"),
        include_deprecated=True,
        include_disabled=True,
        region="eu-west-1",
        notes=("First note.", "Second note."),
    ),
    "names": Lookup(owners=("amazon",), filters=(SearchFilter("name", ("a-*", "b c")),)),
    "one name": Lookup(
        owners=("amazon",),
        filters=(SearchFilter("name", ("a-*",)), SearchFilter("tag-key", ("y",))),
    ),
    "owners": Lookup(owners=("amazon",)),
}
FORMS: Final = ("unknown", *sorted(_WRITERS))
"""Clients that have a form of their own, and all others."""
KEPT: Final = Path(__file__).with_name("snippets.txt")


def sections() -> dict[str, str]:
    """Returns the kept snippets by their headings: client, lookup and language."""
    parts = KEPT.read_text().split("=====")[1:]
    return dict(part.removeprefix(" ").split("\n", 1) for part in parts)


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("client", FORMS)
def test_each_client_is_given_its_own_form_whole(client: str, lookup: str) -> None:
    """Every line, indent and argument is that of the product."""
    snippet = snippet_for(client, LOOKUPS[lookup])

    assert sections()[f"{client} {lookup} {snippet.language}"] == snippet.text + "\n"


@pytest.mark.parametrize("client", sorted(CLIENTS - set(FORMS)))
def test_client_without_a_form_is_given_the_aws_cli(client: str) -> None:
    """Everybody has a shell."""
    for lookup in LOOKUPS.values():
        assert snippet_for(client, lookup) == snippet_for("unknown", lookup)


def test_as_many_terms_as_karpenter_takes_are_written_for_it() -> None:
    """A name and an owner make a term; one more name does not fit."""
    names = tuple(f"n{number}" for number in range(MAX_KARPENTER_TERMS // 2 + 1))
    fits, does_not = (
        Lookup(owners=("1", "2"), filters=(SearchFilter("name", given),))
        for given in (names[:-1], names)
    )

    assert snippet_for("karpenter", fits).text.count("- name:") == MAX_KARPENTER_TERMS == 30
    assert snippet_for("karpenter", does_not).language == "shell"


def test_no_snippet_is_kept_for_nobody() -> None:
    """Each kept snippet is of a client that is still known."""
    kept = {heading.rsplit(" ", 1)[0] for heading in sections()}

    assert kept == {f"{client} {lookup}" for client in FORMS for lookup in LOOKUPS}

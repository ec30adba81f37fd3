"""Law 3 from end to end: what an allowlist entry does to findings, and what its end does."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from amiguard_core.events import Launch, Search
from amiguard_core.policy import EntryKind, KnownImage, Mode
from amiguard_service.engine import Engine
from amiguard_service.stored import StoredFinding
from amiguard_service.tuning import EntryDraft, Guard
from tests.data.strategies import ACCOUNTS
from tests.store.pairs import pairs
from tests.store.test_laws import clear
from tests.store.test_tuning_laws import counted, known_images
from tests.store.values import batch

VOUCHED = (
    (EntryKind.TRUSTED_OWNER, "amazon"),
    (EntryKind.TRUSTED_ACCOUNT, "444455556666"),
    (EntryKind.TRUSTED_ACCOUNT, "999999999999"),
    (EntryKind.ORGANIZATION_PATTERN, "acme-*"),
    (EntryKind.ORGANIZATION_PATTERN, "acme-b?se-*"),
    (EntryKind.ORGANIZATION_PATTERN, "ubuntu/*"),
)


def settle(engine: Engine) -> dict[str, StoredFinding]:
    """Takes every step of the pass, and returns the findings that count, by id."""
    engine.passes.run(max_steps=1_000)
    return {found.finding_id: found for found in counted(engine)}


def judged(found: StoredFinding) -> tuple[object, ...]:
    """Returns what the policy decides of a finding."""
    return found.reasons, found.steps, found.confidence, found.occurrence_count, found.state


@pytest.mark.category("tuning")
@pytest.mark.parametrize("mode", list(Mode))
def test_entry_only_calms_and_its_end_undoes_it(engine: Engine, mode: Mode) -> None:
    """A new entry raises no likelihood and adds no finding; without it all is as it was."""

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(
        records=pairs(),
        images=st.lists(known_images(), max_size=3),
        vouched=st.sampled_from(VOUCHED),
        account_ids=st.sampled_from(((), (ACCOUNTS[0],))),
    )
    def law(
        records: list[Search | Launch],
        images: list[KnownImage],
        vouched: tuple[EntryKind, str],
        account_ids: tuple[str, ...],
    ) -> None:
        clear(engine)
        engine.commit([batch(*records)])
        rule = engine.tuning.get_rule()
        assert rule is not None
        engine.tuning.update_rule(lambda r: replace(r, mode=mode), etag=rule.etag, actor="t")
        # An alias that is trusted from the start can only be vouched for once it no longer is.
        engine.tuning.delete_entry("alias-amazon", etag=None, actor="t")
        engine.known_images.register(images, actor="t")
        before = settle(engine)
        draft = EntryDraft(*vouched, justification="ours", account_ids=account_ids)

        engine.tuning.create_entry("ours", draft, actor="t", guard=Guard(force=True))
        calmed = settle(engine)
        engine.tuning.delete_entry("ours", etag=None, actor="t")
        undone = settle(engine)

        assert calmed.keys() <= before.keys()
        assert all(calmed[i].score <= before[i].score for i in calmed)
        assert {i: judged(found) for i, found in undone.items()} == {
            i: judged(found) for i, found in before.items()
        }

    law()

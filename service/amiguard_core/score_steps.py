"""The score table: what each step does to a likelihood, when, and what it says.

A row here is a row of the table in docs/rule.md, section 7; a test compares the two. To change a
score, change the row. `score.py` says when a row applies.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

MAX_SCORE = 100
BROAD_BELOW = 4
"""Literal characters before the first wildcard that make a pattern narrow enough."""


class EffectKind(StrEnum):
    """What an effect does with its amount; the value is how the page writes it."""

    SET = "set to {}"
    ADD = "{:+}"
    CAP = "to at most {}"


class Effect(Struct, frozen=True):
    """What a step does to the score so far."""

    kind: EffectKind
    amount: int

    def apply(self, score: int) -> int:
        """Returns the score after the step, 0 to 100."""
        changed = self.amount
        if self.kind is EffectKind.ADD:
            changed += score
        elif self.kind is EffectKind.CAP:
            changed = min(score, changed)
        return max(0, min(MAX_SCORE, changed))

    def __str__(self) -> str:
        return self.kind.format(self.amount)


class StepRow(Struct, frozen=True):
    """One row of the score table.

    `condition` is for the page alone. `message` is what the finding shows; its `{names}` are filled
    in by `score.py`.
    """

    code: str
    effect: Effect
    condition: str
    message: str


def _set_to(amount: int) -> Effect:
    return Effect(EffectKind.SET, amount)


def _add(amount: int) -> Effect:
    return Effect(EffectKind.ADD, amount)


def _cap(amount: int) -> Effect:
    return Effect(EffectKind.CAP, amount)


SCORE_STEPS: tuple[StepRow, ...] = (
    StepRow(
        "BASE",
        _set_to(50),
        "always",
        "A stranger's image can answer the way in which an image is looked up.",
    ),
    StepRow(
        "PUBLIC_NAME_FAMILY",
        _set_to(85),
        "a searched pattern can match names of a well-known public family, such as"
        " `ubuntu/images/*`, or of a public pattern of the rule configuration",
        "A searched pattern can match well-known public image names ({publishers}).",
    ),
    StepRow(
        "BROAD_PATTERN",
        _add(10),
        f"a pattern with a wildcard has fewer than {BROAD_BELOW} literal characters before its"
        " first wildcard",
        f"A pattern has fewer than {BROAD_BELOW} characters before its first wildcard.",
    ),
    StepRow(
        "EXACT_NAME",
        _add(-10),
        "no pattern has a wildcard",
        "Only exact names are searched; names are unique per owner only.",
    ),
    StepRow(
        "BOUNDED_FILTER",
        _add(-25),
        "mode DOCUMENTED, and another filter bounds who can answer (section 4)",
        "Another filter bounds the answer to images that this account or AWS marked.",
    ),
    StepRow(
        "PRIVATE_ONLY",
        _add(-15),
        "the filter `is-public` has the value `false`",
        "Public images are left out.",
    ),
    StepRow(
        "PRODUCT_CODE",
        _add(-20),
        "the filter `product-code` has a value",
        "The image must carry a Marketplace product code.",
    ),
    StepRow(
        "ORGANIZATION_PATTERN",
        _cap(10),
        "every searched pattern is covered by organization patterns of the allowlist",
        "Every searched pattern is covered by a pattern that only the organization uses.",
    ),
    StepRow(
        "TRUSTED_IMAGE",
        _cap(10),
        "the owner of every launched image is known and trusted",
        "Every image launched belongs to a trusted owner.",
    ),
    StepRow(
        "STRANGER_IMAGE",
        _set_to(100),
        "a launched image has a searched name, and its owner is known and not trusted",
        "{image_id} was launched, which belongs to {owner} and has a searched name.",
    ),
)
"""Every step there is, in the order in which they apply."""

"""How often a row goes through a network where only the data tell: typical numbers, measured in committed studies.

Imports no torch.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pumalib.attacks.settings import (
    AttackSettings,
    AutoattackSettings,
    CwPgdSettings,
    MinimumNormSettings,
    PgdSettings,
    SquareSettings,
)
from pumalib.scores.settings import AnyScoreSettings
from pumalib.training.settings import RecipeSettings

WRONG_SHARE = 0.05
"""Share of the rows that a margin model misclassifies; their search costs more."""

_MARGIN_PASSES = {"deepfool": 19.1, "deepfool_published": 19.1, "fast_margin": 60.0, "refined_margin": 60.0}
"""Forward and backward passes of a row."""

_AUTOATTACK_PASSES = 2 * 100 + 9 * 2 * 100 + 9 * 2 * 100 + 5000
"""Of a row that withstands: APGD, targeted APGD and FAB over nine classes, and Square's queries."""

_STEPS_TRIED = 4


class Withstood(NamedTuple):
    """How an attack fares.

    Attributes:
        clean: share of images that are classified rightly, the others being left alone.
        robust: share of those that withstand.
    """

    clean: float
    robust: float


def withstood(training: RecipeSettings | None) -> Withstood:
    """Return how attacks fare on a model of a training; None: one that was trained elsewhere, taken for robust."""
    return Withstood(0.95, 0.1) if training is not None and not training.has_attack else Withstood(0.95, 0.75)


_STEPS_UNTIL_FOOLED = 4
"""Steps that an image which does not withstand takes."""


def margin_passes(score: AnyScoreSettings) -> float | None:
    """Return the forward and backward passes of a row under a margin search; None: no such search."""
    return _MARGIN_PASSES.get(score.method)


def steps_tried(attack: AttackSettings) -> dict[str, Any]:
    """Return the settings of an attack of a few steps, which takes as long a step as the whole one."""
    if isinstance(attack, CwPgdSettings | PgdSettings):
        return {"steps": min(attack.steps, _STEPS_TRIED), "restarts": 1, "screening": None}
    if isinstance(attack, SquareSettings):
        return {"queries": min(attack.queries, 10 * _STEPS_TRIED)}
    return {}


def attack_passes(attack: AttackSettings) -> float:
    """Return the forward and backward passes of an image that withstands an attack, the clean look among them."""
    if isinstance(attack, CwPgdSettings | PgdSettings):
        return 1 + attack.restarts * (2 * attack.steps + 1)
    if isinstance(attack, SquareSettings):
        return 1 + attack.queries
    if isinstance(attack, MinimumNormSettings):
        return 1 + _MARGIN_PASSES["deepfool"]
    return 1 + (_AUTOATTACK_PASSES if isinstance(attack, AutoattackSettings) else 0)


def mean_passes(attack: AttackSettings, images: Withstood) -> float:
    """Return the mean passes of an image; those that do not withstand leave early, unless the attack measures them."""
    whole = attack_passes(attack)
    if isinstance(attack, MinimumNormSettings):
        return 1 + images.clean * (whole - 1)
    early = min(1 + 2 * _STEPS_UNTIL_FOOLED, whole)
    return 1 + images.clean * (images.robust * (whole - 1) + (1 - images.robust) * (early - 1))

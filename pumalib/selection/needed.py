"""What a selection needs beside its stage: a run that reads no score depends on none. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from pumalib.selection.settings import (
    CutSettings,
    EpsilonSettings,
    FarSettings,
    FromMargin,
    policy_module,
    scores_read,
)

SCORES_MODULE = "pumalib.scores.table"
INSIDE_MODULE = "pumalib.selection.inside"
PRUNING_MODULE = "pumalib.selection.pruning"
FAR_MODULE = "pumalib.selection.far"


def drops_negative(epsilon: EpsilonSettings) -> TypeGuard[FromMargin]:
    """Return whether rows of negative epsilon are pruned, after all cuts."""
    return isinstance(epsilon, FromMargin) and epsilon.negative == "drop"


def prunes(cuts: Sequence[CutSettings], epsilon: EpsilonSettings) -> bool:
    """Return whether a run prunes rows."""
    return bool(cuts) or drops_negative(epsilon)


def selection_modules(
    prune: Sequence[CutSettings], epsilon: EpsilonSettings, far: FarSettings | None = None
) -> tuple[str, ...]:
    """Return the names of those modules."""
    needed = {
        policy_module(epsilon.policy): True,
        SCORES_MODULE: bool(scores_read(prune, epsilon, far)),
        INSIDE_MODULE: getattr(epsilon, "where", None) is not None,
        PRUNING_MODULE: prunes(prune, epsilon),
        FAR_MODULE: far is not None,
    }
    return tuple(module for module, is_needed in needed.items() if is_needed)

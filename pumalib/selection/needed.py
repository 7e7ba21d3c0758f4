"""What a selection needs beside its stage: a run that reads no score depends on none. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from pumalib.selection.settings import (
    CutSettings,
    EpsilonSettings,
    FarSettings,
    FromMargin,
    OwnRuleSettings,
    PruneSettings,
    RelabelSettings,
    policy_module,
    rule_module,
    scores_read,
)

SCORES_MODULE = "pumalib.scores.table"
INSIDE_MODULE = "pumalib.selection.inside"
PRUNING_MODULE = "pumalib.selection.pruning"
FAR_MODULE = "pumalib.selection.far"
RELABEL_MODULE = "pumalib.selection.relabel"
OWN_RULE_MODULE = "pumalib.selection.own_rule"


def drops_negative(epsilon: EpsilonSettings) -> TypeGuard[FromMargin]:
    """Return whether rows of negative epsilon are pruned, after all cuts."""
    return isinstance(epsilon, FromMargin) and epsilon.negative == "drop"


def prunes(cuts: Sequence[PruneSettings], epsilon: EpsilonSettings) -> bool:
    """Return whether a run prunes rows."""
    return bool(cuts) or drops_negative(epsilon)


def selection_modules(
    prune: Sequence[PruneSettings],
    epsilon: EpsilonSettings,
    far: FarSettings | None = None,
    relabel: RelabelSettings | None = None,
) -> tuple[str, ...]:
    """Return the names of those modules; a rule of a user's own is one."""
    needed = {
        policy_module(epsilon.policy): True,
        SCORES_MODULE: bool(scores_read(prune, epsilon, far, relabel)),
        INSIDE_MODULE: getattr(epsilon, "where", None) is not None,
        PRUNING_MODULE: prunes(prune, epsilon),
        FAR_MODULE: far is not None,
        RELABEL_MODULE: relabel is not None,
        OWN_RULE_MODULE: any(isinstance(step, OwnRuleSettings) for step in prune),
    }
    rules = {rule_module(step): True for step in prune if not isinstance(step, CutSettings)}
    return tuple(module for module, is_needed in (needed | rules).items() if is_needed)

"""The cuts that a run asks for, over the tables of their scores."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pumalib.data.pool import PoolRows
from pumalib.errors import ConfigError, DataError
from pumalib.scores.table import HigherIs, ScoreTable
from pumalib.selection.cuts import Cut, dropped_side
from pumalib.selection.needed import OWN_RULE_MODULE, drops_negative
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.rule import Rule
from pumalib.selection.select import Selection, select
from pumalib.selection.settings import (
    RANDOM,
    THRESHOLDS,
    CutSettings,
    EpsilonSettings,
    FromMargin,
    OwnRuleSettings,
    PruneSettings,
    RuleSettings,
    rule_module,
)


def prune(
    cuts: Sequence[PruneSettings],
    policy: EpsilonSettings,
    question: EpsilonQuestion,
    rows: PoolRows,
    seed: int,
) -> tuple[Selection, list[Cut | Rule]]:
    """Cut a pool.

    Args:
        cuts: of the run, and rules.
        policy: of the run; one that drops rows of negative epsilon asks for one more cut, after the others.
        question: what the policy gets.
        rows: of the pool.
        seed: of the study.

    Returns:
        The selection, whose epsilons are yet to be found, and the cuts and rules it was made with.

    Raises:
        DataError: a class that loses all its rows, too few scored rows, a cut among bounded rows, or a rule that fails.
        ConfigError: a side that a threshold does not drop, or a rule of one's own that is not there.
    """
    made: list[Cut | Rule] = [_make(cut, question.tables) for cut in cuts]
    if drops_negative(policy):
        made.append(_cut_negative(policy, question))
    selection = select(len(rows.labels), made, 0.0, seed, labels=rows.labels, source=rows.source)
    return selection, made


def _cut_negative(policy: FromMargin, question: EpsilonQuestion) -> Cut:
    table = question.tables[policy.score]
    margins = table.score.astype(np.float64) - policy.gap
    return Cut(
        margins, below=0.0, higher_is="easier", valid=question.inside, bounded=table.bounded, label="epsilon < 0"
    )


def _make(step: PruneSettings, tables: Mapping[str, ScoreTable]) -> Cut | Rule:
    return _make_cut(step, tables) if isinstance(step, CutSettings) else _make_rule(step, tables)


def _make_rule(rule: RuleSettings, tables: Mapping[str, ScoreTable]) -> Rule:
    read = {name: tables[name] for name in rule.scores}
    label = " ".join((rule.rule, *(["by", *rule.scores] if rule.scores else []), f"{100 * rule.fraction:.4g} %"))
    for name, table in read.items():
        if table.bounded.any():
            raise DataError(
                f"expected measured scores for {label!r}, got {int(table.bounded.sum())} rows of {name} that are a "
                "bound; leave out its up_to"
            )
    return Rule(
        _function_of(rule),
        rule.fraction,
        scores={name: np.where(table.valid, table.score, np.float32(np.nan)) for name, table in read.items()},
        hardness={name: table.hardness for name, table in read.items()},
        options=rule.options,
        label=label,
    )


def _function_of(rule: RuleSettings) -> Callable[..., Any]:
    if isinstance(rule, OwnRuleSettings):
        loaded: Callable[..., Any] = importlib.import_module(OWN_RULE_MODULE).load_rule(rule)
        return loaded
    keep: Callable[..., Any] = importlib.import_module(rule_module(rule)).keep
    return keep


def _make_cut(cut: CutSettings, tables: Mapping[str, ScoreTable]) -> Cut:
    bounds = {name: getattr(cut, name) for name in ("fraction", *THRESHOLDS)}
    name, value = next((name, value) for name, value in bounds.items() if value is not None)
    what = f"{value:.4g}" if name != "fraction" else f"{100 * value:.4g} %"
    side = name.replace("_", " ") if name != "fraction" else cut.drop
    label = " ".join(part for part in (cut.by, side, what) if part)
    label += f", ties by {cut.ties_by}" if cut.ties_by else ""
    if cut.by == RANDOM:
        return Cut(None, scope=cut.scope, label=label, **bounds)
    table = tables[cut.by]
    _check_side(cut, table.higher_is)
    return Cut(
        table.score,
        drop=cut.drop,
        higher_is=table.higher_is,
        scope=cut.scope,
        valid=table.valid,
        converged=table.converged,
        bounded=table.bounded,
        tie_hardness=None if cut.ties_by is None else tables[cut.ties_by].hardness,
        tie_bounded=None if cut.ties_by is None else tables[cut.ties_by].bounded,
        label=label,
        **bounds,
    )


def _check_side(cut: CutSettings, higher_is: HigherIs) -> None:
    name = next((name for name in THRESHOLDS if getattr(cut, name) is not None), None)
    if name is None or cut.drop is None:
        return
    side = dropped_side(name, higher_is)
    if cut.drop != side:
        raise ConfigError(
            f"expected drop: {side} with {name} (higher is {higher_is}) in the cut by {cut.by}, got {cut.drop}; "
            "leave drop out, or turn the threshold round"
        )

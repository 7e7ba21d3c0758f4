"""The cuts that a run asks for, over the tables of their scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pumalib.data.pool import PoolRows
from pumalib.errors import ConfigError
from pumalib.scores.table import HigherIs, ScoreTable
from pumalib.selection.cuts import Cut, dropped_side
from pumalib.selection.needed import drops_negative
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.select import Selection, select
from pumalib.selection.settings import RANDOM, THRESHOLDS, CutSettings, EpsilonSettings, FromMargin


def prune(
    cuts: Sequence[CutSettings],
    policy: EpsilonSettings,
    question: EpsilonQuestion,
    rows: PoolRows,
    seed: int,
) -> tuple[Selection, list[str]]:
    """Cut a pool.

    Args:
        cuts: of the run.
        policy: of the run; one that drops rows of negative epsilon asks for one more cut, after the others.
        question: what the policy gets.
        rows: of the pool.
        seed: of the study.

    Returns:
        The selection, whose epsilons are yet to be found, and the label of each cut.

    Raises:
        DataError: a class that loses all its rows, too few scored rows, or a cut among bounded rows.
        ConfigError: a side that a threshold does not drop.
    """
    made = [_make_cut(cut, question.tables) for cut in cuts]
    if drops_negative(policy):
        made.append(_cut_negative(policy, question))
    selection = select(len(rows.labels), made, 0.0, seed, labels=rows.labels, source=rows.source)
    return selection, [cut.label for cut in made]


def _cut_negative(policy: FromMargin, question: EpsilonQuestion) -> Cut:
    table = question.tables[policy.score]
    margins = table.score.astype(np.float64) - policy.gap
    return Cut(
        margins, below=0.0, higher_is="easier", valid=question.inside, bounded=table.bounded, label="epsilon < 0"
    )


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

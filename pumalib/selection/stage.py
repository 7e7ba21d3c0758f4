"""The selection stage: settings and score tables in, one selection file out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.pool import SOURCE_NAMES, PoolRows, read_pool_rows
from pumalib.data.selection import StoredSelection, write_selection
from pumalib.files.artifacts import content_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.selection.drawn import draw_weights, mean_epsilon
from pumalib.selection.needed import (
    FAR_MODULE,
    INSIDE_MODULE,
    PRUNING_MODULE,
    RELABEL_MODULE,
    SCORES_MODULE,
    prunes,
)
from pumalib.selection.policies.question import EpsilonQuestion, KeptRows
from pumalib.selection.settings import EpsilonSettings, SelectionSettings, policy_module
from pumalib.training.online.settings import OnlineEpsilonSettings

if TYPE_CHECKING:
    from pumalib.scores.table import ScoreTable


_MOST_LOST = 0.5
"""Share of a class from which its loss is told, where the pool loses less than half of that. A choice of ours."""


def make_selection(
    settings: SelectionSettings,
    *,
    seed: int,
    pool: Path,
    scores: Mapping[str, Path],
    output: Path,
    maker: Maker = NOBODY,
) -> list[str]:
    """Make and store the selection of one run.

    Args:
        settings: what to keep and with which epsilons.
        seed: of the study.
        pool: the pool file.
        scores: score files by name, those the settings mention.
        output: the HDF5 file to write.
        maker: the job.

    Returns:
        Warnings for the log.

    Raises:
        DataError: a class that loses all its rows, too few scored rows, a mean epsilon of at most 0.
        ArtifactError: a score of another pool or, for epsilons, of another norm.
        ConfigError: a side that a threshold does not drop.
    """
    rows = read_pool_rows(pool)
    tables = _read_scores(scores, rows)
    question = EpsilonQuestion(_inside(settings.epsilon, tables, len(rows.labels)), tables, settings.threat)
    of_pool = epsilons_before_cuts(settings.epsilon, question)
    labels, is_new = _labels(settings, tables, rows.labels)
    of_pool[is_new] = np.abs(of_pool[is_new])  # no longer on the wrong side
    kept, reason, cuts, warnings = _prune(settings, question, rows, seed)
    epsilons = _controlled(settings, of_pool[kept], rows, kept, seed)
    steps = _attack_steps(settings, tables, kept)
    selection = StoredSelection(
        rows=kept,
        epsilons=epsilons,
        reason=reason,
        pool_fingerprint=rows.fingerprint,
        mean_epsilon=_mean_epsilon(settings, epsilons, rows.source[kept]),
        cuts=cuts,
        attack_steps=steps,
        labels=None if settings.relabel is None else labels[kept],
        num_relabelled=None if settings.relabel is None else int(is_new[kept].sum()),
        mean_attack_steps=None if steps is None else _mean_as_drawn(settings, steps, rows.source[kept]),
    )
    origin = maker.origin(settings.model_dump(), _inputs(pool, rows, scores, tables))
    write_selection(selection, _counts(rows.labels[kept], rows.source[kept], rows.class_names), output, origin)
    return warnings


def _read_scores(scores: Mapping[str, Path], rows: PoolRows) -> dict[str, ScoreTable]:
    """Read tables; the code of tables is no part of a selection that reads none."""
    if not scores:
        return {}
    read_scores = importlib.import_module(SCORES_MODULE).read_scores
    return {name: read_scores(path, rows.fingerprint) for name, path in scores.items()}


def _inside(policy: EpsilonSettings, tables: Mapping[str, ScoreTable], num_rows: int) -> NDArray[np.bool_]:
    """Return the rows that the policy is for, [N] bool."""
    where = None if isinstance(policy, OnlineEpsilonSettings) else policy.where
    if where is None:
        return np.ones(num_rows, bool)
    inside: NDArray[np.bool_] = importlib.import_module(INSIDE_MODULE).rows_inside(where, tables)
    return inside


def _prune(
    settings: SelectionSettings, question: EpsilonQuestion, rows: PoolRows, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int16], tuple[tuple[str, float], ...], list[str]]:
    """Return the rows kept [K], the reason of each row [N], the cuts with their last values, and warnings."""
    if not prunes(settings.prune, settings.epsilon):
        num_rows = len(rows.labels)
        return np.arange(num_rows, dtype=np.int64), np.full(num_rows, -1, np.int16), (), []
    prune = importlib.import_module(PRUNING_MODULE).prune
    selection, made = prune(settings.prune, settings.epsilon, question, rows, seed)
    cuts = tuple((cut.label, outcome.value) for cut, outcome in zip(made, selection.outcomes, strict=True))
    warnings = [outcome.warning for outcome in selection.outcomes if outcome.warning]
    by_class = any(cut.could_go_by_class for cut in made)
    warnings += nearly_emptied(rows.labels, selection.rows, rows.class_names, by_class)
    return selection.rows, selection.reason, cuts, warnings


def nearly_emptied(
    labels: NDArray[np.int64], kept: NDArray[np.int64], class_names: Sequence[str], could_go_by_class: bool
) -> list[str]:
    """Return a warning for each class that loses most of its rows while the pool as a whole does not.

    Args:
        labels: [N] int64.
        kept: [K] int64, the rows kept.
        class_names: in label order.
        could_go_by_class: whether a cut could take as much of each class, which the warning advises then.
    """
    advice = "; scope: per_class takes as much of each" if could_go_by_class else ""
    before, after = (np.bincount(each, minlength=len(class_names)) for each in (labels, labels[kept]))
    lost, overall = 1 - after / np.maximum(before, 1), 1 - len(kept) / len(labels)
    return [
        f"the cuts take {before[label] - after[label]} of {before[label]} rows of class {class_names[int(label)]} "
        f"({100 * lost[label]:.0f} %), but {100 * overall:.0f} % of all rows{advice}"
        for label in np.flatnonzero((lost > _MOST_LOST) & (lost > 2 * overall) & (before > 0))
    ]


def epsilons_before_cuts(policy: EpsilonSettings, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the epsilon of every row of the pool, [N], before any cut and any control.

    Rows outside `where` get `otherwise`, or the threat's epsilon.

    Raises:
        DataError: a row that needs a margin has none.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    otherwise = getattr(policy, "otherwise", None)
    epsilons = np.full(len(question.inside), question.threat.epsilon if otherwise is None else otherwise, np.float32)
    epsilons[question.inside] = _policy_module(policy).row_epsilons(policy, question)
    return epsilons


def _controlled(
    settings: SelectionSettings, epsilons: NDArray[np.float32], rows: PoolRows, kept: NDArray[np.int64], seed: int
) -> NDArray[np.float32]:
    """Replace the epsilons of the rows kept, [K], by those of a control, where the policy is one."""
    policy = _policy_module(settings.epsilon)
    if not hasattr(policy, "control"):
        return epsilons
    of_kept = KeptRows(rows.labels[kept], rows.source[kept], settings.synthetic_fraction, seed)
    controlled: NDArray[np.float32] = policy.control(epsilons, of_kept)
    return controlled


def _attack_steps(
    settings: SelectionSettings, tables: Mapping[str, ScoreTable], kept: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return the attack steps of the rows kept, [K]; None: training's, for all of them."""
    if settings.far is None:
        return None
    of_pool: NDArray[np.int64] = importlib.import_module(FAR_MODULE).steps_of_rows(settings, tables[settings.far.score])
    return of_pool[kept]


def _labels(
    settings: SelectionSettings, tables: Mapping[str, ScoreTable], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the labels that every row of the pool is trained under, [N], and which of them are new, [N] bool."""
    if settings.relabel is None:
        return labels, np.zeros(len(labels), bool)
    labels_of_rows = importlib.import_module(RELABEL_MODULE).labels_of_rows
    found: tuple[NDArray[np.int64], NDArray[np.bool_]] = labels_of_rows(
        settings, tables[settings.relabel.score], labels
    )
    return found


def _mean_as_drawn(settings: SelectionSettings, values: NDArray[np.int64], source: NDArray[np.uint8]) -> float:
    return float(draw_weights(source, settings.synthetic_fraction) @ values)


def _policy_module(policy: EpsilonSettings) -> ModuleType:
    return importlib.import_module(policy_module(policy.policy))


def _mean_epsilon(settings: SelectionSettings, epsilons: NDArray[np.float32], source: NDArray[np.uint8]) -> float:
    """Return the mean over the rows as drawn; nan where training finds epsilons (see history.csv)."""
    if isinstance(settings.epsilon, OnlineEpsilonSettings):
        return float("nan")
    return mean_epsilon(epsilons, source, settings.synthetic_fraction)


def _inputs(
    pool: Path, rows: PoolRows, scores: Mapping[str, Path], tables: Mapping[str, ScoreTable]
) -> dict[str, Input]:
    inputs = {"pool": Input(pool, rows.fingerprint)}
    for name, table in tables.items():
        inputs[f"score {name}"] = Input(scores[name], content_fingerprint(table.score, table.valid))
        inputs[f"model of score {name}"] = Input(None, table.model_fingerprint)
    return inputs


def _counts(labels: NDArray[np.int64], source: NDArray[np.uint8], class_names: Sequence[str]) -> dict[str, Any]:
    return {
        name: dict(
            zip(
                class_names,
                np.bincount(labels[source == code], minlength=len(class_names)).tolist(),
                strict=True,
            )
        )
        for code, name in enumerate(SOURCE_NAMES)
    }

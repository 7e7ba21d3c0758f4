"""The selection stage: settings and score tables in, one selection file out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pumalib.data.pool import SOURCE_NAMES, PoolRows, read_pool_rows
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.files.artifacts import content_fingerprint, create_artifact, expect_fingerprint, open_artifact, read_array
from pumalib.randomness import derive_seed
from pumalib.scores.table import HigherIs, ScoreTable, read_scores
from pumalib.selection.cuts import Cut, dropped_side
from pumalib.selection.epsilons import mean_epsilon, shuffle_within
from pumalib.selection.policies import row_epsilons, rows_inside
from pumalib.selection.select import Selection, select
from pumalib.selection.settings import (
    RANDOM,
    THRESHOLDS,
    CutSettings,
    EpsilonSettings,
    FromMargin,
    OnlineEpsilonSettings,
)


@dataclass(frozen=True)
class SelectionPlan:
    """What a run asks of its selection.

    Attributes:
        prune: the cuts.
        epsilon: the policy.
        threat_epsilon: default radius and cap, pixel scale.
        threat_norm: norm the margins must be in.
        synthetic_fraction: share of synthetic rows in a batch, for means over the rows as drawn.
        seed: seed of the study.
    """

    prune: tuple[CutSettings, ...]
    epsilon: EpsilonSettings
    threat_epsilon: float
    threat_norm: str
    synthetic_fraction: float
    seed: int

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], seed: int) -> SelectionPlan:
        """Read the slice of the study that a rule's params spell."""
        return cls(
            prune=tuple(CutSettings.model_validate(cut) for cut in settings["prune"]),
            epsilon=TypeAdapter(EpsilonSettings).validate_python(settings["epsilon"]),
            threat_epsilon=float(settings["threat"]["epsilon"]),
            threat_norm=str(settings["threat"]["norm"]),
            synthetic_fraction=float(settings["synthetic_fraction"]),
            seed=seed,
        )


@dataclass(frozen=True)
class StoredSelection:
    """A selection as training and reports read it; see docs/artifacts.md."""

    rows: NDArray[np.int64]
    epsilons: NDArray[np.float32]
    reason: NDArray[np.int16]
    pool_fingerprint: str
    mean_epsilon: float
    cuts: tuple[tuple[str, float], ...]

    @property
    def fingerprint(self) -> str:
        """Hash of the rows and epsilons."""
        return content_fingerprint(self.rows, self.epsilons)

    @property
    def pruned_fraction(self) -> float:
        """Rows removed over rows in the pool."""
        return 1 - len(self.rows) / len(self.reason)


def make_selection(
    plan: SelectionPlan,
    pool: Path,
    scores: Mapping[str, Path],
    output: Path,
    settings: Mapping[str, Any],
    code: Mapping[str, str] | None = None,
) -> list[str]:
    """Make and store the selection of one run.

    Args:
        plan: what to keep and with which epsilons.
        pool: the pool file.
        scores: score files by name, those the plan mentions.
        output: the HDF5 file to write.
        settings: the config slice to record.
        code: code fingerprint to record.

    Returns:
        Warnings for the log.

    Raises:
        DataError: a class that loses all its rows, too few scored rows, a mean epsilon of at most 0.
        ArtifactError: a score of another pool or, for epsilons, of another norm.
        ConfigError: a side that a threshold does not drop.
    """
    rows = read_pool_rows(pool)
    tables = {name: read_scores(path, rows.fingerprint) for name, path in scores.items()}
    cuts = _make_cuts(plan, tables)
    selection = _select(plan, rows, cuts, tables)
    labels, source = rows.labels[selection.rows], rows.source[selection.rows]
    models = {f"model of score {name}": table.model_fingerprint for name, table in tables.items()}
    scored = {f"score {name}": content_fingerprint(table.score, table.valid) for name, table in tables.items()}
    inputs = {"pool": rows.fingerprint, **models, **scored}
    with create_artifact(output, "selection", settings=settings, inputs=inputs, code=code) as file:
        file.attrs["pool_fingerprint"] = rows.fingerprint
        file.attrs["mean_epsilon"] = _mean_epsilon(plan, selection.epsilons, source)
        file.attrs["pruned_fraction"] = selection.pruned_fraction
        file.attrs["cuts"] = json.dumps(
            [[cut.label, outcome.value] for cut, outcome in zip(cuts, selection.outcomes, strict=True)]
        )
        file.attrs["counts"] = json.dumps(_counts(labels, source, rows.class_names))
        file.create_dataset("rows", data=selection.rows)
        file.create_dataset("epsilons", data=selection.epsilons)
        file.create_dataset("reason", data=selection.reason)
    return [outcome.warning for outcome in selection.outcomes if outcome.warning]


def _make_cuts(plan: SelectionPlan, tables: Mapping[str, ScoreTable]) -> list[Cut]:
    """Make the cuts that a plan asks for; dropping rows of negative epsilon is one more, after them."""
    cuts = [_make_cut(cut, tables) for cut in plan.prune]
    policy = plan.epsilon
    if isinstance(policy, FromMargin) and policy.negative == "drop":
        score = tables[policy.score].score.astype(np.float64) - policy.gap
        inside = rows_inside(policy.where, tables, len(score))
        cuts.append(Cut(score, below=0.0, higher_is="easier", valid=inside, label="epsilon < 0"))
    return cuts


def _select(plan: SelectionPlan, rows: PoolRows, cuts: Sequence[Cut], tables: Mapping[str, ScoreTable]) -> Selection:
    num_rows = len(rows.labels)
    epsilons = row_epsilons(plan.epsilon, tables, num_rows, plan.threat_epsilon, plan.threat_norm)
    selection = select(num_rows, cuts, epsilons, plan.seed, labels=rows.labels, source=rows.source)
    return _controlled(selection, plan, rows)


def _controlled(selection: Selection, plan: SelectionPlan, rows: PoolRows) -> Selection:
    """Replace PUMA's epsilons by those of a control, over the same kept rows."""
    labels, source = rows.labels[selection.rows], rows.source[selection.rows]
    epsilons = selection.epsilons
    if plan.epsilon.policy == "mean_of_margin":
        mean = mean_epsilon(epsilons, source, plan.synthetic_fraction)
        if mean <= 0:
            raise DataError(
                f"expected a mean epsilon above 0 for mean_of_margin, got {mean:.4g}: most margins are negative"
            )
        epsilons = np.full_like(epsilons, mean)
    elif plan.epsilon.policy == "shuffled_margin":
        epsilons = shuffle_within(epsilons, labels, source, derive_seed(plan.seed, "control"))
    return Selection(selection.rows, epsilons, selection.reason, selection.outcomes)


def _mean_epsilon(plan: SelectionPlan, epsilons: NDArray[np.float32], source: NDArray[np.uint8]) -> float:
    """Return the mean over the rows as drawn; nan where training finds epsilons (see history.csv)."""
    if isinstance(plan.epsilon, OnlineEpsilonSettings):
        return float("nan")
    return mean_epsilon(epsilons, source, plan.synthetic_fraction)


def _make_cut(cut: CutSettings, tables: Mapping[str, ScoreTable]) -> Cut:
    bounds = {name: getattr(cut, name) for name in ("fraction", *THRESHOLDS)}
    name, value = next((name, value) for name, value in bounds.items() if value is not None)
    what = f"{value:.4g}" if name != "fraction" else f"{100 * value:.4g} %"
    side = name.replace("_", " ") if name != "fraction" else cut.drop
    label = " ".join(part for part in (cut.by, side, what) if part)
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


def read_selection(path: str | Path, pool_fingerprint: str | None = None) -> StoredSelection:
    """Read a selection; refuse one of another pool or with rows and epsilons that do not match.

    Raises:
        ArtifactError: missing, damaged, of another kind or pool, or inconsistent.
    """
    with open_artifact(path, "selection") as file:
        if pool_fingerprint is not None:
            expect_fingerprint(str(file.attrs["pool_fingerprint"]), pool_fingerprint, "pool", path)
        selection = StoredSelection(
            rows=read_array(file, "rows", np.int64),
            epsilons=read_array(file, "epsilons", np.float32),
            reason=read_array(file, "reason", np.int16),
            pool_fingerprint=str(file.attrs["pool_fingerprint"]),
            mean_epsilon=float(file.attrs["mean_epsilon"]),
            cuts=tuple((str(label), float(value)) for label, value in json.loads(file.attrs["cuts"])),
        )
    kept = np.flatnonzero(selection.reason == -1)
    if len(selection.rows) != len(selection.epsilons) or not np.array_equal(kept, selection.rows):
        raise ArtifactError(f"expected rows, epsilons and reason to agree in {path}; make it again")
    return selection

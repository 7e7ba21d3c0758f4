"""Accuracies of the weights that runs kept along their training, and the best epoch against the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.evaluation.table import StoredAttack, read_attack
from pumalib.reporting.accuracy_lines import draw_accuracies
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.files import markdown_table
from pumalib.reporting.histories import ACCURACIES, read_measured
from pumalib.reporting.outcomes import Outcomes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.kept_epochs import KeptEpochsSettings, KeptRun
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread, summarise
from pumalib.reporting.words import design_sentence
from pumalib.training.kept_epochs import best_epoch

KEPT, BEST, LAST, LEAD = "kept", "best", "last", "best - last"
"""What a row of the table is of."""


@dataclass(frozen=True)
class _Point:
    """Whether one run and seed was right about each image, [I] of 0 and 1, after one epoch; of a lead, differences."""

    run: str
    checkpoint: str
    epoch: int
    seed: int
    clean_accuracy: NDArray[np.float64]
    robust_accuracy: NDArray[np.float64]
    split: str

    @property
    def group(self) -> tuple[str, str, int]:
        """What is one row of the table: kept epochs each alone, the best epoch of each seed together."""
        return self.run, self.checkpoint, self.epoch if self.checkpoint == KEPT else 0


def kept_table(kept: Sequence[KeptRun], test_to_train: float | None = None) -> pd.DataFrame:
    """Return a row per run and kept epoch, then one for its best epoch, its last, and best - last, paired by seed.

    Columns: run, checkpoint (`kept`, `best`, `last`, `best - last`), epoch (mean over seeds), num_seeds, num_samples
    (images per seed), split, and of clean_accuracy and robust_accuracy, shares in [0, 1], over seeds: `_mean`, `_sd`
    (n - 1), `_low` and `_high` of a 95 % interval over seeds and images (nan below three seeds). Runs keep their order.

    Args:
        kept: the files of each run and seed.
        test_to_train: as in `Outcomes`, for the split that is attacked.

    Raises:
        ArtifactError: a file is missing, damaged or of another kind.
        DataError: tables of one seed are of different images, or a history measured no epoch to choose from.
    """
    first: dict[int | None, tuple[str, StoredAttack]] = {}
    groups: dict[tuple[str, str, int], list[_Point]] = {}
    for each in kept:
        for point in _points(each, first, None if test_to_train is None else each.seed):
            groups.setdefault(point.group, []).append(point)
    return pd.DataFrame([_summary(points, Outcomes({}, test_to_train)) for points in groups.values()])


def _points(kept: KeptRun, first: dict[int | None, tuple[str, StoredAttack]], images: int | None) -> list[_Point]:
    """Return the points of one run and seed; `images`: the seed whose images it is of, None: those of every seed."""
    tables = {epoch: read_attack(path) for epoch, path in kept.tables.items()}
    epoch, best = _best(kept, tables)
    for place, table in {**{f"epoch {at}": each for at, each in tables.items()}, "best epoch": best}.items():
        _refuse_other_images(f"{kept.run} ({place})", table, *first.setdefault(images, (kept.run, table)))
    last = max(tables)
    points = [_point(kept, KEPT, at, table) for at, table in tables.items()]
    one, other = _point(kept, BEST, epoch, best), _point(kept, LAST, last, tables[last])
    differences = {name: getattr(one, name) - getattr(other, name) for name in ACCURACIES}
    return [*points, one, other, replace(one, checkpoint=LEAD, epoch=epoch - last, **differences)]


def _best(kept: KeptRun, tables: Mapping[int, StoredAttack]) -> tuple[int, StoredAttack]:
    """Return the best epoch by the history, and its table: of the kept ones; of all where the model is of the best."""
    history = read_measured(kept.history, "epoch")
    measured = dict(zip(history["epoch"].tolist(), history["robust_accuracy"].tolist(), strict=True))
    if kept.best is not None:
        return best_epoch(measured), read_attack(kept.best)
    among = {epoch: measured[epoch] for epoch in tables if epoch in measured}
    if set(history["split"]) != {"validation"} or not among:
        raise DataError(f"expected kept epochs measured on validation rows in {kept.history}, found none; train again")
    epoch = best_epoch(among)
    return epoch, tables[epoch]


def _point(kept: KeptRun, checkpoint: str, epoch: int, table: StoredAttack) -> _Point:
    clean = (table.clean_prediction == table.label).astype(np.float64)
    robust = (table.adversarial_prediction == table.label).astype(np.float64)
    return _Point(kept.run, checkpoint, epoch, kept.seed, clean, robust, table.split)


def _refuse_other_images(where: str, table: StoredAttack, run: str, first: StoredAttack) -> None:
    """Refuse tables of one seed that are of other images."""
    if table.split != first.split or not (
        np.array_equal(table.row, first.row) and np.array_equal(table.label, first.label)
    ):
        raise DataError(
            f"expected all attack tables on the same images, got others for {where} than for {run}; "
            "make the attack tables again"
        )


def _summary(points: Sequence[_Point], outcomes: Outcomes) -> dict[str, Any]:
    """Return one row of the table: what the seeds of a group come to."""
    head = points[0]
    found: dict[str, Any] = {
        "run": head.run,
        "checkpoint": head.checkpoint,
        "epoch": fmean(point.epoch for point in points),
        "num_seeds": len(points),
        "num_samples": min(len(point.clean_accuracy) for point in points),
        "split": head.split,
    }
    for name in ACCURACIES:
        values = {point.seed: getattr(point, name) for point in points}
        mean, deviation, _ = summarise([float(each.mean()) for each in values.values()])
        lowest = -1 if head.checkpoint == LEAD else 0
        low, high = outcomes.estimate(values, f'run "{head.run}", {head.checkpoint}', lowest).interval()
        found |= {f"{name}_mean": mean, f"{name}_sd": deviation, f"{name}_low": low, f"{name}_high": high}
    return found


def kept_page(table: pd.DataFrame, settings: KeptEpochsSettings, test_to_train: float | None = None) -> str:
    """Return the best epoch against the last as a table, what it and the figure show, and how to read it."""
    header = ["run", "best epoch", "clean: best (%)", "last", "best - last"]
    header += ["robust: best (%)", "last", "best - last"]
    cells = [_cells(str(run), rows) for run, rows in table.groupby("run", sort=False)]
    split = " and ".join(dict.fromkeys(table["split"]))
    dashed = f" Dashed: `{settings.baseline}`." if settings.baseline else ""
    lines = [
        f"The best epoch against the last:\n\n{markdown_table(header, cells)}",
        "A lead of the best epoch in robust accuracy is robust overfitting: the training went on after the model was "
        "most robust. Brackets are 95 % intervals of the difference, paired by seed and image, each alone (none below "
        f"three seeds). {design_sentence(test_to_train)} An interval that holds 0 shows no overfitting, nor its "
        "absence.",
        "The best epoch is the one with the highest robust accuracy under PGD-10 on validation rows in the history of "
        "each seed, the earliest of equals: among the kept epochs, or among all measured ones where the model itself "
        f"is of the best epoch (`checkpoint: best`). Its mean over seeds stands in the table.{_of_choice(split)}",
        f"The figure shows clean accuracy and robust accuracy under `{settings.attack}` of the averaged weights that "
        f"the runs kept, on {split} images.{dashed} Lines are means over seeds, bands (bars where there are more than "
        f"three lines) one standard deviation over seeds (n - 1). Seeds per run: {spread(table['num_seeds'])}. Images "
        f"per seed: {spread(table['num_samples'])}.",
    ]
    few = [FEW_SEEDS_WARNING] if table["num_seeds"].min() < MIN_SEEDS_FOR_CLAIM else []
    return "\n\n".join([*lines, *few])


def _of_choice(split: str) -> str:
    """Say that the lead is too large where the epoch was chosen on rows of the split that is measured here."""
    if split != "validation":
        return ""
    return " It was chosen on some of the rows that are attacked here, so its lead comes out a little too large."


def _cells(run: str, rows: pd.DataFrame) -> list[str]:
    found: dict[str, Mapping[Any, Any]] = {row["checkpoint"]: row for row in rows.to_dict("records")}
    cells = [f"`{run}`", f"{found[BEST]['epoch']:g}"]
    for name in ACCURACIES:
        best, last, lead = (100 * found[what][f"{name}_mean"] for what in (BEST, LAST, LEAD))
        low, high = (100 * found[LEAD][f"{name}_{end}"] for end in ("low", "high"))
        interval = "" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"
        cells += [f"{best:.2f}", f"{last:.2f}", f"{lead:+.2f}{interval}"]
    return cells


def make(
    settings: KeptEpochsSettings, *, kept: Sequence[KeptRun], styles: RunStyles, test_to_train: float | None
) -> ReportParts:
    """Make the curves and the table from attack tables and the history of each run and seed."""
    table = kept_table(kept, test_to_train)
    points = table[table["checkpoint"] == KEPT]
    figure = draw_accuracies(points, "epoch", "epoch", settings.baseline, styles, with_points=True)
    page = kept_page(table, settings, test_to_train)
    return ReportParts(table, figure, "Accuracy of kept epochs", "", text_above=page)

"""Accuracies of the weights that runs kept along their training, and the best epoch against the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pumalib.errors import DataError
from pumalib.evaluation.table import StoredAttack, read_attack
from pumalib.reporting.accuracy_lines import draw_accuracies
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.files import markdown_table
from pumalib.reporting.histories import ACCURACIES, read_measured
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.kept_epochs import KeptEpochsSettings, KeptRun
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, half_width, spread, summarise
from pumalib.training.kept_epochs import best_epoch

KEPT, BEST, LAST, LEAD = "kept", "best", "last", "best - last"
"""What a row of the table is of."""


@dataclass(frozen=True)
class _Point:
    """Accuracies of one run and seed after one epoch, shares in [0, 1]; of a lead, differences."""

    run: str
    checkpoint: str
    epoch: int
    clean_accuracy: float
    robust_accuracy: float
    num_samples: int
    split: str


def kept_table(kept: Sequence[KeptRun]) -> pd.DataFrame:
    """Return a row per run and kept epoch, then one for its best epoch, its last, and best - last, paired by seed.

    Columns: run, checkpoint (`kept`, `best`, `last`, `best - last`), epoch (mean over seeds), num_seeds, num_samples
    (images a seed), split, and of clean_accuracy and robust_accuracy, shares in [0, 1], over seeds: `_mean`, `_sd`
    (n - 1), `_low` and `_high` of a 95 % t-interval (all but the mean nan for one seed). Runs keep their order.

    Raises:
        ArtifactError: a file is missing, damaged or of another kind.
        DataError: tables of one seed are of different images, or a history measured no epoch to choose from.
    """
    first: dict[int, tuple[str, StoredAttack]] = {}
    points = [point for each in kept for point in _points(each, first)]
    frame = pd.DataFrame(points)
    frame["group"] = frame["epoch"].where(frame["checkpoint"] == KEPT, 0)
    groups = frame.groupby(["run", "checkpoint", "group"], sort=False)
    return pd.DataFrame([_summary(rows) for _, rows in groups])


def _points(kept: KeptRun, first: dict[int, tuple[str, StoredAttack]]) -> list[_Point]:
    tables = {epoch: read_attack(path) for epoch, path in kept.tables.items()}
    epoch, best = _best(kept, tables)
    for place, table in {**{f"epoch {at}": each for at, each in tables.items()}, "best epoch": best}.items():
        _refuse_other_images(f"{kept.run} ({place})", table, *first.setdefault(kept.seed, (kept.run, table)))
    last = max(tables)
    clean = best.clean_accuracy - tables[last].clean_accuracy
    robust = best.robust_accuracy - tables[last].robust_accuracy
    return [
        *(_point(kept.run, KEPT, at, table) for at, table in tables.items()),
        _point(kept.run, BEST, epoch, best),
        _point(kept.run, LAST, last, tables[last]),
        _Point(kept.run, LEAD, epoch - last, clean, robust, len(best.label), best.split),
    ]


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


def _point(run: str, checkpoint: str, epoch: int, table: StoredAttack) -> _Point:
    accuracies = (table.clean_accuracy, table.robust_accuracy)
    return _Point(run, checkpoint, epoch, *accuracies, len(table.label), table.split)


def _refuse_other_images(where: str, table: StoredAttack, run: str, first: StoredAttack) -> None:
    """Refuse tables of one seed that are of other images."""
    if table.split != first.split or not (
        np.array_equal(table.row, first.row) and np.array_equal(table.label, first.label)
    ):
        raise DataError(
            f"expected all attack tables of a seed on the same images, got others for {where} than for {run}; "
            "make the attack tables again"
        )


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    """Return one row of the table: what the seeds of a group come to."""
    head = rows.iloc[0]
    found: dict[str, Any] = {"run": head["run"], "checkpoint": head["checkpoint"], "epoch": rows["epoch"].mean()}
    found |= {"num_seeds": len(rows), "num_samples": rows["num_samples"].min(), "split": head["split"]}
    for name in ACCURACIES:
        values = rows[name].tolist()
        mean, deviation, _ = summarise(values)
        half = half_width(values)
        found |= {
            f"{name}_mean": mean,
            f"{name}_sd": deviation,
            f"{name}_low": mean - half,
            f"{name}_high": mean + half,
        }
    return found


def kept_page(table: pd.DataFrame, settings: KeptEpochsSettings) -> str:
    """Return the best epoch against the last as a table, what it and the figure show, and how to read it."""
    header = ["run", "best epoch", "clean: best (%)", "last", "best - last"]
    header += ["robust: best (%)", "last", "best - last"]
    cells = [_cells(str(run), rows) for run, rows in table.groupby("run", sort=False)]
    split = " and ".join(dict.fromkeys(table["split"]))
    dashed = f" Dashed: `{settings.baseline}`." if settings.baseline else ""
    lines = [
        f"The best epoch against the last:\n\n{markdown_table(header, cells)}",
        "A lead of the best epoch in robust accuracy is robust overfitting: the training went on after the model was "
        "most robust. Brackets are 95 % t-intervals of the difference, paired by seed, each alone (none for a single "
        "seed). An interval that holds 0 shows no overfitting, nor its absence.",
        "The best epoch is the one with the highest robust accuracy under PGD-10 on validation rows in the history of "
        "each seed, the earliest of equals: among the kept epochs, or among all measured ones where the model itself "
        f"is of the best epoch (`checkpoint: best`). Its mean over seeds stands in the table.{_of_choice(split)}",
        f"The figure shows clean accuracy and robust accuracy under `{settings.attack}` of the averaged weights that "
        f"the runs kept, on {split} images.{dashed} Lines are means over seeds, bands one standard deviation over "
        f"seeds (n - 1). Seeds per run: {spread(table['num_seeds'])}. Images a seed: {spread(table['num_samples'])}.",
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


def make(settings: KeptEpochsSettings, *, kept: Sequence[KeptRun], styles: RunStyles) -> ReportParts:
    """Make the curves and the table from attack tables and the history of each run and seed."""
    table = kept_table(kept)
    points = table[table["checkpoint"] == KEPT]
    figure = draw_accuracies(points, "epoch", "epoch", settings.baseline, styles, with_points=True)
    return ReportParts(table, figure, "Accuracy of kept epochs", "", text_above=kept_page(table, settings))

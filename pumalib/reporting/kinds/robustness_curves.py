"""The figure of accuracy against epsilon, one line per run, from the shortest perturbations that an attack found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.evaluation.table import StoredNorms, read_shortest_norms
from pumalib.reporting.colours import THREAT_COLOUR, RunStyles, run_line_styles
from pumalib.reporting.estimates import Estimate, crossed_mean, resampled_mean
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    NORM_NAMES,
    draw_line,
    draw_spread,
    figure_style,
    legend_columns,
    new_figure,
    write_above,
)
from pumalib.reporting.files import markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import imported_sentences
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.robustness_curves import RobustnessCurvesSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread
from pumalib.reporting.words import design_sentence

_POINTS_PER_THREAT = 50
"""Epsilons between 0 and the threat's; so the threat's is one of them."""

_TABLED_SHARES = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Shares of the threat's epsilon that stand on the page."""


def robustness_table(
    files: Sequence[RunFile], epsilon: float, up_to: float, test_to_train: float | None
) -> pd.DataFrame:
    """Return a row per run and epsilon; runs keep their order.

    Columns: run, epsilon (pixel scale, from 0), mean over seeds of the accuracy at that epsilon (a share in [0, 1];
    at 0 the clean accuracy), low and high of its 95 % interval (nan below three seeds), num_seeds, num_samples (images
    per seed).

    Args:
        files: tables of a minimum-norm attack, one per run and seed.
        epsilon: the threat's.
        up_to: largest epsilon, in the threat's.
        test_to_train: as in `Outcomes`.

    Raises:
        ArtifactError: a file that is no table of such an attack.
        DataError: runs attacked on other images with one seed.
    """
    epsilons = epsilon * (np.arange(int(np.ceil(_POINTS_PER_THREAT * up_to)) + 1) / _POINTS_PER_THREAT)
    tables = {(file.run, file.seed): read_shortest_norms(file.path) for file in files}
    _refuse_other_images(tables, test_to_train is None)
    groups: dict[str, list[StoredNorms]] = {}
    for (run, _), table in tables.items():
        groups.setdefault(run, []).append(table)
    return pd.concat(
        [_run_rows(run, group, epsilons, test_to_train) for run, group in groups.items()], ignore_index=True
    )


def _run_rows(
    run: str, tables: Sequence[StoredNorms], epsilons: NDArray[np.float64], test_to_train: float | None
) -> pd.DataFrame:
    found = [_accuracy(tables, np.float32(epsilon), test_to_train) for epsilon in epsilons]
    low, high = np.array([each.interval() for each in found]).T
    rows = {"run": run, "epsilon": epsilons, "mean": [each.value for each in found], "low": low, "high": high}
    return pd.DataFrame({**rows, "num_seeds": len(tables), "num_samples": min(len(table.label) for table in tables)})


def _accuracy(tables: Sequence[StoredNorms], epsilon: np.float32, test_to_train: float | None) -> Estimate:
    is_robust = [table.radius >= epsilon for table in tables]
    if test_to_train is None:
        return crossed_mean(np.stack(is_robust))
    return resampled_mean([each.mean() for each in is_robust], test_to_train, min(map(len, is_robust)))


def _refuse_other_images(tables: Mapping[tuple[str, int], StoredNorms], are_shared: bool) -> None:
    """Refuse runs whose tables of one seed are of other images, or of any seeds where all share theirs."""
    first: dict[int | None, tuple[str, StoredNorms]] = {}
    for (run, seed), table in tables.items():
        like, other = first.setdefault(None if are_shared else seed, (run, table))
        if not (np.array_equal(table.row, other.row) and np.array_equal(table.label, other.label)):
            raise DataError(
                f"expected runs attacked on the same images, got others for {run} than for {like} with seed {seed}; "
                "make the attack tables again"
            )


def draw_robustness(
    table: pd.DataFrame, settings: RobustnessCurvesSettings, threat: ThreatSettings, styles: RunStyles
) -> Figure:
    """Draw `robustness_table` in per cent, intervals as bands (of many lines, bars); dotted: the threat's epsilon."""
    runs = list(dict.fromkeys(table["run"]))
    lines = run_line_styles(runs, styles, settings.baseline)
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.9)
        for index, run in enumerate(runs):
            rows, style = table[table["run"] == run], lines[run]
            ends = (100 * rows["low"], 100 * rows["high"])
            draw_spread(axes, rows["epsilon"], ends, style, (index, len(runs)))
            draw_line(axes, rows["epsilon"], 100 * rows["mean"], style, run)
        axes.axvline(threat.epsilon, color=THREAT_COLOUR, linestyle=(0, (1, 1.5)), linewidth=0.9)
        write_above(axes, threat.epsilon, "ε")
        axes.set_xlabel(f"epsilon ({NORM_NAMES[threat.norm]}, pixel scale)")
        axes.set_ylabel("accuracy (%)")
        axes.set_xlim(0, table["epsilon"].max())
        axes.set_ylim(0, 100)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(True)
        figure.legend(loc="outside upper center", ncols=legend_columns(runs, COLUMN_WIDTH_INCHES, 3), handlelength=2.6)
    return figure


def robustness_page(
    table: pd.DataFrame, settings: RobustnessCurvesSettings, threat: ThreatSettings, test_to_train: float | None
) -> str:
    """Return accuracies at a few epsilons, what the figure shows, over how many seeds and images."""
    places = [round(_POINTS_PER_THREAT * share) for share in _TABLED_SHARES if share <= settings.up_to]
    groups = [(str(run), rows.iloc[places]) for run, rows in table.groupby("run", sort=False)]
    header = ["accuracy (%) at epsilon", *(f"{value:.4g}" for value in groups[0][1]["epsilon"])]
    cells = [[f"`{run}`", *(_cell(row) for row in rows.to_dict("records"))] for run, rows in groups]
    dashed = f" Dashed: `{settings.baseline}`." if settings.baseline else ""
    lines = [
        markdown_table(header, cells),
        f"Share of test images that are right when clean and whose shortest perturbation found ({settings.attack}, "
        f"{NORM_NAMES[threat.norm]}) is at least epsilon long; at 0 the clean accuracy. Dotted line: the threat's "
        f"epsilon, {threat.epsilon:.4g}.{dashed} What is found is never shorter than the shortest, so that the lines "
        "are upper bounds; a model that masks its gradient looks robust here, which the attack `square` would show.",
        "Lines are means over seeds; bands (bars where there are more than three lines), and brackets in the table, "
        "95 % intervals, each alone (none below three seeds). Intervals that overlap do not show that runs are the "
        "same. "
        f"{design_sentence(test_to_train)} Seeds per run: {spread(table['num_seeds'])}. "
        f"Test images: {spread(table['num_samples'])}.",
    ]
    few = [FEW_SEEDS_WARNING] if table["num_seeds"].min() < MIN_SEEDS_FOR_CLAIM else []
    return "\n\n".join([*lines, *few])


def _cell(row: Mapping[Any, Any]) -> str:
    mean, low, high = (100 * row[key] for key in ("mean", "low", "high"))
    return f"{mean:.2f}" if np.isnan(low) else f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def make(
    settings: RobustnessCurvesSettings,
    *,
    files: Sequence[RunFile],
    threat: ThreatSettings,
    styles: RunStyles,
    test_to_train: float | None,
    imported: Sequence[str] = (),
) -> ReportParts:
    """Make the curves from the attack table of each run and seed; `imported`: runs that were trained elsewhere."""
    table = robustness_table(files, threat.epsilon, settings.up_to, test_to_train)
    figure = draw_robustness(table, settings, threat, styles)
    page = robustness_page(table, settings, threat, test_to_train)
    page = "\n\n".join([page, *imported_sentences(imported)])
    return ReportParts(table, figure, "Accuracy against epsilon", page)

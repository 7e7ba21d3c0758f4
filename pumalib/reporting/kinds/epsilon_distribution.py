"""The figure of how epsilons are spread over the rows that runs keep, one line per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.selection import read_selection
from pumalib.reporting.colours import THREAT_COLOUR, RunStyles, run_line_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    NORM_NAMES,
    draw_line,
    figure_style,
    legend_columns,
    new_figure,
    write_above,
)
from pumalib.reporting.files import markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.epsilon_distribution import EpsilonDistributionSettings
from pumalib.reporting.statistics import spread

_NUM_POINTS = 401
_QUANTILES = (0.05, 0.5, 0.95)


def read_epsilons(files: Sequence[RunFile]) -> dict[str, list[NDArray[np.float32]]]:
    """Return the epsilons of the rows kept, float32 [K] for each seed, pixel scale, by run; runs keep their order.

    Raises:
        ArtifactError: If a file is missing, damaged or no selection.
    """
    epsilons: dict[str, list[NDArray[np.float32]]] = {}
    for file in files:
        epsilons.setdefault(file.run, []).append(read_selection(file.path).epsilons)
    return epsilons


def distribution_table(epsilons: Mapping[str, Sequence[NDArray[np.float32]]], threat_epsilon: float) -> pd.DataFrame:
    """Return a row per run and epsilon: run, epsilon (pixel scale), share_at_most, num_rows (of all seeds).

    `share_at_most`, in [0, 1], is the share of the rows kept, of all seeds together, whose epsilon is at most that.
    """
    ends = [float(end) for seeds in epsilons.values() for each in seeds for end in (each.min(), each.max())]
    low, high = min(0.0, *ends), max(threat_epsilon, *ends)
    room = 0.02 * (high - low)
    places = np.linspace(low - room, high + room, _NUM_POINTS)
    rows = []
    for run, seeds in epsilons.items():
        values = np.sort(np.concatenate(list(seeds)).astype(np.float64))
        shares = np.searchsorted(values, places, side="right") / len(values)
        rows.append(pd.DataFrame({"run": run, "epsilon": places, "share_at_most": shares, "num_rows": len(values)}))
    return pd.concat(rows, ignore_index=True)


def draw_distribution(table: pd.DataFrame, threat: ThreatSettings, styles: RunStyles) -> Figure:
    """Draw `distribution_table` in per cent; dotted lines stand at 0 and at the threat's epsilon."""
    runs = list(dict.fromkeys(table["run"]))
    lines = run_line_styles(runs, styles)
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.7)
        for run, rows in table.groupby("run", sort=False):
            draw_line(axes, rows["epsilon"], 100 * rows["share_at_most"], lines[str(run)], str(run))
        for value, text in ((0.0, "0"), (threat.epsilon, "ε")):
            axes.axvline(value, color=THREAT_COLOUR, linestyle=(0, (1, 1.5)), linewidth=0.9, zorder=1)
            write_above(axes, value, text)
        axes.set_xlabel(f"epsilon ({NORM_NAMES[threat.norm]}, pixel scale)")
        axes.set_ylabel("rows with at most this (%)")
        axes.set_xlim(table["epsilon"].min(), table["epsilon"].max())
        axes.set_ylim(-2, 102)
        axes.locator_params(axis="x", nbins=6)
        axes.grid(True)
        figure.legend(loc="outside upper center", ncols=legend_columns(runs, COLUMN_WIDTH_INCHES, 3), handlelength=2.6)
    return figure


def distribution_page(epsilons: Mapping[str, Sequence[NDArray[np.float32]]], threat: ThreatSettings) -> str:
    """Return mean, negative share and quantiles of each run, and what the figure shows."""
    header = ["run", "rows kept", "mean", "negative (%)", f"at least {threat.epsilon:.4g} (%)"]
    header += [f"{100 * quantile:g} % quantile" for quantile in _QUANTILES]
    cells = [[f"`{run}`", *_cells(seeds, threat.epsilon)] for run, seeds in epsilons.items()]
    return "\n\n".join(
        [
            markdown_table(header, cells),
            f"Signed epsilons ({NORM_NAMES[threat.norm]}, pixel scale) of the rows kept: for each value the share of "
            "rows whose epsilon is at most that; a step is a value that many rows share. Each row counts once, however "
            "often training draws it. Dotted lines: 0, below which a row is perturbed toward its label, and the "
            f"threat's epsilon, {threat.epsilon:.4g}.",
            f"Rows of all seeds together; no error bars. Seeds per run: {spread(map(len, epsilons.values()))}.",
        ]
    )


def _cells(seeds: Sequence[NDArray[np.float32]], threat_epsilon: float) -> list[str]:
    values = np.concatenate(list(seeds)).astype(np.float64)
    reaches = values >= np.float32(threat_epsilon)
    numbers = [f"{values.mean():.4g}", f"{100 * (values < 0).mean():.1f}", f"{100 * reaches.mean():.1f}"]
    return [spread(map(len, seeds)), *numbers, *(f"{value:.4g}" for value in np.quantile(values, _QUANTILES))]


def make(
    settings: EpsilonDistributionSettings, *, files: Sequence[RunFile], threat: ThreatSettings, styles: RunStyles
) -> ReportParts:
    """Make the figure from the selection of each run and seed."""
    epsilons = read_epsilons(files)
    table = distribution_table(epsilons, threat.epsilon)
    figure = draw_distribution(table, threat, styles)
    return ReportParts(table, figure, "Epsilons of the rows kept", distribution_page(epsilons, threat))

"""The look of every figure, and saving it with the same bytes each time.

Figures are `matplotlib.figure.Figure` objects on the Agg canvas: no window, no global state of pyplot, and
nothing of a user's own matplotlibrc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike

from pumalib.files.artifacts import writing
from pumalib.files.plain_text import visible
from pumalib.reporting.colours import LineStyle

COLUMN_WIDTH_INCHES = 3.4
"""Width of one column of a two-column paper."""
PAGE_WIDTH_INCHES = 7.0
"""Width of both columns."""

NORM_NAMES = {"linf": "L-inf", "l2": "L2"}
"""How norms are written on axes."""

_LEGEND_KEY_INCHES, _LEGEND_LETTER_INCHES = 0.5, 0.062
"""Widths of a legend's line with the space around it, and of a letter at 7 points."""
_PNG_DPI = 200
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.hashsalt": "puma",
    "svg.fonttype": "path",
    "figure.dpi": 100,
    "savefig.dpi": _PNG_DPI,
    "savefig.facecolor": "white",
}


class FigurePaths(NamedTuple):
    """The two files of a figure."""

    png: Path
    svg: Path


@contextmanager
def figure_style() -> Iterator[None]:
    """Set matplotlib's defaults and the house style for the block, and put back what was there."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def as_label(words: str) -> str:
    """Return words that a user chose as matplotlib draws them, dollar signs too."""
    return visible(words).replace("$", r"\$")


def new_figure(width: float, height: float, num_columns: int = 1, num_rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of width x height inches on the Agg canvas and its axes side by side, row after row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(num_rows, num_columns, squeeze=False, sharey=num_columns > 1)
    return figure, list(axes.flat)


def new_stack(width: float, height: float, num_rows: int = 2) -> tuple[Figure, list[Axes]]:
    """Return a figure of width x height inches on the Agg canvas and its axes one below the other, sharing x."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(num_rows, 1, squeeze=False, sharex=True)
    return figure, list(axes[:, 0])


def new_panels(width: float, height: float, num_rows: int) -> tuple[Figure, list[tuple[SubFigure, Axes]]]:
    """Return a figure of width x height inches on the Agg canvas and panels one below the other, with their axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subfigures(num_rows, 1, squeeze=False)[:, 0]
    return figure, [(panel, panel.subplots()) for panel in panels]


def new_sheet(width: float, height: float) -> Figure:
    """Return an empty figure of width x height inches on the Agg canvas."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def draw_line(axes: Axes, across: ArrayLike, up: ArrayLike, style: LineStyle, label: str) -> None:
    """Draw the line of a run or group through many points [N]; markers, where its style has one, stand far apart."""
    axes.plot(
        across,
        up,
        color=style.colour,
        linestyle=style.dashes,
        linewidth=1.2,
        marker=style.marker,
        markersize=3.5,
        markevery=0.12,
        label=label,
    )


def legend_columns(labels: Sequence[str], width: float, most: int) -> int:
    """Return how many columns, at least 1 and at most `most`, a legend of these labels has room for (inches)."""
    column = _LEGEND_KEY_INCHES + _LEGEND_LETTER_INCHES * max(map(len, labels), default=0)
    return max(1, min(most, len(labels), int(width / column)))


def save_figure(figure: Figure, png_path: Path, svg_path: Path) -> None:
    """Write a figure as PNG (200 dpi) and SVG, without dates and versions: equal content, equal bytes."""
    save_png(figure, png_path)
    with figure_style(), writing(svg_path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG (200 dpi) alone, as `save_figure` does."""
    with figure_style(), writing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})

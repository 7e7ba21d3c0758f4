"""The look of every figure, and saving it with the same bytes each time.

Figures are `matplotlib.figure.Figure` objects on the Agg canvas: no window, no global state of pyplot, and
nothing of a user's own matplotlibrc.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from pumalib.files.artifacts import writing
from pumalib.files.plain_text import visible
from pumalib.reporting.colours import CYCLE, LineStyle

COLUMN_WIDTH_INCHES = 3.4
"""Width of one column of a two-column paper."""
PAGE_WIDTH_INCHES = 7.0
"""Width of both columns."""
LEAST_POINTS = 6
"""Size of the smallest text of a figure."""

NORM_NAMES = {"linf": "L-inf", "l2": "L2"}
"""How norms are written on axes."""

MOST_BANDS = 3
"""Lines of a figure that have bands; of more, bands merge."""
_BARS = 6
"""Bars of a line instead of a band."""

_LEVEL_POINTS = 9.5
"""Height of a line of text above the axes."""

_LEGEND_KEY_INCHES, _LEGEND_LETTER_INCHES = 0.5, 0.062
"""Widths of a legend's line with the space around it, and of a letter at 7 points."""
_PNG_DPI = 200
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
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
        markersize=3.8,
        markerfacecolor="white",
        markeredgewidth=0.9,
        markevery=0.12,
        label=label,
    )


def draw_spread(
    axes: Axes, across: ArrayLike, ends: tuple[ArrayLike, ArrayLike], style: LineStyle, place: tuple[int, int]
) -> None:
    """Draw how far a line may be off: a band, or where many lines would merge into grey, bars at a few places.

    Args:
        axes: Axes with the line.
        across: Places of its points [N].
        ends: Lower and upper ends [N]; nan: none.
        style: of the line.
        place: which line of how many it is; the bars of each stand at places of their own.
    """
    low, high = (np.asarray(each, np.float64) for each in ends)
    which, count = place
    if count <= MOST_BANDS:
        axes.fill_between(across, low, high, color=style.colour, alpha=0.2, linewidth=0)
        return
    points = np.asarray(across, np.float64)
    wanted = np.linspace(points.min(), points.max(), _BARS * count + 1)[which + 1 :: count]
    chosen = (
        np.unique(np.abs(points[:, None] - wanted).argmin(0)) if len(points) > _BARS * count else np.arange(len(points))
    )
    axes.vlines(points[chosen], low[chosen], high[chosen], color=style.colour, linewidth=0.9, alpha=0.8)


def write_above(
    axes: Axes, value: float, text: str, side: Literal["left", "center", "right"] = "center", level: int = 0
) -> None:
    """Name a vertical line above the axes, where the name crosses no line.

    Args:
        axes: Axes with the line.
        value: Where it stands.
        text: Its name.
        side: Which side of the name stands at the line.
        level: lines of text above the axes; from 1 on, a dashed tie leads down to the line.
    """
    across = {"right": -3, "center": 0, "left": 3}[side]
    axes.annotate(
        text,
        (value, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(across, 1 + _LEVEL_POINTS * level),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=7,
        annotation_clip=False,
        zorder=4,
        bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none"},
    )
    if level:
        axes.annotate(
            "",
            (value, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, _LEVEL_POINTS * (level + 0.9)),
            textcoords="offset points",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "linestyle": (0, (5, 2)), "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0},
        )


def plain_log_ticks(axis: Axis, *, is_dense: bool = False) -> None:
    """Write powers of ten on a log axis as plain numbers, without exponents; dense: 2 and 5 times them too."""
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5) if is_dense else (1,), numticks=20))
    axis.set_major_formatter(lambda value, _: plain_number(value))
    axis.set_minor_formatter(NullFormatter())


def plain_number(value: float) -> str:
    """Return a number as ticks show it: 0.001, 20, 10,000, 5 million."""
    if value >= 1e6:
        return f"{value / 1e6:,g} million"
    return f"{value:,.0f}" if value >= 1 and value == round(value) else f"{value:.12f}".rstrip("0").rstrip(".")


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

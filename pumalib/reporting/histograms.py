"""Histograms of several groups of rows over the same bins, as shares of each group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from pumalib.reporting.colours import SOURCE_COLOURS

_NUM_BINS = 60
_TAIL = 0.005
_LINE_STYLES = ("-", (0, (4, 1.5)))


def shared_edges(groups: Iterable[NDArray[np.float32]], marks: Iterable[float] = ()) -> NDArray[np.float64]:
    """Return 61 bin edges [61] over the range to be drawn.

    The range leaves out half a per cent of each group at each end, and holds every mark.

    Args:
        groups: One value per row, float32 [N] each, none of them empty.
        marks: Values that must be within the range.
    """
    tails = np.concatenate([np.quantile(group.astype(np.float64), (_TAIL, 1 - _TAIL)) for group in groups])
    inside = np.concatenate([tails, np.fromiter(marks, np.float64)])
    low, high = float(inside.min()), float(inside.max())
    room = 0.02 * (high - low) or max(abs(low), 1.0) * 0.01
    return np.linspace(low - room, high + room, _NUM_BINS + 1)


def binned(groups: Mapping[str, NDArray[np.float32]], edges: NDArray[np.float64]) -> pd.DataFrame:
    """Return bin_low, bin_high and `num_<group>`; the first and last bin hold what lies beyond the edges."""
    table = pd.DataFrame({"bin_low": [-np.inf, *edges], "bin_high": [*edges, np.inf]})
    for name, values in groups.items():
        bins = np.searchsorted(edges, values.astype(np.float64), side="right")
        table[f"num_{name}"] = np.bincount(bins, minlength=len(edges) + 1)
    return table


def draw_shares(axes: Axes, table: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Draw each group of `binned` as a filled outline, in per cent of the group's rows per bin.

    Args:
        axes: Axes to draw on.
        table: Of `binned`.
        names: Legend text of each group, in the order of drawing.
    """
    edges = table["bin_high"].to_numpy()[:-1]
    for (group, text), line_style in zip(names.items(), _LINE_STYLES, strict=False):
        counts = table[f"num_{group}"].to_numpy()
        shares = 100 * counts[1:-1] / counts.sum()
        colour = SOURCE_COLOURS[group.replace("_", "-")]
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.15, linewidth=0)
        axes.stairs(shares, edges, color=colour, linestyle=line_style, linewidth=1.1, label=text)
    axes.set_ylabel("share of rows (% per bin)")
    axes.set_ylim(bottom=0)

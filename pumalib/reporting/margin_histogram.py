"""The histogram of margins by source: which rows are pruned, and how many have wrong or hard labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from pumalib.errors import DataError
from pumalib.reporting.figures import FigurePaths, figure_style, new_figure, save_figure
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text
from pumalib.reporting.histograms import binned, draw_shares, shared_edges

MANY_NEGATIVE = 0.05
"""Share of negative synthetic margins above which the caption warns. A choice of ours."""

_SOURCES = ("real", "synthetic")
_NORM_NAMES = {"linf": "L-inf", "l2": "L2"}

Cuts = Sequence[tuple[str, float]]
"""Cuts to mark: a label and the margin at which the cut falls."""


class SourceCounts(NamedTuple):
    """Rows of one source, and how many of them are special."""

    source: str
    num_rows: int
    num_negative: int
    """Rows that the margin model misclassifies."""
    num_within_epsilon: int
    """Rows with |margin| < epsilon."""
    num_not_converged: int
    """Rows whose margin is a bound."""

    def share(self, count: int) -> str:
        """Return a count with its share of this source's rows, e.g. `12 (3.4 %)`."""
        return f"{count} ({100 * count / self.num_rows:.1f} %)"


def source_names(source: ArrayLike) -> NDArray[np.str_]:
    """Return "real" or "synthetic" per row, from these words (text or bytes) or from the codes 0 and 1.

    Raises:
        DataError: If there is any other value.
    """
    codes = np.asarray(source)
    if codes.dtype.kind in "iub":
        words = np.where(codes == 0, "real", np.where(codes == 1, "synthetic", codes.astype(np.str_)))
    else:
        words = np.array([word.decode() if isinstance(word, bytes) else str(word) for word in codes], np.str_)
    unknown = sorted(set(np.unique(words).tolist()) - set(_SOURCES))
    if unknown:
        raise DataError(f'expected the sources "real" (0) and "synthetic" (1), got {", ".join(unknown)}')
    return words


def count_margins(
    margin: NDArray[np.float32], source: ArrayLike, epsilon: float, converged: NDArray[np.bool_]
) -> list[SourceCounts]:
    """Count rows, negative margins, margins within epsilon and bounds, for each source that has rows.

    Raises:
        DataError: If lengths differ or a margin is not finite.
    """
    names = source_names(source)
    if not len(margin) == len(names) == len(converged) or len(margin) == 0:
        raise DataError(
            "expected margin, source and converged of one length above 0, "
            f"got {len(margin)}, {len(names)} and {len(converged)}"
        )
    if not np.isfinite(margin).all():
        raise DataError("expected finite margins; leave out the rows that were not scored (valid = False)")
    return [
        _count_source(name, margin[names == name], epsilon, converged[names == name])
        for name in _SOURCES
        if (names == name).any()
    ]


def _count_source(name: str, margin: NDArray[np.float32], epsilon: float, converged: NDArray[np.bool_]) -> SourceCounts:
    is_within = np.abs(margin) < epsilon
    return SourceCounts(name, len(margin), int((margin < 0).sum()), int(is_within.sum()), int((~converged).sum()))


def margin_bins(margin: NDArray[np.float32], source: ArrayLike, epsilon: float, cuts: Cuts) -> pd.DataFrame:
    """Return bin edges and counts per source; counts add up to the rows of the source."""
    names = source_names(source)
    groups = {name: margin[names == name] for name in _SOURCES if (names == name).any()}
    marks = [-epsilon, epsilon, *(threshold for _, threshold in cuts)]
    return binned(groups, shared_edges(groups.values(), marks))


def draw(
    margin: NDArray[np.float32],
    source: ArrayLike,
    epsilon: float,
    cuts: Cuts,
    norm: str,
    converged: NDArray[np.bool_],
) -> Figure:
    """Draw the margins of each source as shares per bin, with lines at +-epsilon, at 0 and at the cuts.

    Args:
        margin: Signed margins float32 [N], pixel scale, negative where misclassified.
        source: "real" or "synthetic" per row, or 0 and 1, [N].
        epsilon: Bound of the threat, pixel scale.
        cuts: Label and margin of each cut to mark.
        norm: "linf" or "l2".
        converged: False where the margin is only a bound, bool [N].

    Raises:
        DataError: If lengths differ, a margin is not finite or a source is unknown.
    """
    counts = count_margins(margin, source, epsilon, converged)
    table = margin_bins(margin, source, epsilon, cuts)
    with figure_style():
        figure, (axes,) = new_figure(5.2, 3.0)
        draw_shares(axes, table, {each.source: _legend_text(each) for each in counts})
        axes.set_xlabel(f"margin ({_NORM_NAMES.get(norm, norm)}, pixel scale)")
        axes.margins(x=0)
        axes.set_ylim(top=1.18 * axes.get_ylim()[1])
        _draw_lines(axes, epsilon, cuts)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _legend_text(counts: SourceCounts) -> str:
    return (
        f"{counts.source}: {counts.num_rows} rows\n"
        f"negative: {counts.share(counts.num_negative)}\n"
        f"|margin| < epsilon: {counts.share(counts.num_within_epsilon)}"
    )


def _draw_lines(axes: Axes, epsilon: float, cuts: Cuts) -> None:
    axes.axvline(0, color="#808080", linewidth=0.6, zorder=1)
    for value, text in ((-epsilon, "\N{MINUS SIGN}ε"), (epsilon, "+ε")):
        axes.axvline(value, color="#404040", linestyle=(0, (1, 1.5)), linewidth=0.9)
        _write_beside_line(axes, value, text, 0.98)
    for index, (label, threshold) in enumerate(cuts):
        axes.axvline(threshold, color="#009e73", linestyle=(0, (5, 2)), linewidth=1.1)
        _write_beside_line(axes, threshold, label, 0.90 - 0.08 * index)


def _write_beside_line(axes: Axes, value: float, text: str, height: float) -> None:
    low, high = axes.get_xlim()
    is_left = value > low + 0.65 * (high - low)
    axes.annotate(
        text,
        (value, height),
        xycoords=("data", "axes fraction"),
        xytext=(-2 if is_left else 2, 0),
        textcoords="offset points",
        ha="right" if is_left else "left",
        va="top",
        fontsize=7,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )


def margin_caption(counts: Sequence[SourceCounts], epsilon: float, cuts: Cuts, norm: str) -> str:
    """Return the counts as a table, what the lines are, and a warning for many negative synthetic ones."""
    header = ["source", "rows", "negative", "\\|margin\\| < epsilon", "not converged"]
    rows = [
        [
            each.source,
            str(each.num_rows),
            each.share(each.num_negative),
            each.share(each.num_within_epsilon),
            each.share(each.num_not_converged),
        ]
        for each in counts
    ]
    lines = [
        markdown_table(header, rows),
        f"Signed {_NORM_NAMES.get(norm, norm)} margins by source, each as a share of that source's rows; "
        "negative where the margin model is wrong. Rows that did not converge are drawn at their bound. The "
        "drawn range leaves out at most half a per cent of a source at each end; the CSV counts every row.",
        f"Dotted lines: ±epsilon = ±{epsilon:.4g}.{_cut_sentence(cuts)}",
    ]
    return "\n\n".join(lines + _negative_warning(counts))


def _cut_sentence(cuts: Cuts) -> str:
    if not cuts:
        return " No cut is marked."
    return " Dashed lines: " + ", ".join(f"{label} at {threshold:.4g}" for label, threshold in cuts) + "."


def _negative_warning(counts: Sequence[SourceCounts]) -> list[str]:
    for each in counts:
        if each.source == "synthetic" and each.num_negative > MANY_NEGATIVE * each.num_rows:
            return [
                f"**Warning:** {each.share(each.num_negative)} of the synthetic margins are negative, more "
                f"than {100 * MANY_NEGATIVE:g} %. Wrong labels among the synthetic rows cost PUMA "
                "robustness: check their labels before trusting its result."
            ]
    return []


def write_margin_histogram(
    margin: NDArray[np.float32],
    source: ArrayLike,
    epsilon: float,
    cuts: Cuts,
    norm: str,
    converged: NDArray[np.bool_],
    *,
    csv_path: Path,
    markdown_path: Path,
    figure: FigurePaths,
) -> None:
    """Write the figure (PNG, SVG), its bins (CSV) and its caption (Markdown); arguments as in `draw`."""
    counts = count_margins(margin, source, epsilon, converged)
    save_figure(draw(margin, source, epsilon, cuts, norm, converged), figure.png, figure.svg)
    write_csv(csv_path, margin_bins(margin, source, epsilon, cuts))
    image = markdown_image(markdown_path, figure.png, "Margins by source")
    write_text(markdown_path, f"{image}\n\n{margin_caption(counts, epsilon, cuts, norm)}")

"""The histogram of margins by source: which rows are pruned, and how many have wrong or hard labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.data.pool import read_pool_rows
from pumalib.data.selection import read_selection
from pumalib.errors import DataError
from pumalib.reporting.colours import CUT_COLOUR, THREAT_COLOUR, ZERO_COLOUR
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    NORM_NAMES,
    figure_style,
    new_panels,
    write_above,
)
from pumalib.reporting.files import markdown_table
from pumalib.reporting.histograms import binned, draw_shares, shared_edges
from pumalib.reporting.margin_counts import Cuts, Margins, SourceCounts, read_margins, shared_rows
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.margin_histogram import MarginHistogramSettings
from pumalib.reporting.statistics import rank_correlation

MANY_NEGATIVE = 0.05
"""Share of negative synthetic margins above which the caption warns. A choice of ours."""

MANY_NEGATIVE_IN_ALL = 0.1
"""Share of negative margins in the whole pool above which the caption warns. A choice of ours."""


def margin_bins(scores: Sequence[Margins], epsilon: float) -> pd.DataFrame:
    """Return bin edges and counts per source, those of a second score with the prefix `beside_`.

    Counts add up to the rows of the source.
    """
    table, *others = _binned_each(scores, epsilon)
    for other in others:
        table = table.join(other.drop(columns=["bin_low", "bin_high"]).add_prefix("beside_"))
    return table


def _binned_each(scores: Sequence[Margins], epsilon: float) -> list[pd.DataFrame]:
    """Bin each score over edges that all share."""
    groups = [each.groups() for each in scores]
    marks = [-epsilon, epsilon, *(threshold for each in scores for _, threshold in each.cuts)]
    edges = shared_edges([margins for group in groups for margins in group.values()], marks)
    return [binned(group, edges) for group in groups]


def draw(scores: Sequence[Margins], epsilon: float) -> Figure:
    """Draw the margins of each source as shares per bin, with lines at +-epsilon, at 0 and at the cuts.

    Args:
        scores: One score, or two to be drawn one below the other with the same axes.
        epsilon: Bound of the threat, pixel scale.

    Raises:
        DataError: If lengths differ, a margin is not finite or a source is unknown.
    """
    counts = [each.counts(epsilon) for each in scores]
    tables = _binned_each(scores, epsilon)
    with figure_style():
        figure, panels = new_panels(COLUMN_WIDTH_INCHES, 2.5 * len(scores), len(scores))
        for (panel, axes), each, table, sources in zip(panels, scores, tables, counts, strict=True):
            draw_shares(axes, table, {source.source: _legend_text(source) for source in sources})
            axes.set_xlabel(f"margin ({NORM_NAMES.get(each.norm, each.norm)}, pixel scale)")
            axes.margins(x=0)
            title = each.score if len(scores) > 1 else None
            panel.legend(loc="outside upper left", title=title, alignment="left")
        top = max(axes.get_ylim()[1] for _, axes in panels)
        for (_, axes), each in zip(panels, scores, strict=True):
            axes.set_ylim(top=top)
            _draw_lines(axes, epsilon, each.cuts)
    return figure


def _legend_text(counts: SourceCounts) -> str:
    return f"{counts.source}: {counts.num_rows} rows, {100 * counts.num_negative / counts.num_rows:.1f} % negative"


def _draw_lines(axes: Axes, epsilon: float, cuts: Cuts) -> None:
    """Draw lines at 0, at +-epsilon and at the cuts; their names stand above the axes, where they cross no line."""
    axes.axvline(0, color=ZERO_COLOUR, linewidth=0.6, zorder=1)
    for value, text in ((-epsilon, "\N{MINUS SIGN}ε"), (epsilon, "+ε")):
        axes.axvline(value, color=THREAT_COLOUR, linestyle=(0, (1, 1.5)), linewidth=0.9)
        write_above(axes, value, text, _side_away(axes, value, [threshold for _, threshold in cuts]))
    for index, (label, threshold) in enumerate(cuts):
        axes.axvline(threshold, color=CUT_COLOUR, linestyle=(0, (5, 2)), linewidth=1.1)
        low, high = axes.get_xlim()
        is_left = threshold > low + 0.45 * (high - low)  # where the name has room
        write_above(axes, threshold, _cut_text(label), "right" if is_left else "left", index + 1)


def _side_away(axes: Axes, value: float, cuts: Sequence[float]) -> Literal["left", "center", "right"]:
    """Return which side of a short name stands at its line, so that no line of a cut that is near crosses it."""
    low, high = axes.get_xlim()
    near = [cut for cut in cuts if abs(cut - value) < 0.05 * (high - low)]
    if not near:
        return "center"
    return "right" if near[0] > value else "left"


def _cut_text(label: str) -> str:
    """Return what a cut prunes, with an arrow to the pruned side: `pruned: 20 % highest margins`."""
    text = f"pruned: {_pruned(label)}"
    if text.endswith(" highest margins"):
        return f"{text} →"
    return f"← {text}" if text.endswith(" lowest margins") else text


def _pruned(label: str) -> str:
    """Return the rows that a cut prunes, in words: `20 % highest margins`."""
    found = re.fullmatch(r".* (easiest|hardest) ([\d.]+ %)(?:, .*)?", label)
    if not found:
        return label
    side, share = found.groups()
    return f"{share} {'highest' if side == 'easiest' else 'lowest'} margins"


def margin_page(scores: Sequence[Margins], epsilon: float) -> str:
    """Return the counts as a table, what the lines are, how far two scores agree, and warnings."""
    counts = {each.score: each.counts(epsilon) for each in scores}
    header = ["score", "source", "rows", "negative", "\\|margin\\| < epsilon", "not converged"]
    rows = [[f"`{score}`", *_count_cells(each)] for score, sources in counts.items() for each in sources]
    lines = [
        markdown_table(header, rows),
        f"Signed {NORM_NAMES.get(scores[0].norm, scores[0].norm)} margins by source, each as a share of that source's "
        "rows; negative where the margin model is wrong. Rows that did not converge are drawn at their bound. The "
        "drawn range leaves out at most half a per cent of a source at each end; the CSV counts every row.",
        f"Dotted lines: ±epsilon = ±{epsilon:.4g}.{_cut_sentence(scores)}",
    ]
    if len(scores) > 1:
        first, second = scores
        agreement = margin_agreement(*shared_rows(first, second), epsilon)
        lines.append(agreement_section(agreement, first.score, second.score))
    warnings = [line for score, sources in counts.items() for line in negative_warnings(score, sources)]
    notes = [note for each in scores for note in each.notes]
    return "\n\n".join(lines + notes + warnings)


def _count_cells(counts: SourceCounts) -> list[str]:
    special = (counts.num_negative, counts.num_within_epsilon, counts.num_not_converged)
    return [counts.source, str(counts.num_rows), *map(counts.share, special)]


def _cut_sentence(scores: Sequence[Margins]) -> str:
    cuts = [
        f"{_pruned(label)} at {threshold:.4g}" + (f" (`{each.score}`)" if len(scores) > 1 else "")
        for each in scores
        for label, threshold in each.cuts
    ]
    return f" Dashed lines, pruned: {'; '.join(cuts)}." if cuts else " No cut is marked."


def negative_warnings(score: str, counts: Sequence[SourceCounts]) -> list[str]:
    """Warn of many negative margins: among the synthetic rows, and in the whole pool."""
    num_rows, num_negative = sum(each.num_rows for each in counts), sum(each.num_negative for each in counts)
    warnings = [
        f"**Warning:** {each.share(each.num_negative)} of the synthetic margins of `{score}` are negative, more "
        f"than {100 * MANY_NEGATIVE:g} %. Wrong labels among the synthetic rows cost PUMA "
        "robustness: check their labels before trusting its result."
        for each in counts
        if each.source == "synthetic" and each.num_negative > MANY_NEGATIVE * each.num_rows
    ]
    if num_negative > MANY_NEGATIVE_IN_ALL * num_rows:
        warnings.append(
            f"**Warning:** {100 * num_negative / num_rows:.1f} % of all margins of `{score}` are negative, more than "
            f"{100 * MANY_NEGATIVE_IN_ALL:g} %: wrong labels, or a margin model that is often wrong. PUMA perturbs "
            "these rows toward their label, which cost robustness where labels were wrong."
        )
    return warnings


class Agreement(NamedTuple):
    """How far two estimates agree on the rows that both scored."""

    num_rows: int
    rank_correlation: float
    """Spearman's; nan if either has one value only."""
    mean_absolute_difference: float
    """Pixel scale."""
    same_sign: float
    """Share of rows that both or neither call misclassified."""
    within_epsilon: float
    """Share of rows with |margin| < epsilon for both."""


def margin_agreement(first: NDArray[np.float32], second: NDArray[np.float32], epsilon: float) -> Agreement:
    """Compare two estimates of the margins [N] of the same rows.

    Raises:
        DataError: If lengths differ, there is no row or a margin is not finite.
    """
    if first.shape != second.shape or len(first) == 0:
        raise DataError(
            f"expected two margins of each row, got {len(first)} and {len(second)}; score both over all rows"
        )
    one, other = first.astype(np.float64), second.astype(np.float64)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("expected finite margins; leave out the rows that were not scored (valid = False)")
    within = (np.abs(one) < epsilon) & (np.abs(other) < epsilon)
    return Agreement(
        len(one),
        rank_correlation(one, other),
        float(np.abs(one - other).mean()),
        float(((one < 0) == (other < 0)).mean()),
        float(within.mean()),
    )


def agreement_section(agreement: Agreement, score: str, beside: str) -> str:
    """Return the agreement as a table, and what it is of."""
    rows = [
        ["rank correlation (Spearman)", f"{agreement.rank_correlation:.4f}"],
        ["mean absolute difference (pixel scale)", f"{agreement.mean_absolute_difference:.4g}"],
        ["same sign", f"{100 * agreement.same_sign:.2f} %"],
        ["\\|margin\\| < epsilon for both", f"{100 * agreement.within_epsilon:.2f} %"],
    ]
    return (
        f"`{score}` against `{beside}`, over the {agreement.num_rows} rows that both scored:\n\n"
        f"{markdown_table(['agreement', 'value'], rows)}"
    )


def make(
    settings: MarginHistogramSettings,
    *,
    scores: Sequence[Path],
    pool: Path,
    selection: Path | None,
    cut_by: Sequence[str],
    epsilon: float,
) -> ReportParts:
    """Make the histogram of a score, or of two, with the cuts of one run marked.

    Args:
        settings: of the report.
        scores: score file, and that of the score beside it.
        pool: their pool file.
        selection: selection file of the run; None: no run.
        cut_by: what each cut of the run is by; those by a score that is drawn are marked.
        epsilon: of the threat, pixel scale.
    """
    rows = read_pool_rows(pool)
    cuts = () if selection is None else read_selection(selection, rows.fingerprint).cuts
    marks = [(by, cut) for by, cut in zip(cut_by, cuts, strict=False) if np.isfinite(cut[1])]
    names = [name for name in (settings.score, settings.beside) if name is not None]
    margins = [
        read_margins(name, path, rows, [cut for by, cut in marks if by == name])
        for name, path in zip(names, scores, strict=True)
    ]
    return histogram_parts(margins, epsilon)


def histogram_parts(scores: Sequence[Margins], epsilon: float) -> ReportParts:
    """Return the figure, its bins and its page; arguments as in `draw`."""
    figure = draw(scores, epsilon)
    return ReportParts(margin_bins(scores, epsilon), figure, "Margins by source", margin_page(scores, epsilon))

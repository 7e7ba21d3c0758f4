"""How errors decay at every epsilon, and the envelope: the best that pruning reaches at each alpha.

No single line decides what pruning can do. The envelope takes the best kept fraction at each alpha; exponential decay
is a claim about it. By the rows after pruning it depends on the smallest fraction of the grid, wherever less is always
better: rows that were drawn and thrown away cost nothing there. By the rows before pruning they count (see `pools`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pumalib.perceptron.error_curves import (
    AFTER,
    BEFORE,
    METRIC_NAMES,
    before_pruning,
    draw_line,
    existence,
    fit_cells,
    fraction_cell,
    prepare_axes,
)
from pumalib.perceptron.fits import Decay, fit_decay
from pumalib.perceptron.pools import pool_envelope
from pumalib.perceptron.ratios import error_ratios, interval_cell
from pumalib.perceptron.settings import DecaySettings, Metric
from pumalib.perceptron.table import Line, envelope, lines_of
from pumalib.reporting.colours import THREAT_COLOUR
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, FigurePaths, figure_style, new_figure, save_figure
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text

_COLOURS = ("#000000", "#0072b2", "#cc79a7", "#882255", "#56b4e9", "#999933")


class Group(NamedTuple):
    """The lines at one epsilon, with or without the filter."""

    epsilon: float
    is_filtered: bool
    lines: list[Line]


class FittedLine(NamedTuple):
    """A line or an envelope and its fits; `kept` is a fraction, `best` or, by the rows drawn, `best of a pool`."""

    epsilon: float
    is_filtered: bool
    strategy: str
    kept: str
    fit: Decay | None


def groups_of(table: pd.DataFrame, settings: DecaySettings) -> list[Group]:
    """Return the lines of a student and teacher by epsilon and filter, in the table's order."""
    is_meant = (table["student"] == settings.student) & (table["teacher"] == settings.teacher)
    pairs = table.loc[is_meant, ["epsilon", "is_filtered"]].drop_duplicates().itertuples(index=False)
    return [
        Group(
            epsilon, filtered, lines_of(table, settings.student, settings.teacher, epsilon, filtered, settings.metric)
        )
        for epsilon, filtered in pairs
    ]


def fitted_lines(groups: Sequence[Group], from_alpha: float) -> Iterator[FittedLine]:
    """Fit every line, and the envelope of every strategy."""
    for epsilon, is_filtered, lines in groups:
        named = [(line, f"{line.kept_fraction:g}") for line in lines]
        for strategy in ("pe", "pd"):
            if strategy in {line.strategy for line in lines}:
                named.append((envelope(lines, strategy)[0], "best"))
                named.append((pool_envelope(lines, strategy)[0], "best of a pool"))
        for line, kept in named:
            is_fitted = (line.alphas >= from_alpha) & ~np.isnan(line.errors).any(0)
            fit = fit_decay(line.alphas[is_fitted], line.errors[:, is_fitted])
            yield FittedLine(epsilon, is_filtered, line.strategy, kept, fit)


def decay_table(fitted: Sequence[FittedLine]) -> pd.DataFrame:
    """Return every fit, one line each; nan where nothing could be fitted."""
    return pd.DataFrame([_record(line) for line in fitted])


def _record(line: FittedLine) -> dict[str, object]:
    record: dict[str, object] = dict(zip(FittedLine._fields[:4], line[:4], strict=True))
    for law in ("power", "exponential"):
        slope = getattr(line.fit, law) if line.fit else None
        for key in ("value", "low", "high", "residual"):
            record[f"{law}_{key}"] = getattr(slope, key) if slope else float("nan")
    return {
        **record,
        "nearer": line.fit.better if line.fit else "-",
        "num_alphas": line.fit.num_points if line.fit else 0,
    }


def epsilon_colours(count: int) -> list[str]:
    """Return as many colours: those of Okabe and Ito (2008) where they are enough, else shades from light to dark."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    return [to_hex(shade) for shade in colormaps["viridis"](np.linspace(0.85, 0.0, count))]


def draw_decay(groups: Sequence[Group], metric: Metric) -> Figure:
    """Draw no pruning (dashed) and the envelope of PE (solid), a colour an epsilon, without and with the filter.

    Above by the rows after pruning, below by those before.
    """
    epsilons = list(dict.fromkeys(group.epsilon for group in groups))
    colours = dict(zip(epsilons, epsilon_colours(len(epsilons)), strict=True))
    with figure_style():
        filters = sorted({group.is_filtered for group in groups})
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 5.2, len(filters), 2)
        for place, axes in enumerate(panels):
            is_filtered, is_upper = filters[place % len(filters)], place < len(filters)
            for group in groups:
                if group.is_filtered == is_filtered:
                    _draw_group(axes, group, colours[group.epsilon], is_upper)
            axes.set_title("margins of at most epsilon removed" if is_filtered else "no filter")
            prepare_axes(axes, AFTER if is_upper else BEFORE)
        for axes in panels[:: len(filters)]:
            axes.set_ylabel(f"error {METRIC_NAMES[metric]}")
        _draw_key(figure, panels[0])
    return figure


def _draw_key(figure: Figure, panel: Axes) -> None:
    """Name the colours, and the two kinds of lines."""
    handles, labels = panel.get_legend_handles_labels()
    kinds = [Line2D([], [], color=THREAT_COLOUR, linestyle=dashes) for dashes in ("-", "--")]
    names = [*(f"epsilon {label}" for label in labels), "best fraction of PE", "no pruning"]
    figure.legend([*handles, *kinds], names, loc="outside upper center", ncols=len(names) if len(names) < 6 else 4)


def _draw_group(axes: Axes, group: Group, colour: str, is_upper: bool) -> None:
    for line in group.lines:
        if line.strategy == "none":
            shown = line if is_upper else before_pruning(line)
            draw_line(axes, shown, "_no pruning", color=colour, linestyle="--")
    best, _ = (envelope if is_upper else pool_envelope)(group.lines, "pe")
    draw_line(axes, best, f"{group.epsilon:g}", color=colour)


def write_decay(
    table: pd.DataFrame, settings: DecaySettings, csv_path: Path, markdown_path: Path, figure: FigurePaths
) -> None:
    """Write the figure of envelopes (PNG, SVG), every fit (CSV), and the fits that decide (Markdown)."""
    groups = groups_of(table, settings)
    fitted = list(fitted_lines(groups, settings.fit_from_alpha))
    save_figure(draw_decay(groups, settings.metric), figure.png, figure.svg)
    write_csv(csv_path, decay_table(fitted))
    parts = [
        markdown_image(markdown_path, figure.png, "Best error against alpha"),
        f"Error {METRIC_NAMES[settings.metric]} of the {settings.student} student, {settings.teacher} teacher: no "
        "pruning (dashed) and, at each alpha, the best kept fraction of PE (solid), means over "
        f"{len(groups[0].lines[0].errors)} seeds with 95 % t-intervals. Above: by the rows after pruning. "
        "Below: by the rows "
        "before, where each size of a pool takes its own best fraction (between the grid's points, as a power law).",
        _deciding_table(fitted),
        f"Fits over alpha >= {settings.fit_from_alpha:g}; slopes as means over seeds with 95 % t-intervals. Every "
        "line's fits stand in the CSV file, over the alphas with a student of every seed. `best of a pool`: against "
        "the rows before pruning over K. A dash: an error of 0, or too few such alphas.",
        _best_table(groups),
        "Kept fraction of PE with the smallest mean error at each alpha after pruning, 1 being no pruning. A fraction "
        "at the lower end of the grid is no optimum: a smaller one may be better.",
        _pool_table(groups),
        "Kept fraction of PE with the smallest mean error for a pool of so many rows over K. A dash: the grid lacks "
        "the best fraction of such a pool, because it would do worse than a smaller one.",
        existence([line for group in groups for line in group.lines]),
        *_epsilon_parts(groups),
    ]
    write_text(markdown_path, "\n\n".join(parts))


def _deciding_table(fitted: Sequence[FittedLine]) -> str:
    rows = [
        [f"{line.epsilon:g}", "yes" if line.is_filtered else "no", line.strategy, line.kept, *fit_cells(line.fit)]
        for line in fitted
        if line.strategy == "none" or line.kept.startswith("best")
    ]
    return markdown_table(["epsilon", "filter", "strategy", "kept", "power law", "exponential", "nearer"], rows)


def _best_table(groups: Sequence[Group]) -> str:
    return _fractions_table(groups, [envelope(group.lines, "pe") for group in groups])


def _pool_table(groups: Sequence[Group]) -> str:
    return _fractions_table(groups, [pool_envelope(group.lines, "pe") for group in groups])


def _fractions_table(groups: Sequence[Group], best: Sequence[tuple[Line, np.ndarray]]) -> str:
    widest = max((line.alphas for line, _ in best), key=len)
    rows = [
        [
            f"{group.epsilon:g}",
            "yes" if group.is_filtered else "no",
            *map(fraction_cell, fractions),
            *["-"] * (len(widest) - len(fractions)),
        ]
        for group, (_, fractions) in zip(groups, best, strict=True)
    ]
    return markdown_table(["epsilon", "filter", *(f"{alpha:.3g}" for alpha in widest)], rows)


def _epsilon_parts(groups: Sequence[Group]) -> list[str]:
    """Return what epsilon alone does to no pruning; nothing where the grid lacks epsilon 0 or has no other."""
    unpruned = {
        (group.epsilon, group.is_filtered): line for group in groups for line in group.lines if line.strategy == "none"
    }
    reference = unpruned.pop((0.0, False), None)
    if reference is None or not unpruned:
        return []
    columns = [error_ratios(line, reference) for line in unpruned.values()]
    names = [f"{epsilon:g}{', filter' if is_filtered else ''}" for epsilon, is_filtered in unpruned]
    rows = [
        [f"{alpha:g}", *(interval_cell(column[place]) for column in columns)]
        for place, alpha in enumerate(reference.alphas)
    ]
    return [
        markdown_table(["alpha", *names], rows),
        "No pruning: the error at each epsilon over that at epsilon 0, paired by seed; geometric means with 95 % "
        "t-intervals. A dash: an error of 0, or a student that does not exist.",
    ]

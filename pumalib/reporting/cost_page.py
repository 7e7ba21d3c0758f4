"""The figure and the page of a cost report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.reporting.cost import EVALUATION, LEARNED_POOL, MARGIN_MODEL, SCORE, TRAINING, WHOLE, CostPart, cost_table
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, FigurePaths, figure_style, new_figure, save_figure
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text
from pumalib.reporting.settings import CostSettings
from pumalib.reporting.statistics import spread

_MILLION = 1e6
_BARS = {
    TRAINING: ("its training", "#0072b2"),
    MARGIN_MODEL: ("models behind its scores", "#e69f00"),
    SCORE: ("scores", "#000000"),
}
"""Legend text and colour (Okabe and Ito 2008) of each part of a bar."""


def draw_cost(table: pd.DataFrame) -> Figure:
    """Draw a bar per run, the first on top: passes of its training, of models behind its scores and of these."""
    runs = list(dict.fromkeys(table["run"]))
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 0.95 + 0.22 * len(runs))
        starts = dict.fromkeys(runs, 0.0)
        for part, (text, colour) in _BARS.items():
            lengths = [_passes(table, run, part) for run in runs]
            axes.barh(runs, lengths, 0.6, [starts[run] for run in runs], color=colour, label=text)
            starts = {run: starts[run] + length for run, length in zip(runs, lengths, strict=True)}
        _mark_unknown(axes, table, starts)
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.grid(True, axis="x")
        axes.set_xlabel("passes, forward and backward (millions of images)")
        figure.legend(loc="outside upper center", ncols=3, handlelength=1.0, columnspacing=1.2)
    return figure


def _passes(table: pd.DataFrame, run: str, part: str) -> float:
    """Return the known passes of a run's parts of one kind, in millions."""
    rows = table[(table["run"] == run) & (table["part"] == part)]
    return float(rows[["forward_passes", "backward_passes"]].sum().sum()) / _MILLION


def _mark_unknown(axes: Axes, table: pd.DataFrame, ends: dict[str, float]) -> None:
    for run, end in ends.items():
        if math.isnan(_whole(table, run)):
            axes.annotate(" + ?", (end, run), va="center", fontsize=7)


def _whole(table: pd.DataFrame, run: str) -> float:
    row = _part_of(table, run, WHOLE)
    return float(row["forward_passes"] + row["backward_passes"])


def _part_of(table: pd.DataFrame, run: str, part: str) -> pd.Series[float]:
    return table[(table["run"] == run) & (table["part"] == part)].iloc[0]


def cost_page(table: pd.DataFrame, parts: Sequence[CostPart], settings: CostSettings) -> str:
    """Return the costs as a table, what they count and what they leave out."""
    runs = list(dict.fromkeys(table["run"]))
    header = [
        "run",
        "rows kept",
        "draws",
        "attack steps a draw",
        "its training",
        "models behind its scores",
        "scores",
        "whole",
    ]
    header += [f"whole / `{settings.baseline}`"] if settings.baseline else []
    header += ["seconds: training", "seconds: whole", "seconds: evaluation"] if settings.seconds else []
    lines = [
        markdown_table(header, [_cells(table, run, settings) for run in runs]),
        "From `its training` to `whole`: millions of images that go forward + backward through a network. A training "
        "with an inner attack takes one of both for each of its steps. `models behind its scores`: trainings that "
        "scores look through or were gathered in, named, and all that those depend on. `scores`: the search for "
        "margins over the pool, counted row by row, or what gathering added to a training. Pruning leaves "
        "the number of draws as it is: it saves rows, not passes.",
        "Left out, because it is the same for every run over one pool: making the pool; and the accuracies in the "
        f"histories. Means over seeds: {spread(table['num_seeds'])}.",
        *_unknown_notes(parts),
    ]
    return "\n\n".join([*lines, _seconds_note()] if settings.seconds else lines)


def _cells(table: pd.DataFrame, run: str, settings: CostSettings) -> list[str]:
    own = _part_of(table, run, TRAINING)
    numbers = [f"{own['rows']:.0f}", f"{own['draws']:.0f}", f"{own['attack_steps']:.0f}"]
    passes = [_passes_cell(table, run, part) for part in (TRAINING, MARGIN_MODEL, SCORE, WHOLE)]
    cells = [f"`{run}`", *numbers, *passes]
    if settings.baseline:
        ratio = _whole(table, run) / _whole(table, settings.baseline)
        cells.append("unknown" if math.isnan(ratio) else f"{ratio:.2f}")
    if settings.seconds:
        cells += [_seconds_cell(table, run, part) for part in (TRAINING, WHOLE, EVALUATION)]
    return cells


def _passes_cell(table: pd.DataFrame, run: str, part: str) -> str:
    rows = table[(table["run"] == run) & (table["part"] == part)]
    if rows.empty:
        return "-"
    forward, backward = (rows[f"{way}_passes"].sum(skipna=False) / _MILLION for way in ("forward", "backward"))
    text = "unknown" if math.isnan(forward + backward) else f"{forward:.3g} + {backward:.3g}"
    names = ", ".join(f"`{name}`" for name in rows["name"])
    return f"{names}: {text}" if part in (MARGIN_MODEL, SCORE) else text


def _seconds_cell(table: pd.DataFrame, run: str, part: str) -> str:
    rows = table[(table["run"] == run) & (table["part"] == part)]
    seconds = float(rows["seconds"].sum(skipna=False))
    return "unknown" if math.isnan(seconds) or rows.empty else f"{seconds:.1f}"


def _unknown_notes(parts: Sequence[CostPart]) -> list[str]:
    """Say what is not counted, each once."""
    notes = []
    for part in parts:
        if part.kind == MARGIN_MODEL and part.settings is None:
            notes.append(f"Unknown: the training of `{part.name}`, which this study did not make.")
        elif part.kind == SCORE and ":" in str((part.settings or {}).get("method")):
            notes.append(f"Unknown: the passes of the score `{part.name}`, which is a function of the user's.")
        elif part.kind == LEARNED_POOL:
            notes.append(f"Unknown: the passes of learning pool `{part.name}`, which are not counted.")
    return list(dict.fromkeys(notes))


def _seconds_note() -> str:
    return (
        "Seconds are means over seeds of the wall time of each job, with everything that it does, on the machine and "
        "beside the other jobs that it ran with: they differ from one run of the workflow to the next. `whole` sums "
        "jobs, whether they ran side by side or not; `evaluation` sums the attacks on the test images."
    )


def write_cost(
    parts: Sequence[CostPart], settings: CostSettings, csv_path: Path, markdown_path: Path, figure: FigurePaths
) -> None:
    """Write the figure (PNG, SVG), the costs part by part (CSV) and the page (Markdown)."""
    table = cost_table(parts)
    save_figure(draw_cost(table), figure.png, figure.svg)
    write_csv(csv_path, table)
    image = markdown_image(markdown_path, figure.png, "Passes of each run and all that it depends on")
    write_text(markdown_path, f"{cost_page(table, parts, settings)}\n\n{image}")

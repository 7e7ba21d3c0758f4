"""The figure and the page of a cost report."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import TypeAdapter

from pumalib.reporting.colours import BASELINE_DASHES
from pumalib.reporting.cost_passes import counts_passes
from pumalib.reporting.costs import WHOLE
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, new_figure
from pumalib.reporting.files import markdown_table
from pumalib.reporting.settings.cost import (
    EVALUATION,
    GENERATION,
    LEARNED_POOL,
    MARGIN_MODEL,
    SCORE,
    TRAINING,
    CostPart,
    CostSettings,
    PartKind,
)
from pumalib.reporting.statistics import spread
from pumalib.scores.settings import ScoreSettings

_MILLION, _THOUSAND = 1e6, 1e3
_ROWS_COLOUR = "#999999"
_BARS = {
    TRAINING: ("its training", "#0072b2"),
    MARGIN_MODEL: ("models behind its scores", "#e69f00"),
    SCORE: ("scores", "#000000"),
    LEARNED_POOL: ("learned pools", "#56b4e9"),
    GENERATION: ("generated rows", "#009e73"),
}
"""Legend text and colour (Okabe and Ito 2008) of each part of a bar; parts that no run has are left out."""


def draw_cost(table: pd.DataFrame, settings: CostSettings) -> Figure:
    """Draw a bar per run, the first on top: rows kept, passes by part, and seconds by part where they are asked for.

    A dashed line stands at the baseline's bar; whiskers are one standard deviation of the seconds over seeds.
    """
    runs = list(dict.fromkeys(table["run"]))
    columns: dict[str, tuple[str, ...]] = {
        "passes, forward and backward\n(millions of images)": ("forward_passes", "backward_passes")
    }
    if settings.seconds:
        columns["time of its jobs (s)"] = ("seconds",)
    with figure_style():
        figure, (first, *panels) = new_figure(PAGE_WIDTH_INCHES, 1.0 + 0.22 * len(runs), 1 + len(columns))
        kept = [float(_part_of(table, run, TRAINING)["rows"]) / _THOUSAND for run in runs]
        first.barh(runs, kept, 0.6, color=_ROWS_COLOUR)
        first.set_xlabel("rows kept (thousands)")
        _mark_baseline(first, dict(zip(runs, kept, strict=True)), settings)
        for axes, (label, names) in zip(panels, columns.items(), strict=True):
            scale = 1.0 if "seconds" in names else _MILLION
            ends = _draw_parts(axes, table, runs, names, scale)
            _mark_unknown(axes, table, ends, names)
            _mark_baseline(axes, ends, settings)
            axes.set_xlabel(label)
        if settings.seconds:
            deviations = [float(_part_of(table, run, WHOLE)["seconds_sd"]) for run in runs]
            panels[-1].errorbar(list(ends.values()), runs, xerr=deviations, fmt="none", color="#4d4d4d", elinewidth=0.8)
        for axes in (first, *panels):
            axes.tick_params(axis="y", length=0)
            axes.grid(True, axis="x")
            axes.locator_params(axis="x", nbins=5)
        first.invert_yaxis()
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4, handlelength=1.0, columnspacing=1.2)
    return figure


def _draw_parts(
    axes: Axes, table: pd.DataFrame, runs: Sequence[str], names: Sequence[str], scale: float
) -> dict[str, float]:
    """Draw the known amounts of each run's parts one after another; return where the bars end."""
    ends = dict.fromkeys(runs, 0.0)
    found = set(table["part"])
    for part, (text, colour) in ((part, look) for part, look in _BARS.items() if part in found):
        lengths = [_amount(table, run, part, names) / scale for run in runs]
        axes.barh(runs, lengths, 0.6, list(ends.values()), color=colour, label=text)
        ends = {run: ends[run] + length for run, length in zip(runs, lengths, strict=True)}
    return ends


def _amount(table: pd.DataFrame, run: str, part: str, names: Sequence[str]) -> float:
    """Return the known amounts of a run's parts of one kind."""
    rows = table[(table["run"] == run) & (table["part"] == part)]
    return float(rows[list(names)].sum().sum())


def _mark_baseline(axes: Axes, ends: dict[str, float], settings: CostSettings) -> None:
    if settings.baseline is not None:
        axes.axvline(ends[settings.baseline], color="#4d4d4d", linestyle=BASELINE_DASHES, linewidth=0.8)


def _mark_unknown(axes: Axes, table: pd.DataFrame, ends: dict[str, float], names: Sequence[str]) -> None:
    for run, end in ends.items():
        if math.isnan(float(_part_of(table, run, WHOLE)[list(names)].sum(skipna=False))):
            axes.annotate(" + ?", (end, run), va="center", fontsize=7)


def _whole(table: pd.DataFrame, run: str) -> float:
    row = _part_of(table, run, WHOLE)
    return float(row["forward_passes"] + row["backward_passes"])


def _part_of(table: pd.DataFrame, run: str, part: str) -> pd.Series[float]:
    return table[(table["run"] == run) & (table["part"] == part)].iloc[0]


def cost_page(
    table: pd.DataFrame, parts: Sequence[CostPart], settings: CostSettings, left_out: Sequence[str] = ()
) -> str:
    """Return the costs as a table, what they count and what they leave out."""
    runs = list(dict.fromkeys(table["run"]))
    header = [
        "run",
        "rows kept",
        "draws",
        "attack steps per draw",
        "its training",
        "models behind its scores",
        "scores",
        *(_BARS[part][0] for part in _sometimes(table, settings)),
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
        f"{_left_out(settings)} Means over seeds: {spread(table['num_seeds'])}.",
        *_learning_note(parts),
        *_imported_note(left_out),
        *_kept_note(parts),
        *_unknown_notes(parts),
    ]
    lines += [_seconds_note(parts)] if settings.seconds else []
    lines += _saved_section(table, settings.baseline, settings.seconds) if settings.baseline else []
    return "\n\n".join(lines)


def _sometimes(table: pd.DataFrame, settings: CostSettings) -> list[PartKind]:
    """Return the parts that have a column of their own where a run stands on one, or where they are asked for."""
    shown: dict[PartKind, bool] = {
        LEARNED_POOL: bool((table["part"] == LEARNED_POOL).any()),
        GENERATION: settings.generation,
    }
    return [part for part, is_shown in shown.items() if is_shown]


def _learning_note(parts: Sequence[CostPart]) -> list[str]:
    """Say what the passes of learned pools are, where a run stands on one."""
    if not any(part.kind == LEARNED_POOL for part in parts):
        return []
    return [
        "`learned pools`: the learning of images, once for all trainings on them. A step that goes back through an "
        "unrolled step of training counts as three backward passes of its rows. Left out: the networks that measure "
        "progress."
    ]


def _saved_section(table: pd.DataFrame, baseline: str, with_seconds: bool) -> list[str]:
    """Return what each run saves of what the baseline costs, and what that means."""
    header = ["saved (%)", "rows kept", "draws", "passes, training", "passes, whole"]
    header += ["seconds, training", "seconds, whole"] if with_seconds else []
    runs = [run for run in dict.fromkeys(table["run"]) if run != baseline]
    reference = _costs(table, baseline, with_seconds)
    cells = [
        [f"`{run}`", *(_saved(*pair) for pair in zip(_costs(table, run, with_seconds), reference, strict=True))]
        for run in runs
    ]
    return [
        markdown_table(header, cells),
        f"Share of what `{baseline}` costs that a run saves; below 0 it costs more. Dashed line: `{baseline}`.",
    ]


def _costs(table: pd.DataFrame, run: str, with_seconds: bool) -> list[float]:
    """Return rows kept, draws, passes of the training and of the whole, and the seconds of both."""
    own, whole = _part_of(table, run, TRAINING), _part_of(table, run, WHOLE)
    passes = [float(each["forward_passes"] + each["backward_passes"]) for each in (own, whole)]
    seconds = [float(each["seconds"]) for each in (own, whole)] if with_seconds else []
    return [float(own["rows"]), float(own["draws"]), *passes, *seconds]


def _saved(cost: float, reference: float) -> str:
    share = 100 * (1 - cost / reference)
    return "unknown" if math.isnan(share) else f"{share:.1f}"


def _cells(table: pd.DataFrame, run: str, settings: CostSettings) -> list[str]:
    own = _part_of(table, run, TRAINING)
    numbers = [f"{own['rows']:.0f}", f"{own['draws']:.0f}", f"{round(own['attack_steps'], 1):g}"]
    parts = (TRAINING, MARGIN_MODEL, SCORE, *_sometimes(table, settings), WHOLE)
    passes = [_passes_cell(table, run, part) for part in parts]
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
    return f"{names}: {text}" if part in (MARGIN_MODEL, SCORE, LEARNED_POOL, GENERATION) else text


def _seconds_cell(table: pd.DataFrame, run: str, part: str) -> str:
    rows = table[(table["run"] == run) & (table["part"] == part)]
    seconds = float(rows["seconds"].sum(skipna=False))
    return "unknown" if math.isnan(seconds) or rows.empty else f"{seconds:.1f}"


def _left_out(settings: CostSettings) -> str:
    """Say what the counts leave out, and what those of generated rows are of."""
    if not settings.generation:
        return (
            "Left out, because it is the same for every run over one pool: making the pool; and the accuracies in the "
            "histories."
        )
    return (
        "`generated rows`: the training of generators, and the drawing of samples, for every pool that a run depends "
        "on, named. These passes go through the generator and a model that guides it, so they need not take as long as "
        "those of a classifier. Left out: the accuracies in the histories."
    )


def _imported_note(left_out: Sequence[str]) -> list[str]:
    """Say which models are left out, because they were trained elsewhere."""
    if not left_out:
        return []
    named = ", ".join(f"`{run}`" for run in left_out)
    return [f"Left out too: {named}, trained elsewhere. What that cost is not known."]


def _kept_note(parts: Sequence[CostPart]) -> list[str]:
    """Say that attacks on kept epochs are left out, where a run of the report keeps any."""
    if not any(part.kind == TRAINING and (part.settings or {}).get("keep_every") for part in parts):
        return []
    return ["Left out too: attacks on the weights of kept epochs, which reports of kind `kept_epochs` ask for."]


def _unknown_notes(parts: Sequence[CostPart]) -> list[str]:
    """Say what is not counted, each once."""
    notes = []
    for part in parts:
        if part.kind == MARGIN_MODEL and part.settings is None:
            notes.append(f"Unknown: the training of `{part.name}`, which this study did not make.")
        elif part.kind == SCORE and not counts_passes(TypeAdapter(ScoreSettings).validate_python(part.settings)):
            notes.append(f"Unknown: the passes of the score `{part.name}`, which does not count them.")
        elif part.kind == GENERATION and part.settings is None:
            notes.append(f"Unknown: what the generated rows of pool `{part.name}` took, which this study did not make.")
    return list(dict.fromkeys(notes))


def _seconds_note(parts: Sequence[CostPart]) -> str:
    """Return what the seconds are, with the trainings whose devices they do not count, each once."""
    trainings = {part.name: part.settings for part in parts if part.kind in (TRAINING, MARGIN_MODEL) and part.settings}
    counts = {name: settings.get("devices", 1) for name, settings in trainings.items()}
    shared = ", ".join(f"`{name}` ({count} devices)" for name, count in counts.items() if count > 1)
    added = f", of one over several devices too: {shared}" if shared else ""
    return (
        f"Seconds are means over seeds of the wall time of each job{added}; "
        "whiskers one standard deviation of the whole over seeds (n - 1; none for a single seed), on the machine and "
        "beside the other jobs that it ran with: they differ from one run of the workflow to the next. `whole` sums "
        "jobs, whether they ran side by side or not; `evaluation` sums the attacks on the test images."
    )

"""The report of the gate: its verdict, what each smaller epsilon gains, and how many margins are negative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import pandas as pd
from matplotlib.figure import Figure

from pumalib.data.pool import read_pool_rows
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, legend_columns, new_figure
from pumalib.reporting.files import markdown_table
from pumalib.reporting.gate import ENOUGH_ROWS, Weaker, verdict_sentence, weigh
from pumalib.reporting.margin_counts import read_margins
from pumalib.reporting.outcomes import Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import CLEAN_ACCURACY
from pumalib.reporting.settings.gate import Gate, GateSettings
from pumalib.reporting.statistics import MIN_SEEDS_FOR_INTERVAL
from pumalib.reporting.words import design_sentence
from pumalib.results.collect import RunFiles


@dataclass(frozen=True)
class MarginFile:
    """The margins of one seed, and the pool that they are of."""

    score: Path
    pool: Path


def gate_table(gate: Gate, weighed: Sequence[Weaker], num_rows: int, num_seeds: int) -> pd.DataFrame:
    """Return a row per weaker run: what it gains in both accuracies, and whether it dominates.

    Columns: run, weaker, attack, clean_gain, clean_standard_error, robust_gain, robust_standard_error, dominates,
    num_seeds, num_rows. Gains and errors are shares.
    """
    rows = [
        (gate.run, each.run, gate.attack, *each.clean, *each.robust, each.dominates, num_seeds, num_rows)
        for each in weighed
    ]
    columns = (
        "run weaker attack clean_gain clean_standard_error robust_gain robust_standard_error dominates num_seeds "
        "num_rows"
    )
    return pd.DataFrame(rows, columns=columns.split())


def draw_gate(gate: Gate, weighed: Sequence[Weaker], styles: RunStyles) -> Figure:
    """Draw what each weaker run gains, one standard error either way; above and right of both lines it dominates."""
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.4)
        axes.axhline(0, color="#808080", linewidth=0.8, zorder=1)
        axes.axvline(0, color="#808080", linewidth=0.8, zorder=1)
        for each in weighed:
            style = styles[each.run]
            axes.errorbar(
                100 * each.clean.value,
                100 * each.robust.value,
                xerr=100 * each.clean.standard_error,
                yerr=100 * each.robust.standard_error,
                fmt=style.marker,
                color=style.colour,
                label=each.run,
                linewidth=1,
                markersize=5,
                zorder=3,
            )
        axes.set_xlabel(f"clean accuracy above {gate.run} (points)")
        axes.set_ylabel("robust accuracy above it (points)")
        names = [each.run for each in weighed]
        figure.legend(loc="outside upper center", ncols=legend_columns(names, COLUMN_WIDTH_INCHES, 3))
    return figure


def negative_sentence(margins: Sequence[MarginFile]) -> str:
    """Return how many of the margins are negative, over all seeds; empty: none were given."""
    shares = [_share_negative(each) for each in margins]
    if not shares:
        return ""
    each = "" if len(shares) == 1 else f" ({100 * min(shares):.1f} to {100 * max(shares):.1f} % by seed)"
    return (
        f"**{100 * fmean(shares):.1f} %** of the margins are negative{each}: the margin model misclassifies these "
        "rows, and PUMA trains them with anti-adversarial perturbations."
    )


def _share_negative(file: MarginFile) -> float:
    margins = read_margins("margin", file.score, read_pool_rows(file.pool))
    return float((margins.margin < 0).mean())


def gate_page(gate: Gate, weighed: Sequence[Weaker], outcomes: Outcomes, num_rows: int, negative: str) -> str:
    """Return the verdict, what every weaker run gains, and what the gate asks."""
    num_seeds = len(outcomes.of(gate.run, CLEAN_ACCURACY))
    rows = [
        [f"`{each.run}`", each.clean.in_points, each.robust.in_points, "yes" if each.dominates else "no"]
        for each in weighed
    ]
    errors = design_sentence(outcomes.test_to_train)
    if num_seeds < MIN_SEEDS_FOR_INTERVAL:
        errors = f"With fewer than {MIN_SEEDS_FOR_INTERVAL} seeds the standard errors are those of the images alone."
    parts = [
        verdict_sentence(gate.run, weighed, num_rows),
        negative,
        markdown_table(["smaller epsilon", "clean (points)", "robust (points)", "better in both"], rows),
        f"Differences to `{gate.run}` under `{gate.attack}`, ± one standard error. Seeds: {num_seeds}. {errors} The "
        "gate looks at validation rows alone. Nothing may be chosen by it: a study that fails is another study.",
    ]
    if num_rows < ENOUGH_ROWS:
        parts.append(f"{num_rows} validation rows are few ({ENOUGH_ROWS} are advised): small gains go unseen.")
    return "\n\n".join(part for part in parts if part)


def make(
    settings: GateSettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
    margins: Sequence[MarginFile],
) -> ReportParts:
    """Weigh the runs on validation rows."""
    gate = settings.question
    _, outcomes, _ = read_runs(study, files, test_to_train)
    weighed = weigh(gate.run, gate.weaker, gate.attack, outcomes)
    plain = outcomes.of(gate.run, CLEAN_ACCURACY)
    num_rows = min(len(answers.row) for answers in plain.values())
    return ReportParts(
        gate_table(gate, weighed, num_rows, len(plain)),
        draw_gate(gate, weighed, styles),
        "What a smaller epsilon gains",
        "",
        text_above=gate_page(gate, weighed, outcomes, num_rows, negative_sentence(margins)),
    )

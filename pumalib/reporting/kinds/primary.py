"""The report of the primary contrast: its verdict, the tests behind it and a figure of the interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from pumalib.reporting.colours import RunStyles
from pumalib.reporting.families import LEFT_OUT, Equivalence
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, new_figure, write_above
from pumalib.reporting.files import markdown_table
from pumalib.reporting.outcomes import Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.primary import Contrast, settle, verdict, verdict_sentence
from pumalib.reporting.settings.primary import PrimarySettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM
from pumalib.reporting.words import design_sentence
from pumalib.results.collect import RunFiles


def primary_table(contrast: Contrast, tested: Equivalence) -> pd.DataFrame:
    """Return one row: the contrast, its difference, its 90 % interval, both p-values and the verdict.

    Columns: run, against, metric, attack, margin, difference, low, high, standard_error, degrees_of_freedom
    (Satterthwaite's), p_not_inferior, p_not_superior, p_equivalent, verdict, num_seeds, num_samples. Accuracies are
    shares; what needs an interval is nan below three seeds.
    """
    estimate = tested.estimate
    row = {
        "run": contrast.run,
        "against": contrast.against,
        "metric": contrast.metric,
        "attack": contrast.attack,
        "margin": contrast.margin,
        "difference": estimate.value,
        "low": tested.interval.low,
        "high": tested.interval.high,
        "standard_error": estimate.standard_error,
        "degrees_of_freedom": estimate.degrees_of_freedom,
        "p_not_inferior": tested.p_below,
        "p_not_superior": tested.p_above,
        "p_equivalent": tested.p_equivalent,
        "verdict": verdict(tested),
        "num_seeds": estimate.num_seeds,
        "num_samples": estimate.num_images,
    }
    return pd.DataFrame([row])


def draw_primary(contrast: Contrast, tested: Equivalence, styles: RunStyles) -> Figure:
    """Draw the difference and its 90 % interval in points, between two dashed lines at the margins."""
    style, (low, high) = styles[contrast.run], tested.interval
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 1.35)
        axes.axvline(0, color="#808080", linewidth=0.8, zorder=1)
        sides: tuple[tuple[int, str, Literal["left", "right"]], ...] = (
            (-1, "\N{MINUS SIGN}margin", "right"),
            (1, "+margin", "left"),
        )
        for sign, text, side in sides:
            limit = 100 * sign * contrast.margin
            axes.axvline(limit, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
            write_above(axes, limit, text, side)
        axes.plot([100 * low, 100 * high], [0, 0], color=style.colour, linewidth=1.2, zorder=2)
        axes.plot([100 * tested.estimate.value], [0], style.marker, color=style.colour, markersize=6, zorder=3)
        axes.set_yticks([0], [contrast.run])
        axes.set_ylim(-1, 1)
        axes.set_xlabel(f"difference to {contrast.against} (points)")
        axes.set_title(contrast.measured.title, pad=12)
        axes.margins(x=0.2)
        axes.tick_params(axis="y", length=0)
    return figure


def primary_page(contrast: Contrast, tested: Equivalence, outcomes: Outcomes, warnings: Sequence[str]) -> str:
    """Return the verdict, the tests and how they were made."""
    estimate = tested.estimate
    rows = [
        [f"loss of {100 * contrast.margin:g} points or more", _p(tested.p_below), "not inferior"],
        [f"gain of {100 * contrast.margin:g} points or more", _p(tested.p_above), "not superior"],
        ["one of the two", _p(tested.p_equivalent), "equivalent"],
    ]
    lines = [
        verdict_sentence(contrast, tested),
        markdown_table(["what is to be ruled out", "p", "if p is below 0.05"], rows),
        f"Two one-sided tests, each at {100 * LEFT_OUT:g} %. The contrast and its margin stand in the study under "
        "`primary`; no correction for other comparisons applies to it. "
        f"{design_sentence(outcomes.test_to_train)}",
        f"Seeds: {estimate.num_seeds}. Test images: {estimate.num_images}. Dashed lines: the margins.",
    ]
    few = [FEW_SEEDS_WARNING] if estimate.num_seeds < MIN_SEEDS_FOR_CLAIM else []
    return "\n\n".join([*lines, *few, *warnings])


def _p(value: float) -> str:
    if value != value:  # nan
        return "-"
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def make(
    settings: PrimarySettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
    primary: Contrast,
) -> ReportParts:
    """Test the contrast on the files of both runs."""
    _, outcomes, warnings = read_runs(study, files, test_to_train)
    tested = settle(primary, outcomes)
    return ReportParts(
        primary_table(primary, tested),
        draw_primary(primary, tested, styles),
        "The primary contrast",
        "The difference and its 90 % interval. If the runs are equivalent, the interval lies within the margins.",
        text_above=primary_page(primary, tested, outcomes, warnings),
    )

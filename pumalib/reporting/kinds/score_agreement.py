"""Scores of one pool held against each other: rank correlations, and how many of the rows they keep are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from pumalib.data.pool import read_pool_rows
from pumalib.errors import DataError
from pumalib.randomness import derive_seed
from pumalib.reporting.figures import figure_style, new_figure, plain_log_ticks
from pumalib.reporting.files import markdown_table
from pumalib.reporting.margin_counts import extrapolation_notes, source_names
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.score_agreement import ScoreAgreementSettings
from pumalib.reporting.statistics import (
    FEW_SEEDS_WARNING,
    MIN_SEEDS_FOR_CLAIM,
    MIN_SEEDS_FOR_INTERVAL,
    NO_INTERVAL,
    PairedDifference,
    mean_correlation,
    rank_correlation,
    spread,
)
from pumalib.scores.table import ScoreTable, read_scores
from pumalib.selection.cuts import Cut
from pumalib.selection.select import select

ALL = "all"
"""Name of the rows of every source together."""

_NUM_HEXAGONS = 25
"""Hexagons across a panel."""

_PANELS_A_ROW = 4
_FEW = 50
"""Rows per hexagon below which the key has more numbers than powers of ten."""


@dataclass(frozen=True)
class SeedScores:
    """The scores of one pool with one seed.

    Attributes:
        seed: of the study.
        tables: score tables by name, over every row of the pool [N].
        source: 0 or "real", 1 or "synthetic", [N].
    """

    seed: int
    tables: Mapping[str, ScoreTable]
    source: NDArray[np.uint8]


def agreement_table(seeds: Sequence[SeedScores], settings: ScoreAgreementSettings) -> pd.DataFrame:
    """Return a row per pair of scores, source and seed, over the rows that both scored.

    Columns: score, beside, source (`all`, and each source where there are two), seed, num_rows, rank_correlation
    (Spearman's, of the scores as they are; nan if one has one value only), then `overlap_<fraction>`: the share of the
    rows kept by one that the other keeps too, where each keeps that fraction of them.

    Raises:
        DataError: If tables differ in length, or there is no row that both scored.
    """
    rows = [
        {"score": first, "beside": second, "source": source, "seed": each.seed}
        | _agreement(each, first, second, inside, settings)
        for first, second in combinations(settings.scores, 2)
        for each in seeds
        for source, inside in _groups(each)
    ]
    table = pd.DataFrame(rows)
    for key in ("score", "beside"):
        table[key] = pd.Categorical(table[key], list(settings.scores))
    ordered = table.sort_values(["score", "beside", "source", "seed"], kind="stable", ignore_index=True)
    return ordered.astype({"score": str, "beside": str})


def _groups(scores: SeedScores) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield all rows, and those of each source where there is more than one."""
    names = source_names(scores.source)
    yield ALL, np.ones(len(names), bool)
    if len(found := np.unique(names)) > 1:
        yield from ((str(name), names == name) for name in found)


def _agreement(
    scores: SeedScores, first: str, second: str, inside: NDArray[np.bool_], settings: ScoreAgreementSettings
) -> dict[str, float | int]:
    rows = _shared_rows(scores, first, second, inside)
    one, other = (scores.tables[name].score[rows] for name in (first, second))
    numbers: dict[str, float | int] = {"num_rows": len(rows), "rank_correlation": rank_correlation(one, other)}
    for fraction in settings.fractions:
        one_keeps, other_keeps = (_kept(scores, name, rows, fraction, settings) for name in (first, second))
        numbers[_overlap_column(fraction)] = len(np.intersect1d(one_keeps, other_keeps)) / len(one_keeps)
    return numbers


def _shared_rows(scores: SeedScores, first: str, second: str, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    lengths = {name: len(scores.tables[name].score) for name in (first, second)} | {"the pool": len(inside)}
    if len(set(lengths.values())) > 1:
        raise DataError(f"expected scores of every row of one pool, got {lengths}; score the whole pool")
    rows = np.flatnonzero(scores.tables[first].valid & scores.tables[second].valid & inside)
    if len(rows) == 0:
        raise DataError(f"expected rows that both {first} and {second} scored, got none; score the whole pool")
    return rows


def _kept(
    scores: SeedScores, name: str, rows: NDArray[np.int64], fraction: float, settings: ScoreAgreementSettings
) -> NDArray[np.int64]:
    """Return what a cut by one score keeps of some rows; its ties are broken by a shuffle of its own."""
    table = scores.tables[name]
    cut = Cut(
        table.score[rows],
        drop="hardest" if settings.keep == "easiest" else "easiest",
        fraction=1 - fraction,
        higher_is=table.higher_is,
        label=name,
    )
    return select(len(rows), [cut], seed=derive_seed(scores.seed, "agreement", name)).rows


def _overlap_column(fraction: float) -> str:
    return f"overlap_{fraction:g}"


def draw_score_agreement(scores: SeedScores, settings: ScoreAgreementSettings) -> Figure:
    """Draw the first score against each other one: how many rows lie where, by their ranks in per cent."""
    first, *others = settings.scores
    with figure_style():
        num_columns = columns_for(len(others))
        num_rows = -(-len(others) // num_columns)
        figure, panels = new_figure(0.9 + 1.5 * num_columns, 0.2 + 1.85 * num_rows, num_columns, num_rows)
        for axes, other in zip(panels, others, strict=False):
            rows = _shared_rows(scores, first, other, np.ones(len(scores.source), bool))
            ranks = [_percent_ranks(scores.tables[name].score[rows]) for name in (other, first)]
            axes.hexbin(*ranks, gridsize=_NUM_HEXAGONS, extent=(0, 100, 0, 100), mincnt=1, cmap="viridis")
            axes.set_xlabel(f"rank by\n{other} (%)")
            axes.set_aspect("equal")
        for axes in panels[::num_columns]:
            axes.set_ylabel(f"rank by {first} (%)")
        _draw_key(figure, panels[: len(others)], panels[len(others) :])
    return figure


def columns_for(num_panels: int) -> int:
    """Return how many panels stand side by side, so that few places stay empty; the key takes the first of them."""
    if num_panels <= _PANELS_A_ROW:
        return num_panels
    return min((_PANELS_A_ROW, _PANELS_A_ROW - 1), key=lambda columns: max(-num_panels % columns - 1, 0))


def _draw_key(figure: Figure, panels: Sequence[Axes], empty: Sequence[Axes]) -> None:
    """Give all panels one scale of colours and draw it, in the first empty place or else beside them."""
    hexagons = [axes.collections[0] for axes in panels]
    most = max(2, *(each.get_clim()[1] for each in hexagons))
    scale = LogNorm(1, most)
    for each in hexagons:
        each.set_norm(scale)
    for axes in empty:
        axes.set_axis_off()
    if not empty:
        key = figure.colorbar(hexagons[-1], ax=panels, label="rows per hexagon", shrink=0.6)
        plain_log_ticks(key.ax.yaxis, is_dense=most < _FEW)
        return
    place = empty[0].inset_axes((0.05, 0.55, 0.9, 0.09))
    figure.colorbar(hexagons[-1], cax=place, orientation="horizontal", label="rows per hexagon")
    plain_log_ticks(place.xaxis, is_dense=most < _FEW)


def _percent_ranks(score: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the rank of each row in (0, 100), the middle one for ties."""
    ranks: NDArray[np.float64] = 100 * (stats.rankdata(score) - 0.5) / len(score)
    return ranks


def agreement_page(table: pd.DataFrame, scores: SeedScores, settings: ScoreAgreementSettings) -> str:
    """Return the rank correlations and overlaps as tables, what they are of, and a warning of few seeds."""
    groups = table.groupby(["score", "beside", "source"], sort=False)
    means = {name: mean_correlation(group["rank_correlation"].tolist(), len(groups)) for name, group in groups}
    correlations = [
        [*_names(name), spread(group["num_rows"]), _interval(means[name]), _list_of(group["rank_correlation"])]
        for name, group in groups
    ]
    columns = [_overlap_column(fraction) for fraction in settings.fractions]
    overlaps = [[*_names(name), *(f"{100 * group[column].mean():.1f}" for column in columns)] for name, group in groups]
    kept = [f"{100 * fraction:g} % kept" for fraction in settings.fractions]
    lines = [
        "Rank correlation (Spearman): mean over seeds, interval at a joint 95 % level over the rows of the table, both "
        "by Fisher's z, and the value of each seed. Intervals cover what changes from seed to seed. They say nothing "
        "of what all seeds have in common, such as rows that they share.",
        markdown_table(["score", "against", "rows of", "rows", "rank correlation", "by seed"], correlations),
        f"Share (%) of the rows kept by one score that the other keeps too, mean over seeds, where each keeps its "
        f"{settings.keep} rows; two cuts that know nothing of each other share the fraction that is kept:",
        markdown_table(["score", "against", "rows of", *kept], overlaps),
        _direction_sentence(scores, settings),
        "Over the rows that both scored. Within a source, ranks and cuts are those among its rows. Ties have the "
        "middle rank, and are broken by a shuffle of each score's own where rows are kept. The figure shows all "
        f"sources, seed {scores.seed}: rows in each hexagon, by their ranks from the lowest score (0) to the highest "
        "(100).",
    ]
    few = [FEW_SEEDS_WARNING] if table["seed"].nunique() < MIN_SEEDS_FOR_CLAIM else []
    notes = [note for name in settings.scores for note in extrapolation_notes(name, scores.tables[name])]
    return "\n\n".join([*lines, *notes, *few])


def _names(group: Any) -> list[str]:
    first, second, source = group
    return [f"`{first}`", f"`{second}`", source]


def _interval(difference: PairedDifference) -> str:
    if math.isnan(difference.low):
        return (
            f"{difference.mean:.3f} [{NO_INTERVAL if difference.num_seeds < MIN_SEEDS_FOR_INTERVAL else 'no interval'}]"
        )
    return f"{difference.mean:.3f} [{difference.low:.3f}, {difference.high:.3f}]"


def _list_of(values: pd.Series[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _direction_sentence(scores: SeedScores, settings: ScoreAgreementSettings) -> str:
    """Say which scores rise with hardness, so that the signs can be read."""
    easier = [f"`{name}`" for name in settings.scores if scores.tables[name].higher_is == "easier"]
    harder = [f"`{name}`" for name in settings.scores if scores.tables[name].higher_is == "harder"]
    parts = [(easier, "an easier"), (harder, "a harder")]
    return " ".join(f"A higher value means {what} row for {', '.join(names)}." for names, what in parts if names)


@dataclass(frozen=True)
class SeedFiles:
    """The files of one seed.

    Attributes:
        seed: of the study.
        pool: the pool file.
        scores: the score files, in the order of the settings.
    """

    seed: int
    pool: Path
    scores: Sequence[Path]


def make(settings: ScoreAgreementSettings, *, files: Sequence[SeedFiles]) -> ReportParts:
    """Make the report from the scores with each seed.

    Raises:
        ArtifactError: a damaged file, or a score of another pool.
    """
    return agreement_parts([_read_seed(each, settings.scores) for each in files], settings)


def _read_seed(files: SeedFiles, names: Sequence[str]) -> SeedScores:
    pool = read_pool_rows(files.pool)
    tables = {name: read_scores(path, pool.fingerprint) for name, path in zip(names, files.scores, strict=True)}
    return SeedScores(files.seed, tables, pool.source)


def agreement_parts(seeds: Sequence[SeedScores], settings: ScoreAgreementSettings) -> ReportParts:
    """Return the numbers of all seeds, and the figure of `settings.seed`, or of the first."""
    drawn = next((each for each in seeds if each.seed == settings.seed), seeds[0])
    table = agreement_table(seeds, settings)
    figure = draw_score_agreement(drawn, settings)
    page = agreement_page(table, drawn, settings)
    return ReportParts(table, figure, "Ranks of rows by one score against another", page)

"""The report stage: result files, score tables and pools in; tables and figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pumalib.data.datasets import read_split
from pumalib.data.pool import SOURCE_NAMES, SYNTHETIC, open_pool, read_pool_rows
from pumalib.reporting.comparison import write_comparison
from pumalib.reporting.figures import FigurePaths
from pumalib.reporting.margin_histogram import write_margin_histogram
from pumalib.reporting.nearest_neighbours import write_nearest_neighbours
from pumalib.reporting.results import check_results
from pumalib.reporting.settings import ComparisonSettings, MarginHistogramSettings, TradeOffSettings
from pumalib.reporting.trade_off import write_trade_off
from pumalib.results.collect import RunFiles, collect_results
from pumalib.scores.table import read_scores
from pumalib.selection.stage import read_selection
from pumalib.synthesis.quality import nearest_distances


@dataclass(frozen=True)
class ReportFiles:
    """Where a report goes."""

    csv: Path
    markdown: Path
    png: Path
    svg: Path

    @property
    def figure(self) -> FigurePaths:
        """The two figure files."""
        return FigurePaths(self.png, self.svg)


def report_results(settings: Mapping[str, Any], study: str, files: Sequence[RunFiles], output: ReportFiles) -> None:
    """Write a comparison or a trade-off figure over the runs it names."""
    results = collect_results(study, files)
    check_results(results)
    if settings["kind"] == "comparison":
        comparison = ComparisonSettings.model_validate(settings)
        write_comparison(results, comparison, output.csv, output.markdown, output.figure)
    else:
        trade_off = TradeOffSettings.model_validate(settings)
        write_trade_off(results, trade_off, output.csv, output.markdown, output.figure)


def report_margins(
    settings: Mapping[str, Any],
    prune: Sequence[Mapping[str, Any]],
    epsilon: float,
    score: str | Path,
    selection: str | Path,
    pool: str | Path,
    output: ReportFiles,
) -> None:
    """Write the margin histogram of a score, with the cuts of one run marked.

    Args:
        settings: the report's settings.
        prune: the run's cuts; those by this score are marked.
        epsilon: of the threat, pixel scale.
        score: score file.
        selection: selection file of the run.
        pool: pool file.
        output: where the report goes.
    """
    name = MarginHistogramSettings.model_validate(settings).score
    rows = read_pool_rows(pool)
    table = read_scores(score, rows.fingerprint)
    cuts = [
        (label, value)
        for cut, (label, value) in zip(prune, read_selection(selection, rows.fingerprint).cuts, strict=False)
        if cut["by"] == name and np.isfinite(value)
    ]
    converged = np.ones(len(table.score), bool) if table.converged is None else table.converged
    valid = table.valid
    write_margin_histogram(
        table.score[valid],
        np.asarray(SOURCE_NAMES)[rows.source[valid]],
        epsilon,
        cuts,
        table.norm,
        converged[valid],
        csv_path=output.csv,
        markdown_path=output.markdown,
        figure=output.figure,
    )


def report_neighbours(pool: str | Path, dataset: str | Path, output: ReportFiles) -> None:
    """Write how near synthetic images lie to the train images, beside images that no generator saw.

    Args:
        pool: pool file.
        dataset: dataset file; its test rows, which no generator saw, are the comparison.
        output: where the report goes.
    """
    opened = open_pool(pool)
    train = read_split(dataset, "train").images
    synthetic = opened.images[np.flatnonzero(opened.source == SYNTHETIC)]
    write_nearest_neighbours(
        nearest_distances(synthetic, train),
        nearest_distances(read_split(dataset, "test").images, train),
        "test",
        csv_path=output.csv,
        markdown_path=output.markdown,
        figure=output.figure,
    )

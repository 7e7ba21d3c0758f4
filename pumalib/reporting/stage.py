"""The report stage: result files, score tables and pools in; tables and figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import read_split
from pumalib.data.pool import SOURCE_NAMES, SYNTHETIC, PoolRows, open_pool, read_pool_rows
from pumalib.data.selection import read_selection
from pumalib.reporting.colours import PointStyle, RunStyles
from pumalib.reporting.cost_page import write_cost
from pumalib.reporting.figures import FigurePaths
from pumalib.reporting.kinds.comparison import write_comparison
from pumalib.reporting.kinds.cost import CostPart
from pumalib.reporting.kinds.epsilon_distribution import SelectionFile, write_epsilon_distribution
from pumalib.reporting.kinds.margin_classes import write_margin_classes
from pumalib.reporting.kinds.margin_histogram import write_margin_histogram
from pumalib.reporting.kinds.nearest_neighbours import write_nearest_neighbours
from pumalib.reporting.kinds.pruned_rows import write_pruned_rows
from pumalib.reporting.kinds.ratio_curves import write_ratio_curves
from pumalib.reporting.kinds.robustness_curves import AttackFile, write_robustness_curves
from pumalib.reporting.kinds.score_agreement import SeedScores, write_score_agreement
from pumalib.reporting.kinds.trade_off import write_trade_off
from pumalib.reporting.kinds.training_curves import HistoryFile, write_training_curves
from pumalib.reporting.margin_counts import Margins
from pumalib.reporting.negative_epsilons import negative_epsilon_warnings
from pumalib.reporting.results import check_results
from pumalib.reporting.settings import (
    ComparisonSettings,
    CostSettings,
    MarginClassesSettings,
    MarginHistogramSettings,
    PrunedRowsSettings,
    RatioCurvesSettings,
    RobustnessCurvesSettings,
    ScoreAgreementSettings,
    TradeOffSettings,
    TrainingCurvesSettings,
)
from pumalib.results.collect import RunFiles, collect_results
from pumalib.scores.table import read_scores
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


def read_styles(styles: Mapping[str, Sequence[str]]) -> dict[str, PointStyle]:
    """Read the colour and marker of each run from what a rule's params spell."""
    return {run: PointStyle(*style) for run, style in styles.items()}


def report_results(
    settings: Mapping[str, Any], study: str, files: Sequence[RunFiles], styles: RunStyles, output: ReportFiles
) -> None:
    """Write a comparison, a trade-off figure or ratio curves over the runs it names."""
    results = collect_results(study, files)
    check_results(results)
    places = (styles, output.csv, output.markdown, output.figure, negative_epsilon_warnings(files))
    match settings["kind"]:
        case "comparison":
            write_comparison(results, ComparisonSettings.model_validate(settings), *places)
        case "ratio_curves":
            write_ratio_curves(results, RatioCurvesSettings.model_validate(settings), *places)
        case _:
            write_trade_off(results, TradeOffSettings.model_validate(settings), *places)


def report_curves(
    settings: Mapping[str, Any], histories: Sequence[HistoryFile], styles: RunStyles, output: ReportFiles
) -> None:
    """Write the training curves of the runs it names."""
    curves = TrainingCurvesSettings.model_validate(settings)
    write_training_curves(histories, curves, styles, output.csv, output.markdown, output.figure)


def report_robustness(
    settings: Mapping[str, Any],
    threat: Mapping[str, Any],
    files: Sequence[AttackFile],
    styles: RunStyles,
    output: ReportFiles,
) -> None:
    """Write the accuracy of the runs it names at every epsilon."""
    curves = RobustnessCurvesSettings.model_validate(settings)
    bound = ThreatSettings.model_validate(threat)
    write_robustness_curves(files, curves, bound, styles, output.csv, output.markdown, output.figure)


def report_cost(settings: Mapping[str, Any], parts: Sequence[CostPart], output: ReportFiles) -> None:
    """Write what the runs it names cost, with all that they depend on."""
    write_cost(parts, CostSettings.model_validate(settings), output.csv, output.markdown, output.figure)


def report_margins(
    settings: Mapping[str, Any],
    prune: Sequence[Mapping[str, Any]],
    epsilon: float,
    scores: Sequence[str | Path],
    selection: str | Path | None,
    pool: str | Path,
    output: ReportFiles,
) -> None:
    """Write the margin histogram of a score, or of two, with the cuts of one run marked.

    Args:
        settings: the report's settings.
        prune: the run's cuts; those by a score that is drawn are marked.
        epsilon: of the threat, pixel scale.
        scores: score file, and that of the score beside it.
        selection: selection file of the run; None: no run.
        pool: pool file.
        output: where the report goes.
    """
    histogram = MarginHistogramSettings.model_validate(settings)
    rows = read_pool_rows(pool)
    cuts = () if selection is None else read_selection(selection, rows.fingerprint).cuts
    marks = [(cut["by"], *mark) for cut, mark in zip(prune, cuts, strict=False) if np.isfinite(mark[1])]
    names = [name for name in (histogram.score, histogram.beside) if name is not None]
    margins = [_read_margins(name, path, rows, marks) for name, path in zip(names, scores, strict=True)]
    write_margin_histogram(margins, epsilon, csv_path=output.csv, markdown_path=output.markdown, figure=output.figure)


def _read_margins(name: str, path: str | Path, pool: PoolRows, marks: Sequence[tuple[str, str, float]]) -> Margins:
    """Read the rows that a score scored, with the cuts by it."""
    table = read_scores(path, pool.fingerprint)
    converged = np.ones(len(table.score), bool) if table.converged is None else table.converged
    return Margins(
        name,
        table.score[table.valid],
        np.asarray(SOURCE_NAMES)[pool.source[table.valid]],
        converged[table.valid],
        table.norm,
        [(label, value) for by, label, value in marks if by == name],
        np.flatnonzero(table.valid),
    )


def report_margin_classes(
    settings: Mapping[str, Any], epsilon: float, score: str | Path, pool: str | Path, output: ReportFiles
) -> None:
    """Write the histograms of a margin score by class and source.

    Args:
        settings: the report's settings.
        epsilon: of the threat, pixel scale.
        score: score file.
        pool: pool file.
        output: where the report goes.
    """
    classes = MarginClassesSettings.model_validate(settings)
    rows = read_pool_rows(pool)
    margins = _read_margins(classes.score, score, rows, ())
    assert margins.rows is not None
    write_margin_classes(
        margins,
        rows.labels[margins.rows],
        rows.class_names,
        epsilon,
        csv_path=output.csv,
        markdown_path=output.markdown,
        figure=output.figure,
    )


def report_epsilons(
    threat: Mapping[str, Any], files: Sequence[SelectionFile], styles: RunStyles, output: ReportFiles
) -> None:
    """Write how the epsilons of the runs it names are spread."""
    bound = ThreatSettings.model_validate(threat)
    write_epsilon_distribution(files, bound, styles, output.csv, output.markdown, output.figure)


def report_pruned_rows(settings: Mapping[str, Any], selection: str | Path, output: ReportFiles) -> None:
    """Write the contact sheet of what the run it names prunes and keeps."""
    sheet = PrunedRowsSettings.model_validate(settings)
    write_pruned_rows(Path(selection), sheet, output.csv, output.markdown, output.figure)


def report_agreement(settings: Mapping[str, Any], files: Sequence[Mapping[str, Any]], output: ReportFiles) -> None:
    """Write how far the scores of one pool agree.

    Args:
        settings: the report's settings.
        files: of each seed: `seed`, the `pool` file, and the `scores` files in the order of the settings.
        output: where the report goes.

    Raises:
        ArtifactError: a damaged file, or a score of another pool.
    """
    agreement = ScoreAgreementSettings.model_validate(settings)
    seeds = [_read_seed(entry, agreement.scores) for entry in files]
    write_score_agreement(seeds, agreement, output.csv, output.markdown, output.figure)


def _read_seed(entry: Mapping[str, Any], names: Sequence[str]) -> SeedScores:
    pool = read_pool_rows(entry["pool"])
    tables = {name: read_scores(path, pool.fingerprint) for name, path in zip(names, entry["scores"], strict=True)}
    return SeedScores(int(entry["seed"]), tables, pool.source)


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

"""Write one table or figure."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.reporting.kinds.cost import CostPart
from pumalib.reporting.kinds.epsilon_distribution import SelectionFile
from pumalib.reporting.kinds.robustness_curves import AttackFile
from pumalib.reporting.kinds.training_curves import HistoryFile
from pumalib.reporting.stage import (
    ReportFiles,
    read_styles,
    report_agreement,
    report_cost,
    report_curves,
    report_epsilons,
    report_margin_classes,
    report_margins,
    report_neighbours,
    report_pruned_rows,
    report_results,
    report_robustness,
)
from pumalib.results.collect import RunFiles

with job(snakemake):
    files, params = snakemake.input, snakemake.params
    output = ReportFiles(**{key: Path(path) for key, path in snakemake.output.items()})
    match params.settings["kind"]:
        case "comparison" | "trade_off" | "ratio_curves":
            runs = [RunFiles.from_mapping(f) for f in params.files]
            report_results(params.settings, params.study, runs, read_styles(params.styles), output)
        case "training_curves":
            histories = [HistoryFile.from_mapping(f) for f in params.files]
            report_curves(params.settings, histories, read_styles(params.styles), output)
        case "robustness_curves":
            tables = [AttackFile.from_mapping(f) for f in params.files]
            report_robustness(params.settings, params.threat, tables, read_styles(params.styles), output)
        case "cost":
            report_cost(params.settings, [CostPart(**part) for part in params.parts], output)
        case "score_agreement":
            report_agreement(params.settings, params.files, output)
        case "margin_histogram":
            selection = files.get("selection")
            report_margins(params.settings, params.prune, params.epsilon, files.scores, selection, files.pool, output)
        case "margin_classes":
            report_margin_classes(params.settings, params.epsilon, files.scores[0], files.pool, output)
        case "epsilon_distribution":
            selections = [SelectionFile.from_mapping(f) for f in params.files]
            report_epsilons(params.threat, selections, read_styles(params.styles), output)
        case "pruned_rows":
            report_pruned_rows(params.settings, files.selection, output)
        case "nearest_neighbours":
            report_neighbours(files.pool, files.dataset, output)

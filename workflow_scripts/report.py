"""Write one table or figure."""

from pathlib import Path

from pumalib.jobs import job
from pumalib.reporting.stage import ReportFiles, report_margins, report_neighbours, report_results
from pumalib.results.collect import RunFiles

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code):
    files, params = snakemake.input, snakemake.params
    output = ReportFiles(**{key: Path(path) for key, path in snakemake.output.items()})
    match params.settings["kind"]:
        case "comparison" | "trade_off":
            report_results(params.settings, params.study, [RunFiles.from_mapping(f) for f in params.files], output)
        case "margin_histogram":
            report_margins(
                params.settings, params.prune, params.epsilon, files.score, files.selection, files.pool, output
            )
        case "nearest_neighbours":
            report_neighbours(files.pool, files.dataset, output)

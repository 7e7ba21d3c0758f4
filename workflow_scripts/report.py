"""Write one report: its table, its figure and its page."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.reporting.parts import ReportFiles
from pumalib.reporting.stage import write_report

with job(snakemake):
    files = ReportFiles(**{key: Path(path) for key, path in snakemake.output.items()})
    write_report(snakemake.params.settings, snakemake.params.arguments, files)

"""Write one figure of the perceptron theory, its numbers and its page."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.perceptron.reports import write_report

with job(snakemake):
    files = {key: Path(path) for key, path in snakemake.output.items()}
    write_report(snakemake.params.settings, Path(snakemake.input[0]), **files)

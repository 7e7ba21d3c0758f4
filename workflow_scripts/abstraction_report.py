"""Write one figure of the abstraction model, its numbers and its page."""

from pathlib import Path

from pumalib.abstraction.report import write_report
from pumalib.jobs.frame import job

with job(snakemake):
    files = {key: Path(path) for key, path in snakemake.output.items()}
    write_report(snakemake.params.settings, Path(snakemake.input[0]), **files)

"""Collect every result of the study."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.results.collect import RunFiles, write_results

with job(snakemake):
    files = [RunFiles.from_mapping(entry) for entry in snakemake.params.files]
    write_results(snakemake.params.study, files, Path(snakemake.output[0]))

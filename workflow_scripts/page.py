"""Write the page of the study beside its results."""

from pathlib import Path

from pumalib.jobs import job
from pumalib.reporting.study_page import write_study_page

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code):
    write_study_page(
        snakemake.params.about,
        Path(snakemake.input.table),
        [Path(path) for path in snakemake.input.reports],
        snakemake.params.folders,
        Path(snakemake.output[0]),
    )

"""Join the errors of every student and teacher."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.perceptron.table import join_errors, write_errors

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code):
    write_errors(join_errors(list(snakemake.input)), Path(snakemake.output[0]))

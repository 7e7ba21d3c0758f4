"""Join the errors of every student and teacher."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.perceptron.table import join_errors, write_errors

with job(snakemake):
    write_errors(join_errors(list(snakemake.input)), Path(snakemake.output[0]))

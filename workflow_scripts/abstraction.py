"""Train every student of the abstraction model."""

from pathlib import Path

from pumalib.abstraction.stage import write_students
from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job

with job(snakemake) as work:
    write_students(
        snakemake.params.settings,
        list(snakemake.params.seeds),
        Path(snakemake.output[0]),
        resolve_device(work.device),
    )

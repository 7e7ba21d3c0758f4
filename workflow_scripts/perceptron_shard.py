"""Train one student of one teacher on the whole grid, for some seeds."""

from pathlib import Path

from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.perceptron.stage import write_shard

with job(snakemake) as work:
    write_shard(
        snakemake.params.settings,
        snakemake.wildcards.student,
        snakemake.wildcards.teacher,
        list(snakemake.params.seeds),
        Path(snakemake.output[0]),
        resolve_device(work.device),
    )

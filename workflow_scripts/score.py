"""Join the shards of one score."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.scores.join import join_shards

with job(snakemake) as work:
    join_shards(
        [Path(path) for path in snakemake.input.shards],
        Path(snakemake.input.pool),
        Path(snakemake.output[0]),
        settings=snakemake.params.settings,
        maker=work.maker,
    )

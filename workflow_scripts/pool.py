"""Put the pool together."""

from pathlib import Path

from pumalib.data.pool import build_learned_pool, build_pool
from pumalib.jobs.frame import job

with job(snakemake) as work:
    first, *synthetic = [Path(path) for path in snakemake.input]
    output, settings = Path(snakemake.output[0]), snakemake.params.settings
    if settings["learned"]:
        build_learned_pool(first, output, settings, work.maker)
    else:
        build_pool(first, synthetic[0] if synthetic else None, output, settings, work.maker)

"""Put the pool together."""

from pathlib import Path

from pumalib.data.pool import build_pool
from pumalib.jobs import job

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code):
    dataset, *synthetic = [Path(path) for path in snakemake.input]
    build_pool(
        dataset,
        synthetic[0] if synthetic else None,
        Path(snakemake.output[0]),
        settings=snakemake.params.settings,
        code=snakemake.params.code,
    )

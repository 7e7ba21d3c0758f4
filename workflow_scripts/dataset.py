"""Divide and store one dataset."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.data.datasets import prepare_dataset
from pumalib.data.settings import DatasetSettings
from pumalib.jobs.frame import job

with job(snakemake) as work:
    prepare_dataset(
        TypeAdapter(DatasetSettings).validate_python(snakemake.params.settings),
        seed=snakemake.params.seed,
        data_dir=Path(work.data_dir),
        output=Path(snakemake.output[0]),
        watched=snakemake.params.watched,
        maker=work.maker,
    )

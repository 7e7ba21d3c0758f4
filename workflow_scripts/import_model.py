"""Make a model file of one checkpoint from elsewhere."""

from pathlib import Path

from pumalib.evaluation.imported_model import import_model
from pumalib.jobs.frame import job
from pumalib.models.imported_settings import ImportedModelSettings

with job(snakemake) as work:
    import_model(
        ImportedModelSettings.model_validate(snakemake.params.settings),
        Path(snakemake.input.dataset),
        Path(snakemake.output[0]),
        run=snakemake.wildcards.run,
        maker=work.maker,
    )

"""Make the synthetic set of one pool."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.data.settings import SyntheticSettings
from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.models.settings import ArchitectureSettings
from pumalib.synthesis.settings import EdmSettings
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

with job(snakemake) as work:
    generator = snakemake.params.generator
    model, architecture = snakemake.input.get("model"), snakemake.params.architecture
    make_synthetic(
        TypeAdapter(SyntheticSettings).validate_python(snakemake.params.settings),
        SyntheticInputs(
            dataset=Path(snakemake.input.dataset),
            generator=Path(snakemake.input.generator) if generator else None,
            generator_settings=EdmSettings.model_validate(generator) if generator else None,
            seed=snakemake.params.seed,
            device=resolve_device(work.device) if generator else "cpu",
            watched=snakemake.params.watched,
            model=Path(model) if model else None,
            architecture=ArchitectureSettings.model_validate(architecture) if architecture else None,
        ),
        Path(snakemake.output[0]),
        maker=work.maker,
    )

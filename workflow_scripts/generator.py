"""Train one generator."""

from pathlib import Path

from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.synthesis.generator import train_stage
from pumalib.synthesis.settings import EdmSettings

with job(snakemake) as work:
    score = snakemake.input.get("score")
    train_stage(
        EdmSettings.model_validate(snakemake.params.settings),
        Path(snakemake.input.dataset),
        Path(snakemake.output[0]),
        name=snakemake.wildcards.generator,
        seed=int(snakemake.wildcards.seed),
        device=resolve_device(work.device),
        score=Path(score) if score else None,
        state_place=StatePlace.of_job(work),
        maker=work.maker,
    )

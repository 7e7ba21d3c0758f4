"""Score one shard of a pool."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.models.settings import ArchitectureSettings
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.stage import score_shard

with job(snakemake) as work:
    architecture = snakemake.params.architecture
    score_shard(
        TypeAdapter(ScoreSettings).validate_python(snakemake.params.settings),
        Path(snakemake.input.pool),
        Path(snakemake.input.model),
        Path(snakemake.output[0]),
        shard=int(snakemake.wildcards.shard),
        threat_norm=snakemake.params.norm,
        device=resolve_device(work.device),
        architecture=ArchitectureSettings.model_validate(architecture) if architecture else None,
        state_place=StatePlace.of_job(work),
        maker=work.maker,
    )

"""Attack one model with one attack."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.attacks.settings import AttackSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.stage import attack_model
from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.models.settings import ArchitectureSettings

with job(snakemake) as work:
    attack_model(
        TypeAdapter(AttackSettings).validate_python(snakemake.params.settings),
        ThreatSettings.model_validate(snakemake.params.threat),
        dataset=Path(snakemake.input.dataset),
        model_path=Path(snakemake.input.model),
        output=Path(snakemake.output[0]),
        seed=int(snakemake.wildcards.seed),
        device=resolve_device(work.device),
        architecture=ArchitectureSettings.model_validate(snakemake.params.architecture),
        state_place=StatePlace.of_job(work),
        maker=work.maker,
    )

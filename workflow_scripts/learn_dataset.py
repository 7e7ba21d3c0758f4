"""Learn the images of one pool; its progress stands beside the log."""

from pathlib import Path

from pydantic import TypeAdapter

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.jobs.devices import resolve_device
from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.learning.settings import LearnedSettings
from pumalib.learning.stage import LearningPaths, learn_dataset
from pumalib.models.settings import ArchitectureSettings

with job(snakemake) as work:
    model, architecture = snakemake.input.get("model"), snakemake.params.architecture
    paths = LearningPaths(
        pool=Path(snakemake.input.pool),
        dataset=Path(snakemake.input.dataset),
        output=Path(snakemake.output[0]),
        progress=Path(snakemake.log[0]).with_suffix(".progress.csv"),
        model=Path(model) if model else None,
        architecture=ArchitectureSettings.model_validate(architecture) if architecture else None,
    )
    learn_dataset(
        TypeAdapter(LearnedSettings).validate_python(snakemake.params.settings),
        ThreatSettings.model_validate(snakemake.params.threat),
        paths,
        seed=int(snakemake.wildcards.seed),
        state_place=StatePlace.of_job(work),
        device=resolve_device(work.device),
        maker=work.maker,
    )

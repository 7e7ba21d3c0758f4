"""Train one run of one seed."""

from pathlib import Path

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.models.settings import ArchitectureSettings
from pumalib.selection.settings import read_online
from pumalib.tracks.settings import TrackSettings
from pumalib.training.job import train_on_devices
from pumalib.training.settings import TrainingSettings

with job(snakemake.log[0], snakemake.config["errors_file"], snakemake.params.code, snakemake.params.threads) as frame:
    train_on_devices(
        frame,
        snakemake.config.get("device", "auto"),
        architecture=ArchitectureSettings.model_validate(snakemake.params.architecture),
        settings=TrainingSettings.model_validate(snakemake.params.training),
        threat=ThreatSettings.model_validate(snakemake.params.threat),
        name=snakemake.wildcards.run,
        seed=int(snakemake.wildcards.seed),
        dataset=Path(snakemake.input.dataset),
        pool_path=Path(snakemake.input.pool),
        selection_path=Path(snakemake.input.selection),
        model=Path(snakemake.output.model),
        history=Path(snakemake.output.history),
        track=Path(snakemake.output.track),
        run=Path(snakemake.output.run),
        tracked=TrackSettings.model_validate(snakemake.params.track),
        repetition=snakemake.params.repetition,
        online=read_online(snakemake.params.online),
        state=StatePlace.of_job(snakemake.log[0], snakemake.config),
    )

"""Train one run of one seed."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.training.job import train_on_devices
from pumalib.training.run_settings import RunSettings
from pumalib.training.task import RunPaths, TrainingTask

with job(snakemake) as work:
    wanted = ("dataset", "pool", "selection", "start")
    named = {name: path for name, path in snakemake.input.items() if name in wanted and path}
    paths = RunPaths(**{name: Path(path) for name, path in {**named, **dict(snakemake.output.items())}.items()})
    settings = RunSettings.model_validate(snakemake.params.settings)
    run, seed = snakemake.wildcards.run, int(snakemake.wildcards.seed)
    train_on_devices(work, TrainingTask(settings, paths, run, seed, StatePlace.of_job(work)))

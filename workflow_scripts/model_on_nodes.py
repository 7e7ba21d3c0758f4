"""Train one run of one seed over several machines, of which this is the first."""

from pathlib import Path

from pumalib.jobs.frame import job
from pumalib.jobs.states import StatePlace
from pumalib.training.job_on_nodes import train_on_nodes
from pumalib.training.run_settings import RunSettings
from pumalib.training.task import RunPaths, TrainingTask

with job(snakemake) as work:
    inputs = {name: Path(path) for name, path in snakemake.input.items() if name != "sources" and path}
    outputs = {name: Path(snakemake.output[name]) for name in ("model", "history", "track", "settings")}
    paths = RunPaths(**inputs, **outputs, kept=tuple(map(Path, snakemake.output.get("kept", ()))))
    settings = RunSettings.model_validate(snakemake.params.settings)
    run, seed = snakemake.wildcards.run, int(snakemake.wildcards.seed)
    train_on_nodes(work, TrainingTask(settings, paths, run, seed, StatePlace.of_job(work)))

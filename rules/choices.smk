"""What the rules of the corridor ask the study: files, settings and code behind one output."""

import re
from importlib import import_module

from pumalib.data.settings import ImageFilesSettings, source_module
from pumalib.scores.settings import whole_score_rule
from pumalib.study import slices


def dataset_sources(dataset):
    """Return the user's own files behind a dataset; downloads are not inputs."""
    settings = study.settings.datasets[dataset]
    return list(import_module(source_module(settings.source)).files(settings))


def threads_to_read(dataset):
    """Return the threads that decode image files, as far as there are cores; other sources take one."""
    settings = study.settings.datasets[dataset]
    return 8 if isinstance(settings, ImageFilesSettings) else 1


def synthetic_files(pool):
    """Return the user's own file behind the synthetic set of a pool."""
    path = getattr(study.settings.pools[pool].synthetic, "path", None)
    return [path] if path else []


def checkpoint_of(score):
    """Return the user's own checkpoint that a score looks through."""
    model = getattr(study.settings.scores[score], "model", None)
    return [model.checkpoint] if model is not None and model.checkpoint else []


def generator_of(pool):
    """Return the name of the generator behind a pool, or None."""
    return getattr(study.settings.pools[pool].synthetic, "generator", None)


def generator_file(wildcards):
    name = generator_of(wildcards.pool)
    return (
        rules.generator.output[0].format(generator=name, seed=seed_of(wildcards.at, 0))
        if name
        else []
    )


def generator_score(generator, seed):
    """Return the table of the margins that a generator learns, if any."""
    margin = study.settings.generators[generator].margin
    return score_file(margin.score, seed) if margin else []


def guiding_model(pool, seed):
    """Return the weights of the model that guides the sampling of a pool, if any."""
    run = study.settings.pools[pool].guide
    return model_file(run, seed) if run else []


def robust_model(pool, seed):
    """Return the weights that a pool is learned through, if any."""
    run = getattr(study.settings.pools[pool].learned, "model", None)
    return model_file(run, seed) if run else []


def devices_of(wildcards):
    """Return over how many devices of each machine a training runs."""
    return study.trained[wildcards.run].training.devices


def nodes_of(wildcards):
    """Return over how many machines a training runs."""
    return study.trained[wildcards.run].training.nodes


def gpus_of(wildcards):
    """Return how many GPUs of its machine a training needs; over several nodes of a cluster, `gres` asks for them."""
    is_on_cluster = nodes_of(wildcards) > 1 and sends_gpu_jobs()
    return 0 if is_on_cluster else devices_of(wildcards)


def node_resources(script):
    """Return what the rules of a training script ask for where it runs over several machines: a task on each.

    With `mpi`, SLURM's plugin leaves it to the job to call srun. GPUs are asked for by `gres`, which counts those of
    each machine; `tasks_per_gpu` keeps the plugin from counting tasks by GPUs.
    """
    if script == "model":
        return {}
    return {"mpi": "srun", "tasks": nodes_of, "gres": gres_of, "tasks_per_gpu": 0}


def gres_of(wildcards):
    """Return what SLURM is asked for on each machine."""
    return f"gpu:{devices_of(wildcards)}" if sends_gpu_jobs() else "none"


def script_of_run(run):
    """Return the script of a training: over several machines, one of its own."""
    return "model" if study.trained[run].training.nodes == 1 else "model_on_nodes"


def any_of(names):
    """Return a pattern of these names; of none, one that nothing matches."""
    return "|".join(map(re.escape, names)) or "(?!)"


def tracked_runs(score):
    """Return the runs whose tracks a score reads."""
    return getattr(study.settings.scores[score], "tracked", ())


def scored_model(score, seed):
    """Return the weights a score looks through."""
    model = study.settings.scores[score].model
    if model.checkpoint:
        return ancient(model.checkpoint)
    return model_file(model.run, seed if model.seed is None else model.seed)


def scores_file_of(score, seed):
    """Return the user's own file that a score is read from."""
    return study.settings.scores[score].path_of(seed)


def files_of_scores():
    """Return all such files, each once."""
    scores = study.settings.scores.values()
    read = [score for score in scores if whole_score_rule(score) == "file_score"]
    return list(dict.fromkeys(score.path_of(seed) for score in read for seed in SEEDS))


def start_checkpoint(run):
    """Return the user's own checkpoint that a training starts from."""
    start = study.trained[run].start_from
    return [start.checkpoint] if start is not None and start.checkpoint else []


def start_model(run, seed):
    """Return the weights that a training starts from, if any."""
    start = study.trained[run].start_from
    if start is None:
        return []
    return (
        ancient(start.checkpoint) if start.checkpoint else model_file(start.run, seed)
    )


def run_files(runs):
    """Describe the files that results of some runs are read from, in the study's order."""
    return [
        {
            "run": run,
            "seed": seed,
            "pool": study.runs[run].pool,
            "selection": selection_file(run, seed) if run in study.trained else None,
            "attacks": {
                attack: attack_file(run, seed, attack)
                for attack in study.attacks_of(run)
            },
        }
        for run in study.runs
        if run in runs
        for seed in SEEDS
    ]


def result_inputs(runs):
    """Return the paths in `run_files`."""
    return [
        path
        for entry in run_files(runs)
        for path in (entry["selection"], *entry["attacks"].values())
        if path is not None
    ]


TRAINING_RULES = {
    "model": ("model", "model_keeping"),
    "model_on_nodes": ("model_on_nodes", "model_on_nodes_keeping"),
}
"""The first two rules of each training script; those after them have names that no report can have."""


def training_rules():
    """Return name, script, kept epochs and runs for each script and list of kept epochs, whose jobs have equally many outputs.

    Trainings over several machines have a script of their own.
    """
    groups = {script: {(): []} for script in TRAINING_RULES}
    for run, settings in study.trained.items():
        script = script_of_run(run)
        groups[script].setdefault(kept_epochs(settings.training), []).append(run)
    return [
        (training_rule(script, place), script, epochs, runs)
        for script, runs_by_epochs in groups.items()
        for place, (epochs, runs) in enumerate(runs_by_epochs.items())
        if runs or (script, place) == ("model", 0)
    ]


def training_rule(script, place):
    names = TRAINING_RULES[script]
    return names[place] if place < len(names) else f"_{script}_keeping_{place}"


watch_at_the_start(
    [
        *[path for name in study.settings.datasets for path in dataset_sources(name)],
        *[path for name in study.settings.pools for path in synthetic_files(name)],
        *[path for name in study.settings.scores for path in checkpoint_of(name)],
        *files_of_scores(),
        *[path for name in study.trained for path in start_checkpoint(name)],
        *[run.checkpoint for run in study.imported.values()],
    ]
)

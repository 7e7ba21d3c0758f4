"""The checked study, and what several stages share: paths of inputs, and fingerprints of code."""

import hashlib
import json
import os
import sys
from pathlib import Path

from pumalib.jobs.driver import begin_run, end_run, hand_on_sigterm, tell_errors_last
from pumalib.errors import ConfigError, PumaError, ResourceError
from pumalib.jobs.frame import ERRORS_FILE, reach_user_modules
from pumalib.jobs.node_address import meeting_place
from pumalib.jobs.watch import Watch
from pumalib.files.provenance import code_fingerprint
from pumalib.study.file import load_merged_study
from pumalib.training.kept_epochs import kept_epochs

reach_user_modules()

STUDY_FILES = workflow.overwrite_configfiles or ["config.yaml"]
try:
    study = load_merged_study(
        config, STUDY_FILES, is_checked=not workflow.is_main_process
    )
except ConfigError as error:
    sys.exit(f"Error: {error}")

# Every job reads the study again. One edited meanwhile would give files that Snakemake holds for those of the old one.
STUDY_KEY = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
if workflow.is_main_process:
    os.environ.update(PUMA_STUDY_KEY=STUDY_KEY)
elif os.environ.get("PUMA_STUDY_KEY", STUDY_KEY) != STUDY_KEY:
    sys.exit(
        f"Error: expected {STUDY_FILES[0]} as it was when this run began, got another; put it back, "
        "or stop this run and run the edited study"
    )

RESULTS = f"results/{study.name}"
ERRORS = f"{RESULTS}/logs/{ERRORS_FILE}"
config["job"] = {  # what every job reads of the study
    "errors": ERRORS,
    **{
        key: getattr(study.settings, key)
        for key in ("device", "data_dir", "save_every_seconds", "tracker")
        if hasattr(study.settings, key)
    },
}
SEEDS = study.settings.seeds
THREADS = study.settings.threads
TF32 = getattr(study.settings, "tf32", False)
KEPT_WEIGHTS = f"{RESULTS}/models/{{run}}/seed{{seed}}/epoch{{epoch}}.safetensors"
REPORT_SUFFIXES = {"csv": "csv", "markdown": "md", "png": "png", "svg": "svg"}


wildcard_constraints:
    dataset=r"[^/]+",
    generator=r"[^/]+",
    pool=r"[^/]+",
    run=r"[^/]+",
    score=r"[^/]+",
    attack=r"[^/]+",
    report=r"[^/]+",
    seed=r"\d+",
    shard=r"\d+",
    epoch=r"\d+",
    at=r"(/seed\d+)?",


def start_run():
    """Take the study's lock, and forget the errors of the run before."""
    try:
        expect_first_node()
        expect_gpus_for_devices()
        begin_run(Path(ERRORS).parent)
    except (ConfigError, ResourceError) as error:
        sys.exit(f"Error: {error}")
    hand_on_sigterm()
    Path(ERRORS).unlink(missing_ok=True)


def expect_first_node():
    """Refuse to begin a training over several machines here where nobody said how they find each other."""
    planned = [
        job.wildcards.run
        for job in workflow.dag.needrun_jobs()
        if job.rule.name.strip("_").startswith("model_on_nodes")
    ]
    if planned and not workflow.non_local_exec:
        meeting_place(study.trained[planned[0]].training.nodes)


def expect_gpus_for_devices():
    """Refuse to send a training over more devices than a job may ask GPUs for: it would get so many and then fail."""
    most = workflow.global_resources.get("gpu").value
    if not (workflow.non_local_exec and most) or study.settings.device == "cpu":
        return  # with 0 the cluster has no GPUs; None: nothing is said of them
    for job in workflow.dag.needrun_jobs():
        name = job.rule.name.strip("_")
        if name.startswith("model") and not name.startswith("model_on_nodes"):
            devices = study.trained[job.wildcards.run].training.devices
            if devices > most:
                raise ConfigError(
                    f"expected gpu of at least {devices} under resources of the profile, the devices of run "
                    f"{job.wildcards.run}, got {most}; raise it there, or pass --resources gpu={devices}"
                )


def code_of(script, *modules):
    """Fingerprint the code behind a rule: its script, what that imports, and the modules the study names."""
    return code_fingerprint(
        Path(workflow.basedir) / "workflow_scripts" / script, *modules
    )


WATCH = Watch(Path(RESULTS) / "work/watched", workflow.is_main_process)


def watched(*paths):
    """Return content digests of a user's files and folders, by path."""
    return WATCH.digests(paths)


def watch_at_the_start(paths):
    """Look at all that a user owns before any job, where a file that cannot be read ends the run in one sentence."""
    try:
        WATCH.digests(paths if workflow.is_main_process else [])
    except PumaError as error:
        sys.exit(f"Error: {error}")


def memory(wildcards, attempt):
    """Return the MB of a job that uses torch, for schedulers that ask; more where it failed before."""
    return 16_000 * attempt


def seed_of(at, otherwise):
    """Read the seed out of a path part such as `/seed3`."""
    return int(at.rpartition("seed")[2]) if at else otherwise


def report_paths(name):
    """Return the files of a report, by form; its web page and JSON among them if it writes these itself."""
    settings = study.settings.reports[name]
    own = {"html": "html"} if settings.writes_page else {}
    own |= {"json": "json"} if settings.writes_json else {}
    return {
        form: f"{RESULTS}/reports/{name}.{suffix}"
        for form, suffix in {**REPORT_SUFFIXES, **own}.items()
    }


def report_files(name):
    return list(report_paths(name).values())


def with_reports(*files):
    """Return files, and those of every report."""
    return [
        *files,
        *[path for name in study.settings.reports for path in report_files(name)],
    ]


def dataset_file(dataset, seed):
    return rules.dataset.output[0].format(
        dataset=dataset, at=study.dataset_at(dataset, seed)
    )


def pool_file(pool, seed):
    return rules.pool.output[0].format(pool=pool, at=study.pool_at(pool, seed))


def pool_sources(pool, seed):
    """Return the files a pool stands on: rules that read a pool read these too."""
    settings = study.settings.pools[pool]
    if settings.learned is not None:
        return [learned_file(pool, seed)]
    files = [dataset_file(settings.dataset, seed)]
    if settings.synthetic is not None:
        files.append(
            rules.synthetic.output[0].format(pool=pool, at=study.pool_at(pool, seed))
        )
    return files


def learned_file(pool, seed):
    return rules.learn_dataset.output[0].format(pool=pool, seed=seed)


def score_file(score, seed):
    return rules.score.output[0].format(score=score, seed=seed)


def shard_files(score, seed):
    return [
        rules.score_shard.output[0].format(score=score, seed=seed, shard=shard)
        for shard in range(study.settings.scores[score].shards)
    ]


def generator_files(seed):
    """Return the generators of a seed that pools of runs sample from."""
    names = {generator_of(pool) for pool in pools_of_runs()}
    return [
        rules.generator.output[0].format(generator=name, seed=seed)
        for name in sorted(names - {None})
    ]


def pools_of_runs():
    """Return the pools that runs train on, and those that they are learned from, each once."""
    return sorted(
        {
            pool
            for run in study.trained.values()
            for pool in study.pools_behind(run.pool)
        }
    )


def track_file(run, seed):
    return rules.model.output.track.format(run=run, seed=seed)


def selection_file(run, seed):
    return rules.selection.output[0].format(run=run, seed=seed)


def model_file(run, seed):
    return rules.model.output.model.format(run=run, seed=seed)


def kept_patterns(epochs):
    """Return where the weights of kept epochs lie, for each run and seed."""
    return [KEPT_WEIGHTS.replace("{epoch}", str(epoch)) for epoch in epochs]


def model_files(run, seed):
    """Return all that a training makes."""
    patterns = [
        *rules.model.output,
        *kept_patterns(kept_epochs(study.trained[run].training)),
    ]
    return expand(patterns, run=run, seed=seed)


def history_file(run, seed):
    return rules.model.output.history.format(run=run, seed=seed)


def attack_file(run, seed, attack):
    return rules.attack.output[0].format(run=run, seed=seed, attack=attack)


def kept_attack_file(run, seed, attack, epoch):
    return rules.attack_kept.output[0].format(
        run=run, seed=seed, attack=attack, epoch=epoch
    )

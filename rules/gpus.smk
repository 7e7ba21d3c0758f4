"""GPUs that jobs ask for: those of this machine, or of the cluster that jobs are sent to."""

import os

from pumalib.jobs.device_locks import count_devices

GPUS = (
    count_devices(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if study.settings.device != "cpu"
    else 0
)
if (
    GPUS
):  # a job for each device of this machine, unless the command line or a profile says how many
    workflow.global_resources.setdefault("gpu", GPUS)


resource_scopes:
    gpu="local",  # what this machine has does not limit the jobs sent to a cluster


def one_gpu(wildcards):
    """Return 1 where jobs that compute with torch ask for a GPU, else 0."""
    return int(GPUS > 0 or sends_gpu_jobs())


def sends_gpu_jobs():
    """Return whether jobs run on other machines, whose GPUs this one cannot count, and are to use them."""
    if (
        workflow.is_main_process
    ):  # what it sends away reads the rules again, and sends nothing
        os.environ.update(PUMA_SENDS_JOBS=str(int(workflow.non_local_exec)))
    return study.settings.device != "cpu" and os.environ.get("PUMA_SENDS_JOBS") == "1"


def drop_kinds_without_a_gpu():
    """Let a job name a kind of GPU (gpu_model) only where it asks for one: SLURM's plugin takes a kind alone for a GPU."""
    for resources in [each.resources for each in workflow.rules]:
        if "gpu_model" in resources:
            resources["gpu_model"] = kind_where_needed(resources)


def kind_where_needed(resources):
    """Return the kind of GPU that a rule's jobs name, or None where they ask for no GPU: such a resource is dropped."""
    gpu, kind = resources.get("gpu"), resources["gpu_model"]
    most = workflow.global_resources.get("gpu")

    def named(wildcards, **known):
        gpus = gpu.evaluate(wildcards, **known).constrain(most).value
        return kind.evaluate(wildcards, **known).value if gpus else None

    # Snakemake hands a function what its parameters are named after.
    return lambda wildcards, input, attempt, threads, rulename, async_run: named(
        wildcards,
        input=input,
        attempt=attempt,
        threads=threads,
        rulename=rulename,
        async_run=async_run,
    )

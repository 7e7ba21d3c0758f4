"""Check a study, run it, and print its tables.

Only what is missing or out of date is made. Results go to results/<study>/ in the current folder. Options of Snakemake,
and names of reports or files to make, come after `--`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pumalib.cli import check, summary
from pumalib.cli.study import add_study_file, expect_study, results_of
from pumalib.cli.usage import UsageError
from pumalib.files.provenance import workflow_folder
from pumalib.running.driver import expect_snakemake, problem_of, run_snakemake

EXAMPLES = (
    "run studies/mine.yaml",
    "run studies/mine.yaml --dry-run",
    "run studies/mine.yaml --cores 4 -- --keep-going",
    "run studies/mine.yaml --profile slurm",
)

_DRY = {"-n", "--dry-run", "--dryrun"}
_OURS = {
    "--configfile": "the study comes first",
    "--configfiles": "the study comes first",
    "--snakefile": "the rules of this library are run",
    "-s": "the rules of this library are run",
    "--directory": "change to the folder instead",
    "-d": "change to the folder instead",
    "--workflow-profile": "use --profile before --",
}
"""Options of Snakemake that this command gives itself, and what to do instead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file, and the options of Snakemake that everybody needs."""
    add_study_file(parser)
    parser.add_argument("--cores", type=_cores, metavar="N", help="processors to use (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="list the jobs that would run, and stop")
    parser.add_argument(
        "--profile", metavar="P", help="folder with a config.yaml of Snakemake, or `slurm` (docs/cluster.md)"
    )
    parser.usage = f"{parser.prog} [STUDY] [--cores N] [--dry-run] [--profile P] [-- OPTIONS OF SNAKEMAKE]"


def _cores(text: str) -> str:
    if text != "all" and not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, or all, got {text}")
    return text


def run(options: argparse.Namespace) -> int:
    """Run the study; the status is 1 if a job failed."""
    expect_study(options.study)
    expect_snakemake()
    arguments = _arguments(options)
    is_dry = options.dry_run or bool(_DRY & set(options.handed_on))
    check.run(argparse.Namespace(study=options.study, json=False))
    print(flush=True)
    if not run_snakemake(arguments, options.study):
        return 1
    if not is_dry and results_of(options.study).is_file():
        summary.run(argparse.Namespace(study=options.study, json=False))
    return 0


def _arguments(options: argparse.Namespace) -> list[str]:
    """Return the arguments for Snakemake; what was handed on comes first, so that no option takes a target for its own.

    Raises:
        UsageError: options that Snakemake does not know or that do not belong here, or no such profile.
    """
    for word in options.handed_on:
        if (name := word.partition("=")[0]) in _OURS:
            raise UsageError(f"expected other options than {name} after --, got it: {_OURS[name]}")
    problem = problem_of(options.handed_on)
    if problem is not None:
        raise UsageError(f"expected options of Snakemake after --, got: {problem}")
    arguments = list(options.handed_on)
    arguments += ["--cores", options.cores] if options.cores else []
    arguments += ["--dry-run"] if options.dry_run else []
    return arguments + (["--workflow-profile", str(_profile(options.profile))] if options.profile else [])


def _profile(name: str) -> Path:
    """Return the folder of a profile: a user's own, or one that comes with the workflow."""
    places = [Path(name), Path("profiles") / name, workflow_folder() / "profiles" / name]
    found = next((place for place in places if (place / "config.yaml").is_file()), None)
    if found is None:
        known = ", ".join(sorted(path.name for path in (workflow_folder() / "profiles").iterdir()))
        raise UsageError(f"expected a folder with a config.yaml, or one of {known}, got --profile {name}")
    return found

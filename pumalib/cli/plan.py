"""Say what a study takes before it runs: hours, passes, memory and disk, by stage and in total.

Without --on, the pieces of its work are timed on this machine's processor for about a minute. With --on h100 or h200
they are counted here, and the times are predicted from the data sheet. Nothing is measured on such a machine.
All jobs of the study count, done before or not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pumalib.cli.output import aligned, print_json
from pumalib.cli.study import add_study, expect_study
from pumalib.cli.usage import UsageError
from pumalib.errors import ConfigError
from pumalib.files.sizes import size_in_words
from pumalib.planning.estimate import PlannedStage, StudyEstimate, estimate
from pumalib.planning.machines import MACHINES
from pumalib.planning.measured import counted_score_passes
from pumalib.planning.probe import machine_called, speed_here, speed_on
from pumalib.planning.shapes import StudyShapes
from pumalib.study.check_checkpoints import check_checkpoints
from pumalib.study.file import load_study
from pumalib.study.study import Study

EXAMPLES = ("plan", "plan studies/mine.yaml --cores 8", "plan studies/mine.yaml --on h100 --jobs")

_HEADER = ("stage", "jobs", "time", "of it start-up", "passes", "memory of a job", "disk")
_MINUTE, _HOUR = 60, 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file, where it runs, and how many jobs at once."""
    add_study(parser)
    parser.add_argument("--cores", type=int, default=1, metavar="N", help="jobs at once, as for snakemake (default: 1)")
    parser.add_argument(
        "--on", choices=sorted(MACHINES), help="predict times on this GPU instead of timing this machine"
    )
    parser.add_argument("--tf32", action="store_true", help="with --on: products of float32 in TF32")
    parser.add_argument("--jobs", action="store_true", help="tell each kind of job as well")


def run(options: argparse.Namespace) -> int:
    """Plan a study; the first problem is an error."""
    if options.cores < 1:
        raise UsageError(f"expected --cores of at least 1, got {options.cores}")
    if options.tf32 and options.on is None:
        raise UsageError("expected --tf32 only with --on h100 or --on h200")
    expect_study(options.study)
    study = load_study(options.study)
    if not isinstance(study, Study):
        raise ConfigError(
            f"expected a study of trainings, got one of a theory at {options.study}, which cannot be planned; "
            "run it with fewer seeds to see"
        )
    check_checkpoints(study)
    found = _estimate(study, options)
    if options.json:
        told = asdict(found) | {"memory_bytes": found.memory_bytes, "disk_bytes": found.disk_bytes}
        print_json({"file": options.study, "study": study.name, "is_predicted": options.on is not None, **told})
    else:
        _print(found, options)
    return 0


def _estimate(study: Study, options: argparse.Namespace) -> StudyEstimate:
    shapes, passes = StudyShapes(study), counted_score_passes(study, Path("results") / study.name)
    if options.on is not None:
        print("counting the work of each kind of job on this machine ...", file=sys.stderr)
        return estimate(shapes, speed_on(machine_called(options.on, options.tf32)), options.cores, passes)
    print("timing each kind of job on this machine, for about a minute ...", file=sys.stderr)
    try:
        speed = speed_here(shapes, passes)
    except OSError as error:
        raise ConfigError(f"expected Snakemake to run here, so that its share can be timed, got: {error}") from None
    return estimate(shapes, speed, options.cores, passes)


def _print(found: StudyEstimate, options: argparse.Namespace) -> None:
    is_predicted = options.on is not None
    how = "predicted from counts and its data sheet, not measured" if is_predicted else "from a probe of this machine"
    print(f"{options.study} on {found.place}: {how}; all jobs, done or not")
    print("\n".join(aligned(_HEADER, _rows(found.stages), has_units=False)))
    if options.jobs:
        print()
        print("\n".join(aligned(_HEADER, _rows(found.kinds), has_units=False)))
    at_once = f"{found.cores} job{'s' if found.cores > 1 else ''} at once"
    print(f"  one after the other {duration(found.seconds)}; with {at_once} {duration(found.elapsed_seconds)}")
    print(f"  memory for {at_once} {size_in_words(found.memory_bytes)}; disk {size_in_words(found.disk_bytes)}")


def _rows(stages: Sequence[PlannedStage]) -> list[tuple[str, ...]]:
    return [
        (
            f"{stage.rule} {stage.name}".strip(),
            f"{stage.jobs:,}",
            duration(stage.seconds),
            duration(stage.start_seconds),
            f"{stage.passes:.2g}" if stage.passes else "-",
            size_in_words(stage.memory_bytes),
            size_in_words(stage.disk_bytes),
        )
        for stage in stages
    ]


def duration(seconds: float) -> str:
    """Spell a time in the unit that fits."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE:.1f} min" if seconds < 2 * _HOUR else f"{seconds / _HOUR:,.1f} h"

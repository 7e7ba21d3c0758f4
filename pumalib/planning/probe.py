"""How fast a place is: this machine by a probe of about a minute, an accelerator by its data sheet."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace

from pumalib.jobs.devices import keep_freed_memory, use_threads
from pumalib.planning.estimate import Speed
from pumalib.planning.jobs import jobs_of
from pumalib.planning.machines import MACHINES, Machine
from pumalib.planning.meters import Line, Piece, counted, timed
from pumalib.planning.shapes import StudyShapes
from pumalib.planning.startup import KIND_OF_RULE, snakemake_seconds, start_seconds
from pumalib.planning.works import Measure, Works

_SECONDS = 30.0
_SHORTEST, _LONGEST = 1.0, 4.0
"""Processor seconds of the probe for pieces of work, and bounds for one of them."""


def speed_here(shapes: StudyShapes, score_passes: dict[str, float]) -> Speed:
    """Time the start of jobs and every piece of the study's work on this machine's processor.

    Raises:
        OSError: Snakemake or Python do not start.
    """
    threads = shapes.study.settings.threads
    use_threads(threads)
    keep_freed_memory()
    each = min(max(_SECONDS / max(_count_pieces(shapes, score_passes), 1), _SHORTEST), _LONGEST)
    jobs = jobs_of(shapes.study).values()
    kinds = {KIND_OF_RULE[job.rule] for job in jobs}
    has_digits = any(dataset.source == "digits" for dataset in shapes.study.settings.datasets.values())
    found = start_seconds(kinds | ({"digits"} if has_digits else set()))
    workflow, each_job = snakemake_seconds()
    starts = {rule: found.get(kind, 0.0) + each_job for rule, kind in KIND_OF_RULE.items()}
    starts |= {"dataset": found["digits"] + each_job} if has_digits else {}
    measure = remembered(lambda piece: timed(piece, each, threads))
    return Speed("this machine", measure, lambda amounts: amounts["seconds"], starts, workflow)


def speed_on(machine: Machine) -> Speed:
    """Return the speed that an accelerator is predicted to have; what is counted is counted on this machine."""
    return Speed(machine.name, remembered(counted), machine.seconds, {})


def machine_called(name: str, tf32: bool) -> Machine:
    """Return an accelerator, whose products of float32 are in TF32 where that is asked for."""
    return replace(MACHINES[name], products="tf32") if tf32 else MACHINES[name]


def remembered(measure: Callable[[Piece], Line]) -> Measure:
    """Return what measures each piece once."""
    lines: dict[str, Line] = {}

    def measured(key: str, make: Callable[[], Piece]) -> Line:
        if key not in lines:
            with contextlib.redirect_stderr(io.StringIO()):  # progress bars
                lines[key] = measure(make())
        return lines[key]

    return measured


def _count_pieces(shapes: StudyShapes, score_passes: dict[str, float]) -> int:
    keys: set[str] = set()

    def note(key: str, make: Callable[[], Piece]) -> Line:
        keys.add(key)
        return Line({"seconds": 0.0}, {}, 1.0)

    works = Works(shapes, note, score_passes)
    for job in jobs_of(shapes.study).values():
        works.of(job)
    return len(keys)

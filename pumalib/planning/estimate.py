"""What a study takes: hours, passes, memory and disk, by stage and in all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pumalib.planning.jobs import PlannedJob, jobs_of
from pumalib.planning.meters import Amounts
from pumalib.planning.schedule import makespan
from pumalib.planning.shapes import StudyShapes
from pumalib.planning.storage import Storage
from pumalib.planning.works import Measure, Works


@dataclass(frozen=True)
class Speed:
    """How fast a place is.

    Attributes:
        name: of it.
        measure: what times or counts a piece.
        seconds: the time of what it gives.
        starts: seconds of a job before its work, by rule.
        workflow: seconds of Snakemake at its start.
    """

    name: str
    measure: Measure
    seconds: Callable[[Amounts], float]
    starts: Mapping[str, float]
    workflow: float = 0.0


@dataclass(frozen=True)
class PlannedStage:
    """All jobs of a rule, or one kind of them.

    Attributes:
        rule: the rule.
        name: of a run, score, pool and so on, with its attack; empty: of all.
        jobs: how many.
        seconds: of all together, one after the other.
        start_seconds: those of them before the work.
        passes: of images forward and backward through networks, planned or typical.
        memory_bytes: of the largest job.
        disk_bytes: of all files.
    """

    rule: str
    name: str
    jobs: int
    seconds: float
    start_seconds: float
    passes: float
    memory_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class StudyEstimate:
    """What a study takes.

    Attributes:
        place: where.
        cores: jobs at once.
        stages: by rule, in the order of the data.
        kinds: by rule and name.
        seconds: of all jobs and Snakemake, one after the other.
        elapsed_seconds: until the last job ends.
    """

    place: str
    cores: int
    stages: tuple[PlannedStage, ...]
    kinds: tuple[PlannedStage, ...]
    seconds: float
    elapsed_seconds: float

    @property
    def memory_bytes(self) -> int:
        """Return the memory of as many of the largest jobs as run at once."""
        return self.cores * max(stage.memory_bytes for stage in self.stages)

    @property
    def disk_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(stage.disk_bytes for stage in self.stages)


def estimate(shapes: StudyShapes, speed: Speed, cores: int, score_passes: dict[str, float]) -> StudyEstimate:
    """Estimate a checked study, all of its jobs, done before or not.

    Args:
        shapes: of the study.
        speed: where it runs.
        cores: jobs at once.
        score_passes: passes of a row under each score that has a table already.

    Raises:
        ConfigError: rows that only loading the data tells, or a network that only a checkpoint does.
    """
    jobs, works, storage = jobs_of(shapes.study), Works(shapes, speed.measure, score_passes), Storage(shapes)
    parts = {key: _one(job, works, storage, speed) for key, job in jobs.items()}
    seconds = {key: part.seconds for key, part in parts.items()}
    return StudyEstimate(
        speed.name,
        cores,
        _grouped(parts.values(), lambda part: (part.rule, "")),
        _grouped(parts.values(), lambda part: (part.rule, part.name)),
        speed.workflow + sum(seconds.values()),
        speed.workflow + makespan(jobs, seconds, cores),
    )


def _one(job: PlannedJob, works: Works, storage: Storage, speed: Speed) -> PlannedStage:
    work, start = works.of(job), speed.starts.get(job.rule, 0.0)
    seconds = sum(part.times * speed.seconds(part.amounts) for part in work.parts)
    name = job.name if job.attack is None else f"{job.name}, {job.attack}"
    return PlannedStage(
        job.rule, name, 1, start + seconds, start, work.passes, storage.in_memory(job), storage.on_disk(job)
    )


def _grouped(
    parts: Collection[PlannedStage], key: Callable[[PlannedStage], tuple[str, str]]
) -> tuple[PlannedStage, ...]:
    groups: dict[tuple[str, str], list[PlannedStage]] = {}
    for part in parts:
        groups.setdefault(key(part), []).append(part)
    return tuple(_sum(rule, name, group) for (rule, name), group in groups.items())


def _sum(rule: str, name: str, group: list[PlannedStage]) -> PlannedStage:
    return PlannedStage(
        rule,
        name,
        len(group),
        sum(part.seconds for part in group),
        sum(part.start_seconds for part in group),
        sum(part.passes for part in group),
        max(part.memory_bytes for part in group),
        sum(part.disk_bytes for part in group),
    )

"""The jobs of a run: which are planned, at work and done, and how long the rest takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean

from pumalib.jobs.progress import JobProgress
from pumalib.running.job_log import progress_in

_TARGET = "all"
"""The rule that only names files: no job for anybody who counts."""


@dataclass(frozen=True)
class Job:
    """A job that began.

    Attributes:
        rule: its rule.
        what: it does, as the rule's message says.
        logs: its log files; the first is the job's own.
        began: seconds since 1970.
    """

    rule: str
    what: str
    logs: tuple[str, ...]
    began: float

    def progress(self) -> JobProgress | None:
        """Return how far the job says that it is; None: it says nothing."""
        return progress_in(self.logs[0], self.began) if self.logs else None


@dataclass
class Tally:
    """All jobs of a run, by their number."""

    planned: Counter[str] = field(default_factory=Counter)
    running: dict[int, Job] = field(default_factory=dict)
    ended: dict[int, tuple[Job, float]] = field(default_factory=dict)
    most_at_once: int = 0

    def plan(self, counts: Mapping[str, int]) -> None:
        """Take the number of jobs by rule, as Snakemake counts them."""
        self.planned = Counter({rule: count for rule, count in counts.items() if rule not in (_TARGET, "total")})

    def begin(self, number: int, job: Job) -> None:
        """Note that a job began."""
        if job.rule != _TARGET:
            self.running[number] = job
            self.most_at_once = max(self.most_at_once, len(self.running))

    def end(self, number: int, now: float) -> Job | None:
        """Note that a job ended well; None: it is none that counts."""
        job = self.running.pop(number, None)
        if job is not None:
            self.ended[number] = (job, now - job.began)
        return job

    def fail(self, number: int) -> Job | None:
        """Note that a job failed."""
        return self.running.pop(number, None)

    @property
    def num_planned(self) -> int:
        """Return the number of jobs that this run does."""
        return self.planned.total()

    def seconds_left(self, now: float) -> tuple[float, bool] | None:
        """Return how long the rest takes, and whether that is a lower bound; None: nothing is known.

        A job takes as long as those of its rule did. Of rules that no job has ended of, a job at work says itself how
        long it takes, or nothing is known.
        """
        seconds = {rule: mean(times) for rule, times in self._times().items()}
        told = {job.rule: took for job in self.running.values() if (took := _told_length(job, now)) is not None}
        known = told | seconds
        left = self.planned - Counter(job.rule for job, _ in self.ended.values())
        work = sum(known[rule] * count for rule, count in left.items() if rule in known)
        work -= sum(min(now - job.began, known[job.rule]) for job in self.running.values() if job.rule in known)
        if not any(rule in known for rule in left):
            return None
        return max(work, 0.0) / max(self.most_at_once, 1), any(rule not in known for rule in left)

    def _times(self) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {}
        for job, took in self.ended.values():
            times.setdefault(job.rule, []).append(took)
        return times


def _told_length(job: Job, now: float) -> float | None:
    """Return how long a job at work says that it takes in all."""
    progress = job.progress()
    if progress is None or progress.seconds_left is None:
        return None
    return now - job.began + progress.seconds_left

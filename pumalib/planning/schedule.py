"""When the jobs of a study end that wait for one another, on so many cores. Imports no torch."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from pumalib.planning.jobs import PlannedJob


def makespan(jobs: Mapping[str, PlannedJob], seconds: Mapping[str, float], cores: int) -> float:
    """Return the seconds until the last job ends, each taking one core as soon as one is free, in the jobs' order.

    Snakemake's order may be another one: where jobs are many, that matters little.

    Args:
        jobs: by key, each after those that it waits for.
        seconds: of each job.
        cores: jobs at once.
    """
    waiting = {key: len(set(job.needs)) for key, job in jobs.items()}
    followers: dict[str, list[str]] = {key: [] for key in jobs}
    for key, job in jobs.items():
        for need in set(job.needs):
            followers[need].append(key)
    places = {key: place for place, key in enumerate(jobs)}
    ready = [(places[key], key) for key, count in waiting.items() if not count]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    # Invariant: jobs in `running` [end, key] began by `now`, and those in `ready` could. A turn starts what there are
    # cores for, and moves on to the next end.
    while ready or running:
        while ready and len(running) < cores:
            _, key = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[key], key))
        now, ended = heapq.heappop(running)
        for key in followers[ended]:
            waiting[key] -= 1
            if not waiting[key]:
                heapq.heappush(ready, (places[key], key))
    return now

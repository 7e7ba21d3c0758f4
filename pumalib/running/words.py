"""What is said of jobs and times: short, and the same in a terminal and in a log."""

from __future__ import annotations

from pumalib.running.tally import Job, Tally

_MINUTE, _HOUR = 60, 3600
_WIDEST = 56


def spelled(seconds: float) -> str:
    """Spell a time in the units that matter."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{int(seconds // _HOUR)} h {seconds % _HOUR / _MINUTE:.0f} min"


def counted(number: int) -> str:
    """Spell a number of jobs."""
    return f"{number:,} job" + ("" if number == 1 else "s")


def ended_line(tally: Tally, job: Job, seconds: float) -> str:
    """Return the line of a job that ended well."""
    width = len(str(tally.num_planned))
    return f"[{len(tally.ended):>{width}} of {tally.num_planned}] {job.what:<{_WIDEST}} {spelled(seconds):>8}"


def end_of_run(tally: Tally, seconds: float) -> str:
    """Return the last line of a run: how many jobs ended well, and what all took."""
    number, planned = len(tally.ended), tally.num_planned
    done = counted(number) if number == planned else f"{number} of {counted(planned)}"
    return f"{done} in {spelled(seconds)}"


def failed_line(job: Job, seconds: float, reason: str | None, logs: tuple[str, ...]) -> str:
    """Return the line of a job that failed."""
    why = f": {' '.join(reason.split())}" if reason else ""
    where = f"; log: {', '.join(logs)}" if logs else ""
    return f"failed: {job.what}, after {spelled(seconds)}{why}{where}"


def state_of_run(tally: Tally, now: float) -> str:
    """Return how many jobs are done, and how long the rest takes."""
    done = f"{len(tally.ended)} of {counted(tally.num_planned)}"
    left = tally.seconds_left(now)
    if left is None:
        return done
    seconds, is_least = left
    return f"{done}, {'at least' if is_least else 'about'} {spelled(max(seconds, 1.0))} left"


def state_of_jobs(tally: Tally, now: float) -> str:
    """Return what is at work: the job that began first, and how many others."""
    first, *others = sorted(tally.running.values(), key=lambda job: job.began)
    progress = first.progress()
    if progress is None:
        told = f"{spelled(now - first.began)} so far"
    else:
        left = "" if progress.seconds_left is None else f", {spelled(max(progress.seconds_left, 1.0))} left"
        told = f"{progress.percent} %{left}"
    more = f" (and {len(others)} more)" if others else ""
    return f"{first.what}: {told}{more}"

"""The jobs of a run, counted; and how long the rest takes, against sums by hand."""

from pathlib import Path

import pytest

from pumalib.running.tally import Job, Tally
from pumalib.running.words import counted, end_of_run, ended_line, failed_line, spelled, state_of_jobs, state_of_run


def job(rule: str, began: float = 0.0, logs: tuple[str, ...] = ()) -> Job:
    return Job(rule, f"{rule} of puma", logs, began)


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    tally.plan({"dataset": 1, "model": 3, "all": 1, "total": 5})
    return tally


def test_rule_that_only_names_files_is_no_job(tally: Tally) -> None:
    assert tally.num_planned == 4
    tally.begin(0, job("all"))
    assert tally.running == {}
    assert tally.end(0, 1.0) is None


def test_rest_takes_as_long_as_jobs_of_its_rules_did(tally: Tally) -> None:
    assert tally.seconds_left(0) is None
    tally.begin(1, job("model"))
    tally.end(1, 10.0)
    assert tally.seconds_left(10) == (20, True)  # two models; of the dataset nothing is known
    tally.begin(2, job("dataset", 10))
    tally.end(2, 12.0)
    assert tally.seconds_left(12) == (20, False)
    tally.begin(3, job("model", 12))
    tally.begin(4, job("model", 12))
    assert tally.seconds_left(16) == ((20 - 2 * 4) / 2, False)  # both at once, four seconds each are over


def test_first_job_of_a_rule_says_itself_how_long_it_takes(tally: Tally, tmp_path: Path) -> None:
    log = tmp_path / "seed0.log"
    log.write_text("progress of puma/0: 50 % (1 of 2), 01:00 left\n")
    now = log.stat().st_mtime
    tally.begin(1, job("model", now - 60, (str(log),)))
    left = tally.seconds_left(now)
    assert left is not None
    assert left[0] == pytest.approx(60 + 2 * 120, abs=30)
    assert left[1]
    assert state_of_jobs(tally, now).startswith("model of puma: 50 %, ")


def test_failed_job_counts_as_not_done(tally: Tally) -> None:
    tally.begin(1, job("model"))
    assert tally.fail(1) == job("model")
    assert tally.ended == {}
    assert state_of_run(tally, 1.0) == "0 of 4 jobs"


def test_words_of_jobs(tally: Tally) -> None:
    tally.begin(1, job("model"))
    tally.begin(2, job("dataset"))
    assert state_of_jobs(tally, 4.0) == "model of puma: 4.0 s so far (and 1 more)"
    ended = tally.end(1, 12.0)
    assert ended is not None
    assert " ".join(ended_line(tally, ended, 12.0).split()) == "[1 of 4] model of puma 12 s"
    assert failed_line(job("model"), 1.0, None, ("a.log",)) == "failed: model of puma, after 1.0 s; log: a.log"
    assert (
        failed_line(job("model"), 1.0, "job '11'\n failed", ()) == "failed: model of puma, after 1.0 s: job '11' failed"
    )
    assert counted(1) == "1 job"
    assert end_of_run(tally, 12.0) == "1 of 4 jobs in 12 s"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(1.23, "1.2 s"), (59.6, "60 s"), (600, "10 min"), (2 * 3600 + 90, "2 h 2 min")]
)
def test_times_are_spelled_in_the_unit_that_fits(seconds: float, expected: str) -> None:
    assert spelled(seconds) == expected

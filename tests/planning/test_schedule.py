"""When the last job ends, by hand."""

import pytest

from pumalib.planning.jobs import PlannedJob
from pumalib.planning.schedule import makespan

JOBS = {
    "data": PlannedJob("dataset", "data", None),
    "long": PlannedJob("model", "long", 0, ("data",)),
    "short": PlannedJob("model", "short", 0, ("data",)),
    "end": PlannedJob("results", "all", None, ("long", "short", "long")),
}
SECONDS = {"data": 2.0, "long": 5.0, "short": 3.0, "end": 1.0}


@pytest.mark.parametrize(("cores", "seconds"), [(1, 11), (2, 8), (100, 8)])
def test_jobs_wait_for_what_they_read_and_for_a_core(cores: int, seconds: float) -> None:
    assert makespan(JOBS, SECONDS, cores) == seconds

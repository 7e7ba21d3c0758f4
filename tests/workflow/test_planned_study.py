"""A plan of a tiny study beside the study itself: its jobs, its files, and in a slow test its time."""

import json
import re
import resource
import shutil
import sys
from pathlib import Path

import pytest

from pumalib.planning.jobs import jobs_of
from pumalib.planning.shapes import StudyShapes
from pumalib.planning.storage import Storage
from pumalib.study.file import load_study
from pumalib.study.study import Study

ROOT = Path(__file__).parents[2]
EVERYTHING_TWICE = 2.0


def jobs_that_snakemake_lists(output: str) -> int:
    found = re.search(r"^total\s+(\d+)", output, re.MULTILINE)
    assert found is not None
    return int(found[1]) - 1  # without the target `all`


@pytest.mark.parametrize("path", ["tests/workflow/tiny.yaml", "studies/digits-rdl.yaml"])
def test_the_plan_has_the_jobs_that_snakemake_lists(make_checkout, path):
    checkout, study = make_checkout(), "study.yaml"
    shutil.copy(ROOT / path, checkout.folder / study)
    result = checkout.run("--dry-run", "--quiet", "rules", study=study)
    loaded = load_study(checkout.folder / study)
    assert isinstance(loaded, Study)
    jobs = jobs_of(loaded)
    assert len(jobs) == jobs_that_snakemake_lists(result.stdout + result.stderr)
    places = {key: place for place, key in enumerate(jobs)}
    assert all(places[need] < places[key] for key, job in jobs.items() for need in job.needs)


def test_files_of_the_study_are_as_large_as_planned(finished):
    study = load_study(finished.folder / "tiny.yaml")
    assert isinstance(study, Study)
    storage = Storage(StudyShapes(study))
    planned = sum(map(storage.on_disk, jobs_of(study).values()))
    files = [path for path in (finished.folder / "results/tiny").rglob("*") if path.is_file()]
    there = {path.stat().st_ino: path.stat().st_size for path in files}  # kept results are links to the same bytes
    assert planned / EVERYTHING_TWICE < sum(there.values()) < planned * EVERYTHING_TWICE


@pytest.mark.slow
def test_a_tiny_study_takes_about_as_long_as_planned(make_checkout):
    checkout = make_checkout()
    planned = checkout.call([sys.executable, "-m", "pumalib", "plan", "tiny.yaml", "--json"])
    assert planned.returncode == 0, planned.stderr
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert checkout.run().returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert took / EVERYTHING_TWICE < json.loads(planned.stdout)["seconds"] < took * EVERYTHING_TWICE

"""A study whose files another version of this library made: taken over with `--touch`, and worked on from there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pandas as pd
import pytest

from tests.workflow.conftest import ROOT, Checkout

DATA = ROOT / "tests/files/version_1"
OLD = DATA / "results/before"
RESULTS = "results/before"
MADE = [  # what the test data leave out
    f"{RESULTS}/settings.html",
    *[
        f"{RESULTS}/reports/{path.stem}.{suffix}"
        for path in OLD.glob("reports/*.md")
        for suffix in ("png", "svg", "html")
    ],
]
TOUCH = "snakemake --cores all --configfile studies/mine.yaml --touch --forceall"
REPORTS = {f"report {path.stem}" for path in OLD.glob("reports/*.md")}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def touched(make_checkout) -> Checkout:
    """A checkout with the old results, which the documented command took over."""
    assert TOUCH in (ROOT / "docs/studies.md").read_text()
    checkout = make_checkout()
    shutil.copy2(DATA / "study.yaml", checkout.folder)
    shutil.copytree(OLD, checkout.folder / RESULTS)
    for path in MADE:
        (checkout.folder / path).touch()
    touch(checkout)
    return checkout


def touch(checkout: Checkout) -> None:
    result = checkout.run(*TOUCH.split()[5:], study="study.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "not touched" not in result.stdout + result.stderr


def copy_of(checkout: Checkout, folder: Path) -> Checkout:
    return Checkout(shutil.copytree(checkout.folder, folder / "checkout", symlinks=True))


def run(checkout: Checkout, study: str = "study.yaml") -> None:
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of the old results, by path."""
    return {str(path.relative_to(OLD)): (folder / path.relative_to(OLD)).read_bytes() for path in OLD.rglob("*.*")}


def test_after_the_touch_nothing_is_to_be_done_and_no_byte_has_changed(touched):
    again = touched.run(study="study.yaml")
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in again.stdout + again.stderr
    assert contents(touched.folder / RESULTS) == contents(OLD)


def test_what_other_code_made_is_made_again_unless_it_is_touched(touched, tmp_path):
    checkout = copy_of(touched, tmp_path)
    module = checkout.folder / "pumalib/files/artifacts.py"
    module.write_text(module.read_text() + "\nOF_TODAY = True\n")
    assert {"dataset digits", "train trades", "results of before", *REPORTS} <= checkout.planned("study.yaml")
    touch(checkout)
    assert checkout.planned("study.yaml") == set()


def test_tables_that_were_deleted_come_out_with_the_same_numbers(touched, tmp_path):
    """Only their words are those of today."""
    checkout = copy_of(touched, tmp_path)
    results = checkout.folder / RESULTS
    (results / "results.csv").unlink()
    shutil.rmtree(results / "reports")
    assert checkout.planned("study.yaml") == {"results of before", "page of before", *REPORTS}
    run(checkout)
    assert (results / "results.csv").read_bytes() == (OLD / "results.csv").read_bytes()
    for path in OLD.glob("reports/*.csv"):
        before, today = pd.read_csv(path), pd.read_csv(results / "reports" / path.name)
        numbers = before.select_dtypes("number").columns
        assert len(numbers) > 1
        pd.testing.assert_frame_equal(today[numbers], before[numbers], rtol=1e-12)
    assert all((checkout.folder / path).stat().st_size for path in MADE if "/reports/" in path)


def test_an_edit_makes_again_what_depends_on_it_and_its_chain_goes_on_through_the_old_files(touched, tmp_path):
    checkout = copy_of(touched, tmp_path)
    checkout.edit("study.yaml", "cw: {method: cw_pgd, steps: 2}", "cw: {method: cw_pgd, steps: 3}")
    attacks = {f"attack {name}" for name in ("trades", "puma", "hard")}
    assert checkout.planned("study.yaml") == {*attacks, "results of before", "report table", "page of before"}
    run(checkout)
    versions = {}
    for path in ("attacks/puma/seed0/cw.h5", "attacks/puma/seed0/shortest.h5", "selections/puma/seed0.h5"):
        with h5py.File(checkout.folder / RESULTS / path) as file:
            versions[path] = int(file.attrs["schema_version"])
    assert list(versions.values()) == [2, 1, 1]
    chain = trace(checkout, f"{RESULTS}/results.csv", "--run", "puma", "--attack", "cw")
    assert chain["problems"] == []
    told = json.dumps(chain["chain"])
    for path in ("models/puma/seed0/model.safetensors", "scores/margin/seed0/shard1.h5", "generators/edm/seed0"):
        assert f"{RESULTS}/{path}" in told


def trace(checkout: Checkout, *arguments: str) -> dict:
    command = [sys.executable, "-m", "pumalib", "trace", *arguments, "--json"]
    told: subprocess.CompletedProcess[str] = checkout.call(command)
    assert told.returncode == 0, told.stdout + told.stderr
    return json.loads(told.stdout)

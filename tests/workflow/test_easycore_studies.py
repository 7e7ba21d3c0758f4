"""The EasyCore studies in miniature: one run of each kind, through the whole workflow."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from pumalib.study.file import read_study_file

pytestmark = pytest.mark.slow

STUDIES = Path(__file__).parents[2] / "studies"
FILES = {name: STUDIES / f"easycore-{name}.yaml" for name in ("digits", "fashion")}
KEPT_RUNS = {
    "digits": {"natural", "natural-cnn", "natural-easycore-keep30", "trades", "easycore-keep30"},
    "fashion": {"natural", "natural-mlp", "natural-mlp-keep30", "trades", "union-keep80", "puma-20"},
}
"""Together a run of each kind of score, scope, recipe and epsilon."""


def miniature(raw, runs):
    """Return a study with some of its runs, made tiny, over digits; its models learn enough to know every class."""
    (name,) = raw["datasets"]
    digits = {"source": "digits", "split": "seeded", "test_fraction": 0.3, "train_count": 200, "test_count": 40}
    raw["datasets"] = {name: digits}
    raw["seeds"] = [0]
    raw["runs"] = {name: run for name, run in raw["runs"].items() if name in runs}
    raw["defaults"]["training"] |= {"epochs": 5, "samples_per_epoch": 1280, "batch_size": 64, "attack_steps": 2}
    for run in raw["runs"].values():
        run.get("training", {}).pop("epochs", None)
        for quantity in run.get("track", {}).values():
            quantity |= {"last_epoch": 2} if "last_epoch" in quantity else {}
    for attack in raw["attacks"].values():
        attack |= {"steps": 2} if "steps" in attack else {}
        attack |= {"runs": [run for run in attack["runs"] if run in runs]} if "runs" in attack else {}
    raw["reports"] = dict(trimmed_reports(raw["reports"], runs))
    return raw


def trimmed_reports(reports, runs):
    """Yield the reports over the runs that are left."""
    for name, report in reports.items():
        left = {**report}
        if "lines" in report:
            lines = {label: [run for run in names if run in runs] for label, names in report["lines"].items()}
            left["lines"] = {label: names for label, names in lines.items() if names}
        if "runs" in report:
            left["runs"] = [run for run in report["runs"] if run in runs]
        if report.get("baseline") not in runs and "baseline" in report:
            left["baseline"] = "trades"
        left.pop("control", None)
        left.pop("frontiers", None)
        if left.get("runs", True) and left.get("lines", True):
            yield name, left


@pytest.fixture(scope="module", params=["digits", "fashion"])
def finished_miniature(request, make_checkout):
    """A checkout whose miniature has run to its end, and the miniature."""
    checkout = make_checkout()
    raw = miniature(read_study_file(FILES[request.param]), KEPT_RUNS[request.param])
    (checkout.folder / "miniature.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    result = checkout.run(study="miniature.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout.folder / "results" / raw["study"], raw


def kept(results: Path, run: str) -> set[int]:
    with h5py.File(results / f"selections/{run}/seed0.h5") as file:
        return set(file["rows"][...].tolist())


def scores(results: Path, score: str):
    with h5py.File(results / f"scores/{score}/seed0.h5") as file:
        return file["score"][...]


def labels(results: Path, raw: Mapping):
    (pool,) = raw["pools"]
    with h5py.File(results / f"pools/{pool}/seed0.h5") as file:
        return file["labels"][...]


def test_every_run_report_and_epsilon_is_there(finished_miniature):
    results, raw = finished_miniature
    table = pd.read_csv(results / "results.csv")
    assert set(table.run) == set(raw["runs"])
    assert set(table.attack) == {"none", *raw["attacks"]}
    for name in raw["reports"]:
        assert all((results / f"reports/{name}.{suffix}").stat().st_size > 0 for suffix in ("csv", "md", "png", "svg"))


def test_easycore_keeps_the_rows_of_lowest_input_gradient_norm_in_each_class(finished_miniature):
    results, raw = finished_miniature
    score, run = (
        ("aign", "natural-easycore-keep30") if "easycore-keep30" in raw["runs"] else ("aign-mlp", "natural-mlp-keep30")
    )
    rows, aign, classes = kept(results, run), scores(results, score), labels(results, raw)
    for label in range(10):
        of_class = np.flatnonzero(classes == label)
        inside = [row for row in of_class if row in rows]
        expected = len(of_class) - round(0.7 * len(of_class))
        assert set(inside) == set(of_class[np.argsort(aign[of_class])][:expected].tolist())


def test_the_same_rows_are_trained_on_naturally_and_under_trades(finished_miniature):
    results, raw = finished_miniature
    if "easycore-keep30" in raw["runs"]:
        assert kept(results, "natural-easycore-keep30") == kept(results, "easycore-keep30")


def test_a_lower_epsilon_fools_no_more_images(finished_miniature):
    """In the mean over runs: an attack is no proof, so single images may differ."""
    results, raw = finished_miniature
    table = pd.read_csv(results / "results.csv").groupby("attack").value.mean()
    (lower,) = (name for name, attack in raw["attacks"].items() if "epsilon" in attack)
    assert table["none"] >= table[lower] >= table["cw"]

"""Reports of a finished study: each builds only what it needs, and seconds come from the jobs themselves."""

import json
import os

import pandas as pd
import pytest

from pumalib.evaluation.table import read_attack

NEW = {
    "curves": {"kind": "training_curves", "runs": ["puma"], "baseline": "trades"},
    "ratio": {"kind": "ratio_curves", "lines": {"all": ["trades", "puma"]}, "attack": "cw"},
    "frontier": {"kind": "trade_off", "baseline": "trades", "attack": "cw", "frontiers": {"knob": ["trades", "puma"]}},
    "cost": {"kind": "cost", "baseline": "trades", "seconds": True},
    "cost-frontier": {"kind": "cost_frontier", "baseline": "trades", "attack": "cw"},
    "classes": {"kind": "margin_classes", "score": "margin"},
    "epsilons": {"kind": "epsilon_distribution", "runs": ["puma", "trades"]},
    "pruned": {"kind": "pruned_rows", "run": "puma", "count": 4},
    "look": {"kind": "browse", "run": "puma", "score": "margin", "attacks": ["cw"]},
}


@pytest.fixture
def reported(finished):
    """The finished checkout and a study with more reports; what they write is removed afterwards."""

    def add(raw):
        raw["reports"] |= NEW

    yield finished, finished.study("reports.yaml", add)
    for name in NEW:
        for path in (finished.folder / "results/tiny/reports").glob(f"*{name}.*"):
            path.unlink()
    assert finished.planned() == set()


@pytest.mark.slow
def test_new_reports_need_no_job_but_their_own_and_seconds_are_those_of_the_jobs(reported):
    checkout, study = reported
    assert checkout.planned(study) == {f"report {name}" for name in NEW} | {"page of tiny"}
    result = checkout.run(*NEW, study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    reports = checkout.folder / "results/tiny/reports"
    for name in NEW:
        assert all((reports / f"{name}.{suffix}").stat().st_size > 0 for suffix in ("csv", "md", "png", "svg"))
    costs = pd.read_csv(reports / "cost.csv", keep_default_na=False).set_index(["run", "part", "name"])
    trained = {run: seconds_of_training(checkout.folder / "results/tiny", run) for run in ("trades", "puma")}
    assert float(costs.loc[("puma", "training", "puma"), "seconds"]) == pytest.approx(trained["puma"])
    assert float(costs.loc[("puma", "margin model", "trades"), "seconds"]) == pytest.approx(trained["trades"])
    assert set(costs.loc["puma"].index.get_level_values("part")) == {
        "training",
        "margin model",
        "score",
        "evaluation",
        "whole",
    }


def seconds_of_training(results, run):
    """Read what Snakemake measured; where another test let the job take its result back, what its first run took."""
    if "took back" in (results / f"logs/models/{run}/seed0.log").read_text():
        return json.loads((results / f"work/models/{run}/seed0.kept/record.json").read_text())["seconds"]
    return pd.read_csv(results / f"benchmarks/models/{run}/seed0.tsv", sep="\t")["s"].iloc[0]


@pytest.mark.slow
def test_a_missing_benchmark_is_made_again_only_for_a_report_that_asks_for_seconds(reported):
    checkout, study = reported
    benchmark = checkout.folder / "results/tiny/benchmarks/attacks/puma/seed0/cw.tsv"
    content, status = benchmark.read_bytes(), benchmark.stat()
    benchmark.unlink()
    try:
        assert checkout.planned() == set()
        assert "attack puma" in checkout.planned(study)
    finally:
        benchmark.write_bytes(content)
        os.utime(benchmark, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_a_page_of_pictures_is_linked_and_stands_in_the_report_of_snakemake_unless_it_is_large(reported, tmp_path):
    checkout, study = reported
    assert checkout.run(study=study).returncode == 0
    results = checkout.folder / "results/tiny"
    page = results / "reports/look.html"
    assert "(reports/look.html) has every row as a picture" in (results / "README.md").read_text()
    assert (results / "reports/curves.html").read_text().startswith("<!doctype html>")
    for size, is_inside in ((page.stat().st_size, True), (1_500_001, False)):
        os.truncate(page, size)
        assert checkout.run("--report", str(tmp_path / "report.html"), study=study).returncode == 0
        shown = '"results/tiny/reports/look.html": {' in (tmp_path / "report.html").read_text()
        assert shown == is_inside
    page.unlink()
    assert checkout.planned(study) == {"report look", "page of tiny"}
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    assert page.stat().st_size < 1_500_000
    checkout.edit("pumalib/browsing/data.js", '"use strict";', '"use strict"; // edited')
    assert "report look" in checkout.planned(study)
    checkout.edit("pumalib/browsing/data.js", '"use strict"; // edited', '"use strict";')
    assert checkout.planned(study) == set()
    assert checkout.run().returncode == 0  # the page of the study as it was


@pytest.mark.slow
def test_robustness_curves_attack_their_runs_and_a_study_can_name_attacks_against_masking(finished):
    def add(raw):
        raw["attacks"] |= {"shortest": {"method": "minimum_norm"}, "square": {"method": "square", "queries": 20}}
        raw["reports"]["robustness"] = {"kind": "robustness_curves", "runs": ["puma"], "attack": "shortest"}

    study = finished.study("robustness.yaml", add)
    results = finished.folder / "results/tiny"
    try:
        result = finished.run("robustness", "results/tiny/attacks/puma/seed0/square.h5", study=study)
        assert result.returncode == 0, result.stdout + result.stderr
        curve = pd.read_csv(results / "reports/robustness.csv")
        attacked = {name: read_attack(results / f"attacks/puma/seed0/{name}.h5") for name in ("shortest", "square")}
        assert not (results / "attacks/trades/seed0/shortest.h5").exists()
    finally:
        for path in [*results.glob("*/puma/seed0/s*.h5"), *results.glob("reports/*robustness.*")]:
            path.unlink()
    assert curve["mean"].iloc[0] == attacked["square"].clean_accuracy
    assert curve["mean"].iloc[50] == attacked["shortest"].robust_accuracy
    assert attacked["square"].robust_accuracy <= attacked["square"].clean_accuracy
    assert finished.planned() == set()


@pytest.fixture
def contrasted(finished):
    """The finished checkout and a study with a primary contrast; the reports of before are put back afterwards."""

    def add(raw):
        raw["primary"] = {"run": "puma", "against": "trades", "metric": "robust_accuracy", "attack": "cw", "margin": 1}

    yield finished, finished.study("primary.yaml", add)
    for path in (finished.folder / "results/tiny/reports").glob("*primary.*"):
        path.unlink()
    assert finished.run().returncode == 0
    assert finished.planned() == set()


@pytest.mark.slow
def test_a_primary_contrast_remakes_pages_alone_and_its_verdict_heads_them(contrasted, tmp_path):
    checkout, study = contrasted
    assert checkout.planned(study) == {"report primary", "report table", "page of tiny"}
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    results = checkout.folder / "results/tiny"
    row = pd.read_csv(results / "reports/primary.csv").iloc[0]
    tables = [read_attack(results / f"attacks/{run}/seed0/cw.h5") for run in ("puma", "trades")]
    puma, trades = ((table.adversarial_prediction == table.label).mean() for table in tables)
    assert row["difference"] == pytest.approx(puma - trades)
    verdict = "**Primary contrast: cannot be told.** `puma` against `trades`, robust accuracy (cw):"
    for page in ("README.md", "reports/primary.md", "reports/table.md"):
        assert verdict in (results / page).read_text()
    assert "fewer than 5 seeds support no claim" in (results / "README.md").read_text()
    result = checkout.run("--report", str(tmp_path / "report.html"), study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "report.html").read_text()
    assert "1 Primary contrast" in page
    assert "Primary contrast: cannot be told." in page

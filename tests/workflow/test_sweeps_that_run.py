"""What a sweep makes and what it leaves: real Snakemake runs on a tiny study."""

import re

import pytest

REPORTS = {"results of tiny", "report table", "page of tiny"}


def jobs_of(*runs):
    return {f"{job} {run}" for run in runs for job in ("select rows of", "train", "attack")}


def with_sweep(betas):
    def change(raw):
        raw["runs"]["tuned"] = {"sweep": {"training.beta": betas, "training.epochs": [2]}}

    return change


def swept_alone(raw):
    """Leave one sweep of two runs, on real rows alone."""
    del raw["generators"], raw["scores"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["defaults"]["training"] |= {"epochs": 1, "samples_per_epoch": 640}
    raw["runs"] = {"tuned": {"sweep": {"training.beta": [1, 5]}}}
    raw["attacks"] = {"cw": {"method": "cw_pgd", "steps": 2}}
    frontiers = {"beta": ["tuned"]}
    raw["reports"] = {
        "table": {"kind": "comparison", "baseline": "tuned-beta-5"},
        "figure": {"kind": "trade_off", "baseline": "tuned-beta-5", "attack": "cw", "frontiers": frontiers},
    }


def trained(checkout, study):
    """Return the run and seed of each training that Snakemake plans."""
    result = checkout.run("--dry-run", study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    text = result.stdout + result.stderr
    return {(match[1], match[2]) for match in re.finditer(r"^Job \d+: train (\S+), seed (\d+)$", text, re.MULTILINE)}


def test_a_sweep_plans_its_own_runs_and_no_other(finished):
    one = finished.study("one.yaml", with_sweep([1]))
    assert finished.planned(one) == jobs_of("tuned-beta-1-epochs-2") | REPORTS
    two = finished.study("two.yaml", with_sweep([1, 5]))
    assert finished.planned(two) == jobs_of("tuned-beta-1-epochs-2", "tuned-beta-5-epochs-2") | REPORTS


def test_a_mistake_in_a_sweep_ends_the_run_before_any_job(make_checkout):
    checkout = make_checkout()
    result = checkout.run(study=checkout.study("wrong.yaml", with_sweep([1, "x"])))
    assert result.returncode != 0
    told = result.stdout + result.stderr
    assert "Error: expected beta to be a number, got 'x' at runs.tuned.sweep.training.beta (" in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_value_or_a_seed_added_to_a_sweep_trains_only_what_is_new(make_checkout):
    checkout = make_checkout()
    assert checkout.run(study=checkout.study("tiny.yaml", swept_alone)).returncode == 0
    models = sorted((checkout.folder / "results/tiny/models").rglob("model.safetensors"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in models}
    assert [path.parts[-3] for path in models] == ["tuned-beta-1", "tuned-beta-5"]
    table = (checkout.folder / "results/tiny/reports/table.csv").read_text()
    assert "tuned-beta-1" in table
    more = checkout.study("more.yaml", lambda raw: raw["runs"]["tuned"]["sweep"].update({"training.beta": [1, 3, 5]}))
    assert trained(checkout, more) == {("tuned-beta-3", "0")}
    seeds = checkout.study("seeds.yaml", lambda raw: raw.update(seeds=[0, 1]))
    assert trained(checkout, seeds) == {("tuned-beta-1", "1"), ("tuned-beta-5", "1")}
    result = checkout.run(study=more)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in models} == before
    assert trained(checkout, more) == set()
    assert "tuned-beta-3" in (checkout.folder / "results/tiny/reports/table.csv").read_text()

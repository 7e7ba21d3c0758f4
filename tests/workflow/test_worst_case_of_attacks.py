"""A worst case over attacks in a study: planned beside its attacks, made from their tables, and read like any other."""

import json
import re
import sys

import h5py
import numpy as np
import pandas as pd
import pytest

RESULTS = "results/tiny"


def change(raw):
    """Leave out all that the worst case does not need, and add it."""
    del raw["generators"], raw["scores"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["defaults"]["training"]["samples_per_epoch"] = 640
    raw["runs"] = {"trades": {}, "other": {"repetition": 1}}
    raw["attacks"] = {
        "cw": {"method": "cw_pgd", "steps": 1},
        "square": {"method": "square", "queries": 20},
        "worst": {"method": "worst_of", "attacks": ["cw", "square"]},
    }
    raw["reports"] = {"table": {"kind": "comparison", "baseline": "trades"}}


def test_a_study_plans_the_worst_case_of_each_run_after_its_attacks(make_checkout):
    checkout = make_checkout()
    planned = checkout.planned(checkout.study("worst.yaml", change))
    assert {"worst case of trades", "worst case of other"} <= planned
    assert {job for job in planned if job.startswith("attack ")} == {"attack trades", "attack other"}
    told = checkout.run("--dry-run", f"{RESULTS}/attacks/trades/seed0/worst.h5", study="worst.yaml").stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", told, re.MULTILINE))
    assert (jobs["model"], jobs["attack"], jobs["worst_attack"]) == ("1", "2", "1")


@pytest.fixture(scope="module")
def done(make_checkout):
    checkout = make_checkout()
    result = checkout.run(study=checkout.study("worst.yaml", change))
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


@pytest.mark.slow
def test_results_reports_and_trace_take_the_worst_case_like_any_attack(done):
    folder = done.folder / RESULTS
    results = pd.read_csv(folder / "results.csv").set_index(["run", "attack"])["value"]
    for run in ("trades", "other"):
        tables = {name: h5py.File(folder / f"attacks/{run}/seed0/{name}.h5") for name in ("cw", "square", "worst")}
        right = {name: file["adversarial_prediction"][...] == file["label"][...] for name, file in tables.items()}
        np.testing.assert_array_equal(right["worst"], right["cw"] & right["square"])
        assert results[run, "worst"] == pytest.approx(right["worst"].mean())
    assert "worst" in (folder / "reports/table.md").read_text()
    chain = told(done, "trace", f"{RESULTS}/attacks/trades/seed0/worst.h5")
    assert chain["problems"] == []
    paths = json.dumps(chain["chain"])
    assert all(f"{RESULTS}/{path}" in paths for path in ("attacks/trades/seed0/square.h5", "datasets/digits/seed0.h5"))
    line = told(done, "trace", f"{RESULTS}/results.csv", "--run", "trades", "--attack", "worst")
    assert line["problems"] == []
    facts = told(done, "inspect", f"{RESULTS}/attacks/trades/seed0/worst.h5")["facts"]
    assert facts["robust_accuracy"] == results["trades", "worst"]


@pytest.mark.slow
def test_a_worst_case_is_made_again_when_one_of_its_tables_changes(done):
    assert done.planned("worst.yaml") == set()

    def longer(raw):
        change(raw)
        raw["attacks"]["square"]["queries"] = 21

    planned = done.planned(done.study("longer.yaml", longer))
    assert {"attack trades", "worst case of trades", "results of tiny", "report table"} <= planned
    assert not any(job.startswith("train") for job in planned)


def told(checkout, *arguments):
    command = [sys.executable, "-m", "pumalib", *arguments, "--json"]
    finished = checkout.call(command)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads(finished.stdout)

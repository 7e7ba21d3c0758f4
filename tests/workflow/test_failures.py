"""A user's mistakes through the real command line: one clear error, a status other than 0, nothing half-written."""

import os
import re
import sys

import h5py
import pytest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(sedes=[0]), 'expected a known key, got "sedes"; did you mean "seeds"?'),
        (lambda raw: raw["scores"]["margin"].update(model="trade"), 'got "trade"; did you mean "trades"?'),
        (lambda raw: raw["runs"]["puma"]["prune"][0].update(fraction=1.2), "runs.puma.prune[0].fraction"),
    ],
)
def test_a_wrong_study_is_refused_before_any_job(make_checkout, change, message):
    checkout = make_checkout()
    result = checkout.run(study=checkout.study("wrong.yaml", change))
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert message in output
    assert "wrong.yaml" in output
    assert "Traceback" not in output
    assert not (checkout.folder / "results").exists()


def test_make_run_shows_the_message_of_a_failed_job_last(make_checkout):
    checkout = make_checkout()
    checkout.pretend_installed()
    study = checkout.study("cut.yaml", cut_to_the_bone)
    result = checkout.call(["make", "run", f"STUDY={study}"])
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith("make")]
    assert result.returncode != 0
    assert lines[-2].startswith("Error: expected every class to keep a row, got none of class")
    assert lines[-1].strip() == "log: results/tiny/logs/selections/puma/seed0.log"
    assert "Traceback" not in result.stdout + result.stderr
    assert not (checkout.folder / "results/tiny/selections/puma/seed0.h5").exists()
    assert not list((checkout.folder / "results").rglob("*.part"))


def cut_to_the_bone(raw):
    """Prune all but 12 of 300 rows, which leaves a class without one, and leave out what does not lead there."""
    del raw["generators"], raw["scores"], raw["reports"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["runs"] = {"puma": {"prune": [{"by": "random", "fraction": 0.96}]}}


@pytest.mark.slow
def test_snakemake_too_shows_the_message_of_a_failed_job_last(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "my_scores.py").write_text("def score(model, images, labels):\n    return unknown_name\n")

    def change(raw):
        raw["scores"]["margin"] = {"method": "my_scores:score", "model": "trades", "higher_is": "harder"}
        raw["runs"]["puma"]["epsilon"] = {"policy": "fixed"}
        del raw["reports"]["margins"]

    result = checkout.run("results/tiny/scores/margin/seed0.h5", study=checkout.study("raises.yaml", change))
    log = "results/tiny/logs/scores/margin/seed0/shard0.log"
    lines = [line for line in result.stderr.splitlines() if line]
    assert result.returncode != 0
    assert lines[-2].startswith("Error: expected scores from my_scores:score, it raised NameError: name 'unknown_name'")
    assert lines[-2].endswith("my_scores.py, line 2)")
    assert lines[-1] == f"  log: {log}"
    assert "Traceback" not in result.stdout + result.stderr
    assert "image/s" not in result.stdout + result.stderr
    assert "Traceback" in (checkout.folder / log).read_text()


@pytest.mark.slow
def test_a_training_shows_one_progress_line_in_a_terminal_and_none_elsewhere(make_checkout):
    checkout = make_checkout()
    command = " ".join(checkout.command("results/tiny/models/trades/seed0/model.safetensors", study="tiny.yaml"))
    result = checkout.call(["script", "-qec", f"stty cols 100 rows 40; {command}", "/dev/null"])
    assert result.returncode == 0, result.stdout
    assert re.search(r"trades/0: 100%.*\[.*<.*image/s", result.stdout)
    assert "image/s" not in "".join(
        path.read_text().replace("images/s", "") for path in (checkout.folder / "results/tiny/logs").rglob("*.log")
    )


@pytest.mark.slow
def test_a_damaged_dataset_is_named_by_the_job_that_meets_it(make_checkout):
    checkout = make_checkout()
    assert checkout.run("results/tiny/datasets/digits/seed0.h5").returncode == 0
    dataset = checkout.folder / "results/tiny/datasets/digits/seed0.h5"
    os.truncate(dataset, dataset.stat().st_size // 2)
    result = checkout.run("results/tiny/generators/edm/seed0/model.safetensors")
    assert result.returncode != 0
    assert "got a truncated or damaged HDF5 file at results/tiny/datasets/digits/seed0.h5" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (checkout.folder / "results/tiny/generators/edm/seed0/model.safetensors").exists()


def test_a_missing_source_of_a_pool_is_noticed_where_h5py_reads_zeros(finished):
    source = finished.folder / "results/tiny/synthetic/digits+100/seed0.h5"
    pool = finished.folder / "results/tiny/pools/digits+100/seed0.h5"
    hidden = source.rename(source.with_suffix(".hidden"))
    try:
        with h5py.File(pool) as file:
            assert not file["images"][-100:].any()
        script = f"from pumalib import open_pool; open_pool({str(pool)!r})"
        result = finished.call([sys.executable, "-c", script])
        assert f"expected {source}, a source of the pool" in result.stderr
    finally:
        hidden.rename(source)

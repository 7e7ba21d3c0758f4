"""What reruns after which edit: real Snakemake runs on a tiny study."""

import os
import shutil
import time

import pytest

REPORTS = {"results of tiny", "report table", "page of tiny"}
MARGINS = {"score margin", "join score margin", "report margins"}
PUMA = {"select rows of puma", "train puma", "attack puma"}


@pytest.fixture
def restored(finished):
    """The finished checkout; its code is put back afterwards."""
    backup = finished.folder.with_name(f"{finished.folder.name}-backup")
    shutil.copytree(finished.folder / "pumalib", backup)
    yield finished
    shutil.rmtree(finished.folder / "pumalib")
    shutil.move(backup, finished.folder / "pumalib")
    assert finished.planned() == set()


def test_second_run_has_nothing_to_do(finished):
    result = finished.run()
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout + result.stderr


def test_changing_attack_steps_reruns_that_evaluation_only(finished):
    study = finished.study("steps.yaml", lambda raw: raw["attacks"]["cw"].update(steps=4))
    assert finished.planned(study) == {"attack trades", "attack puma"} | REPORTS


def test_naming_a_tracker_reruns_nothing(finished):
    own = finished.folder / "mine.py"
    own.write_text("class Mine:\n    begin = log = finish = print\n")
    assert finished.planned(finished.study("tracked.yaml", lambda s: s.update(tracker="mine:Mine"))) == set()
    own.unlink()


def test_leaving_runs_out_of_an_attack_attacks_none_again(finished):
    def add(raw):
        raw["attacks"]["pgd"] = {"method": "pgd", "steps": 2, "runs": ["puma"]}

    assert finished.planned(finished.study("added.yaml", add)) == {"attack puma"} | REPORTS
    named = finished.study("named.yaml", lambda raw: raw["attacks"]["cw"].update(runs=["trades", "puma"]))
    assert finished.planned(named) == {"page of tiny"}  # which lists the settings


def test_changing_a_pruned_fraction_reruns_that_selection_onward(finished):
    study = finished.study("fraction.yaml", lambda raw: raw["runs"]["puma"]["prune"][0].update(fraction=0.15))
    assert finished.planned(study) == PUMA | REPORTS | {"report margins"}


def test_changing_the_learning_rate_of_the_baseline_reruns_margins_too(finished):
    study = finished.study("rate.yaml", lambda raw: raw["runs"].update(trades={"training": {"learning_rate": 0.05}}))
    assert finished.planned(study) == {"train trades", "attack trades"} | MARGINS | PUMA | REPORTS


def test_changing_sampling_steps_does_not_retrain_the_generator(finished):
    study = finished.study("sampling.yaml", lambda raw: raw["generators"]["edm"].update(sampling_steps=4))
    planned = finished.planned(study)
    assert "synthetic set of pool digits+100" in planned
    assert not any(name.startswith("train generator") for name in planned)


def test_editing_deepfool_reruns_margins_onward_but_not_the_margin_model(restored):
    restored.edit("pumalib/attacks/deepfool.py", "slack[rows] = walk", "slack[rows] = 1.0 * walk")
    assert restored.planned() == MARGINS | PUMA | REPORTS


def test_editing_trades_reruns_every_trades_training(restored):
    restored.edit(
        "pumalib/training/methods/trades.py",
        "natural + settings.beta * robust",
        "natural + settings.beta * robust * 1.0",
    )
    planned = restored.planned()
    assert {"train trades", "train puma"} <= planned
    assert not any(name.startswith(("dataset", "pool", "synthetic", "train generator")) for name in planned)


def test_editing_a_comment_or_a_docstring_reruns_nothing(restored):
    restored.edit("pumalib/attacks/deepfool.py", "import dataclass, replace\n", "import dataclass, replace  # frozen\n")
    restored.edit("pumalib/data/pool.py", "Open a pool for reading.", "Open a pool to read it.")
    assert restored.planned() == set()


def test_moved_modification_times_rerun_nothing(finished):
    now = time.time() + 60
    for folder in ("pumalib", "rules", "workflow_scripts"):
        for path in (finished.folder / folder).rglob("*.*"):
            os.utime(path, (now, now))
    for name in ("Snakefile", "tiny.yaml", "config.yaml"):
        os.utime(finished.folder / name, (now, now))
    assert finished.planned() == set()


def test_deleting_a_model_reruns_that_model_onward(finished):
    weights = finished.folder / "results/tiny/models/puma/seed0/model.safetensors"
    content, status = weights.read_bytes(), weights.stat()
    weights.unlink()
    assert finished.planned() == {"train puma", "attack puma"} | REPORTS
    weights.write_bytes(content)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert finished.planned() == set()


@pytest.mark.slow
def test_every_file_of_the_study_is_made_again_once_deleted(finished):
    """Attack tables, generators, shards and tracks have files after them that are still there."""
    results = finished.folder / "results/tiny"
    made = sorted(path for path in results.rglob("*") if path.is_file() and not _is_beside(path.relative_to(results)))
    before = {path: path.read_bytes() for path in made}
    groups = {path.relative_to(results).parts[0] for path in made}
    assert {"attacks", "datasets", "generators", "models", "pools", "scores", "selections", "synthetic"} <= groups
    for path in made:
        if path.relative_to(results).parts[0] in ("attacks", "generators") or path.name.startswith(("shard", "track")):
            path.unlink()
    assert finished.run().returncode == 0
    assert {path: path.read_bytes() for path in made} == before


def _is_beside(path):
    return path.parts[0] in ("logs", "benchmarks", "work")


@pytest.mark.slow
def test_training_whose_selection_comes_out_the_same_costs_no_step(finished):
    """37 of 370 rows go at 0.1 and at 0.1001: another selection file, the same rows and epsilons."""
    results = finished.folder / "results/tiny"
    weights, log = results / "models/puma/seed0/model.safetensors", results / "logs/models/puma/seed0.log"
    before, selection = weights.read_bytes(), (results / "selections/puma/seed0.h5").read_bytes()
    study = finished.study("same.yaml", lambda raw: raw["runs"]["puma"]["prune"][0].update(fraction=0.1001))
    assert finished.planned(study) >= PUMA
    assert finished.run(study=study).returncode == 0
    assert (results / "selections/puma/seed0.h5").read_bytes() != selection
    assert "took back the result" in log.read_text()
    assert "images/s" not in log.read_text()
    assert weights.read_bytes() == before
    assert finished.planned(study) == set()
    assert finished.run().returncode == 0
    assert (results / "selections/puma/seed0.h5").read_bytes() == selection


@pytest.mark.slow
def test_training_whose_selection_changes_is_done_anew(finished):
    results = finished.folder / "results/tiny"
    before = (results / "models/puma/seed0/model.safetensors").read_bytes()
    study = finished.study("other-rows.yaml", lambda raw: raw["runs"]["puma"]["prune"][0].update(fraction=0.2))
    assert finished.run(study=study).returncode == 0
    assert (results / "models/puma/seed0/model.safetensors").read_bytes() != before
    assert finished.run().returncode == 0
    assert (results / "models/puma/seed0/model.safetensors").read_bytes() == before


def test_a_study_given_by_configfile_inherits_nothing_from_the_default(finished):
    study = finished.study("other.yaml", lambda raw: raw.update(study="other"))
    planned = finished.planned(study)
    assert not any("random-20" in name or "pe-20" in name for name in planned)
    assert {"train trades", "train puma", "results of other"} <= planned


def test_the_default_study_is_planned_without_a_configfile(finished):
    planned = finished.planned(study="")
    assert {"train random-20", "train control-20", "results of digits"} <= planned


def test_a_report_is_a_target_that_builds_only_what_it_needs(make_checkout):
    checkout = make_checkout()
    study = checkout.study("alone.yaml", lambda raw: raw["reports"]["table"].update(runs=["trades"]))
    result = checkout.run("--dry-run", "table", study=study)
    text = result.stdout + result.stderr
    assert "train trades" in text
    assert "train puma" not in text
    assert "score margin" not in text


def test_editing_a_kind_of_report_redraws_its_reports_only(restored):
    kind = restored.folder / "pumalib/reporting/kinds/margin_histogram.py"
    kind.write_text(f"{kind.read_text()}\nEDITED = 1\n")
    assert restored.planned() == {"report margins", "page of tiny"}

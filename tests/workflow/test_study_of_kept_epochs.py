"""Kept epochs in a real study: a report of them builds what it needs, and an edit makes again what depends on it."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from pumalib.evaluation.table import read_attack
from pumalib.models.trained import load_trained

pytestmark = pytest.mark.slow

RESULTS = "results/tiny"
EPOCHS = {f"attack trades after epoch {epoch}" for epoch in (1, 2, 3)}
REPORT = {"report curves", "page of tiny"}


def change(raw):
    """Leave out all that kept epochs do not need, and add them."""
    del raw["generators"], raw["scores"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["defaults"]["training"]["samples_per_epoch"] = 640
    raw["runs"] = {
        "trades": {"training": {"keep_every": 1}},
        "best": {"training": {"checkpoint": "best", "keep_every": 2}},
        "plain": {},
    }
    raw["attacks"] = {
        "cw": {"method": "cw_pgd", "steps": 3},
        "held-out": {"method": "cw_pgd", "steps": 3, "split": "validation", "runs": []},
    }
    raw["reports"] = {"curves": {"kind": "kept_epochs", "runs": ["trades"], "attack": "held-out"}}


def changed(checkout, name, edit):
    """Write a copy of the study with another edit on top."""

    def both(raw):
        change(raw)
        edit(raw)

    return checkout.study(name, both)


@pytest.fixture(scope="module")
def kept(make_checkout):
    """A checkout in which the report was built alone, then the rest of the study."""
    checkout = make_checkout()
    study = checkout.study("kept.yaml", change)
    alone = checkout.run("curves", study=study)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    made = {str(path.relative_to(checkout.folder / RESULTS)) for path in (checkout.folder / RESULTS).rglob("*.h5")}
    (checkout.folder / "alone.json").write_text(json.dumps(sorted(path for path in made if "work/" not in path)))
    whole = checkout.run(study=study)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    return checkout


def test_the_report_alone_trains_its_run_and_attacks_its_epochs_and_nothing_else(kept):
    attacks = [f"attacks/trades/seed0/held-out/epoch{epoch}.h5" for epoch in (1, 2, 3)]
    others = ["datasets/digits/seed0.h5", "models/trades/seed0/track.h5", "pools/digits/seed0.h5"]
    assert json.loads((kept.folder / "alone.json").read_text()) == [*attacks, *others, "selections/trades/seed0.h5"]
    table = pd.read_csv(kept.folder / RESULTS / "reports/curves.csv")
    rows = table[table["checkpoint"] == "kept"].set_index("epoch")
    for epoch, path in zip((1, 2, 3), attacks, strict=True):
        attack = read_attack(kept.folder / RESULTS / path)
        assert attack.split == "validation"
        assert rows.loc[epoch, "robust_accuracy_mean"] == pytest.approx(attack.robust_accuracy)
    assert "held-out" not in set(pd.read_csv(kept.folder / RESULTS / "results.csv")["attack"])


def test_nothing_is_to_be_done_again_and_the_best_model_names_its_epoch(kept):
    assert kept.planned("kept.yaml") == set()
    folder = kept.folder / RESULTS / "models/best/seed0"
    history = pd.read_csv(folder / "history.csv").set_index("epoch")
    assert load_trained(folder / "model.safetensors", "cpu").epoch == history["robust_accuracy"].idxmax()


def test_an_edit_of_the_attack_attacks_kept_epochs_again_and_no_model(kept):
    study = changed(kept, "steps.yaml", lambda raw: raw["attacks"]["held-out"].update(steps=4))
    assert kept.planned(study) == EPOCHS | REPORT


def test_a_table_that_was_deleted_is_made_again_alone(kept):
    table = kept.folder / RESULTS / "attacks/trades/seed0/held-out/epoch2.h5"
    content, status = table.read_bytes(), table.stat()
    table.unlink()
    assert kept.planned("kept.yaml") == {"attack trades after epoch 2"} | REPORT
    table.write_bytes(content)
    os.utime(table, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert kept.planned("kept.yaml") == set()


def test_another_number_of_epochs_kept_trains_that_run_alone(kept):
    study = changed(kept, "fewer.yaml", lambda raw: raw["runs"]["best"]["training"].update(keep_every=1))
    assert kept.planned(study) == {"train best", "attack best", "results of tiny", "page of tiny"}


def test_the_chain_of_a_kept_epoch_leads_to_its_weights_and_on_to_the_dataset(kept):
    path = f"{RESULTS}/attacks/trades/seed0/held-out/epoch2.h5"
    chain = told(kept, "trace", path)
    assert chain["problems"] == []
    assert f"{RESULTS}/models/trades/seed0/epoch2.safetensors" in json.dumps(chain["chain"])
    weights = told(kept, "inspect", f"{RESULTS}/models/trades/seed0/epoch2.safetensors")
    history = pd.read_csv(kept.folder / RESULTS / "models/trades/seed0/history.csv").set_index("epoch")
    assert weights["facts"]["epoch"] == 2
    assert weights["facts"]["epoch 2 robust_accuracy"] == pytest.approx(history.loc[2, "robust_accuracy"])


def told(checkout, *arguments):
    command = [sys.executable, "-m", "pumalib", *arguments, "--json"]
    finished: subprocess.CompletedProcess[str] = checkout.call(command)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads(finished.stdout)


@pytest.mark.slow
def test_keeping_more_epochs_changes_no_model_and_attacks_none_that_stayed_the_same(kept):
    results = kept.folder / RESULTS
    before = {path: path.read_bytes() for path in results.glob("models/*/seed0/*.safetensors")}

    def keep(raw):
        raw["runs"]["trades"]["training"]["keep_every"] = 2
        raw["runs"]["plain"] = {"training": {"keep_every": 3}}

    study = changed(kept, "other.yaml", keep)
    run = kept.run(study=study)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "images/s" in (results / "logs/models/trades/seed0.log").read_text()
    for log in ("trades/seed0/held-out/epoch2.log", "trades/seed0/held-out/epoch3.log", "plain/seed0/cw.log"):
        assert "took back the result" in (results / "logs/attacks" / log).read_text()
    assert (results / "models/plain/seed0/epoch3.safetensors").is_file()
    assert {path: path.read_bytes() for path in before if path.is_file()}.items() <= before.items()
    assert kept.run(study="kept.yaml").returncode == 0
    assert {path: path.read_bytes() for path in before} == before

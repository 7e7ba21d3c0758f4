"""Table 3 and its twin: valid, planned whole before any job, and the same but for their size."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from photographs import jpeg, put
from stand_ins import write_class_tree, write_words

from pumalib.study.file import load_study
from pumalib.study.study import Study

STUDIES = Path(__file__).parents[2] / "studies"
PAPER, TWIN = STUDIES / "paper-imagenet21k.yaml", STUDIES / "tiny-imagenet.yaml"
LEARNED = STUDIES / "tiny-imagenet-rdl.yaml"
NUM_TESTED = 2016


@pytest.fixture(scope="module")
def checkout(make_checkout):
    """A checkout with both studies, and stand-ins for their files: a tree of as many groups, and a few images."""
    made = make_checkout()
    for path in (PAPER, TWIN, LEARNED):
        shutil.copy(path, made.folder / path.name)
    data = made.folder / "data"
    classes = write_class_tree(data / "imagenet21k_is_a.txt", 100, 2)
    write_words(data / "imagenet21k_words.txt", classes)
    for name in classes:
        for number in range(6):
            put(data, f"imagenet21k/{name}/{number}.jpg", b"")
    return made


@pytest.fixture(scope="module")
def tiny(checkout):
    """Tiny-ImageNet's layout, of empty files: nothing before the first job reads an image."""
    root = checkout.folder / "data/tiny-imagenet-200"
    classes = write_class_tree(root / "is_a.txt", 16, 3)
    write_words(root / "words.txt", classes)
    (root / "wnids.txt").write_text("\n".join(classes))
    for name in classes:
        (root / f"train/{name}/images").mkdir(parents=True)
        for number in range(630):
            (root / f"train/{name}/images/{name}_{number}.JPEG").touch()
    lines = [f"val_{row}.JPEG\t{classes[row % 48]}\t0\t0\t1\t1" for row in range(NUM_TESTED)]
    put(root, "val/val_annotations.txt", "\n".join(lines).encode())
    (root / "val/images").mkdir()
    for row in range(NUM_TESTED):
        (root / f"val/images/val_{row}.JPEG").touch()
    return checkout


def dry_run(checkout, study):
    result = checkout.run("--dry-run", study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    return re.findall(r"^Job \d+: train ([\w-]+), seed \d+", result.stdout + result.stderr, re.MULTILINE)


def test_table_3_is_valid_and_all_of_it_is_planned(checkout):
    trained = dry_run(checkout, "paper-imagenet21k.yaml")
    assert sorted(set(trained)) == ["puma-0", "puma-10", "shuffled-10", "trades", "trades-6"]
    assert len(trained) == 3 * 5


def test_its_settings_are_those_of_appendix_c():
    """The paper's own list, in its words: 107 epochs of 50,000, batches of 64, one-cycle per batch to 0.2, PGD-10."""
    raw = yaml.safe_load(PAPER.read_text())
    training = raw["defaults"]["training"]
    assert {key: training[key] for key in ("epochs", "samples_per_epoch", "batch_size", "learning_rate")} == {
        "epochs": 107, "samples_per_epoch": 50_000, "batch_size": 64, "learning_rate": 0.2,
    }  # fmt: skip
    assert (training["schedule"], training["schedule_unit"], training["attack_steps"]) == ("one_cycle", "step", 10)
    assert raw["defaults"]["architecture"] == "preactresnet-18"
    assert raw["scores"]["margin"]["method"] == "fast_margin"
    assert raw["scores"]["margin"]["model"] == "trades"
    assert raw["threat"] == {"norm": "linf", "epsilon": "8/255"}
    (dataset,) = raw["datasets"].values()
    assert (dataset["image_size"], dataset["classes"]["groups"], dataset["classes"]["largest"]) == (224, 100, 5)
    assert raw["runs"]["puma-10"]["prune"] == [{"by": "margin", "drop": "easiest", "fraction": 0.1}]
    assert "prune" not in raw["runs"]["puma-0"]


def test_its_twin_is_valid_and_has_what_table_3_has(tiny):
    trained = dry_run(tiny, "tiny-imagenet.yaml")
    assert len(trained) == 3 * 7
    paper, twin = (yaml.safe_load(path.read_text()) for path in (PAPER, TWIN))
    for run in ("trades", "puma-0", "puma-10"):
        assert paper["runs"][run].keys() == twin["runs"][run].keys()
    assert paper["scores"]["margin"]["method"] == twin["scores"]["margin"]["method"]
    assert paper["reports"]["table-3"]["runs"] == twin["reports"]["table-3"]["runs"]
    assert paper["primary"] == twin["primary"]


def test_learned_datasets_of_the_same_groups_are_planned(tiny):
    trained = dry_run(tiny, LEARNED.name)
    gate = yaml.safe_load(LEARNED.read_text())["gate"]
    assert {gate["run"], *gate["weaker"]} <= set(trained)
    assert len(trained) == 5 * 13


def test_a_class_that_the_tree_does_not_know_stops_the_run_before_any_job(checkout):
    put(checkout.folder, "data/imagenet21k/unknown/0.jpg", jpeg(0))
    result = checkout.run("--dry-run", study="paper-imagenet21k.yaml")
    assert result.returncode != 0
    told = result.stdout + result.stderr
    assert "expected every class in the class tree data/imagenet21k_is_a.txt, got none of unknown" in told
    assert "Traceback" not in told
    shutil.rmtree(checkout.folder / "data/imagenet21k/unknown")


@pytest.mark.slow
def test_the_cost_of_table_3_is_predicted(checkout):
    command = [sys.executable, "-m", "pumalib", "plan", "paper-imagenet21k.yaml", "--on", "h100", "--json"]
    planned = checkout.call(command)
    assert planned.returncode == 0, planned.stderr
    told = json.loads(planned.stdout)
    passes = {stage["rule"]: stage["passes"] for stage in told["stages"]}
    study = load_study(checkout.folder / "paper-imagenet21k.yaml")
    assert isinstance(study, Study)
    # TRADES: the clean pass and that of the attacked image, both ways, and ten steps of the attack; 15 trainings.
    draws = 15 * 107 * (50_000 // 64) * 64
    assert 22 * draws < passes["model"] < 27 * draws

"""The paper's Tables 1 and 2 from files to page, by the command that makes them, on made-up files of the same form."""

import csv
import shutil
from pathlib import Path

import h5py
import pytest
import torch
from stand_ins import write_cifar10, write_generated

from pumalib.files.artifacts import file_fingerprint
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.study.file import read_study_file

ROOT = Path(__file__).parents[2]
REHEARSAL = "studies/overrides/paper-rehearsal.yaml"
RESULTS = "results/paper-rehearsal"
RUNS = ["trades", "random-22", "pd-12", "pe-22", "pe-pd", "puma-20", "control-20", "shuffled-20"]
OF_THE_GATE = ["trades-eps-4", "trades-eps-6"]
NUM_ROWS = 180 + 1000


def rehearse(checkout, *words):
    """Call `make paper` on files that need not be the published ones."""
    overrides = f"OVERRIDES={REHEARSAL} made-up.yaml"
    return checkout.call(["make", "paper", "CIFAR10=given/cifar", "EDM_1M=given/images.npz", overrides, *words])


@pytest.fixture(scope="module")
def rehearsed(make_checkout):
    """A checkout in which `make paper` has run on one core, and what it printed."""
    checkout = make_checkout()
    shutil.copytree(ROOT / "studies", checkout.folder / "studies")
    checkout.pretend_installed()
    write_cifar10(checkout.folder / "given/cifar")
    write_generated(checkout.folder / "given/images.npz")
    (checkout.folder / "made-up.yaml").write_text("datasets: {cifar10: {published: false}}\n")
    result = rehearse(checkout, "ARGS=--cores 1")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout, result


@pytest.mark.slow
def test_plan_is_printed_before_the_first_job(rehearsed):
    _, result = rehearsed
    assert "10 runs, seeds 0, 1, reports gate, primary, table-1, table-2" in result.stdout
    assert "20 trainings, 4 score shards, 26 attacks, 4 reports" in result.stdout
    for run in (*RUNS, *OF_THE_GATE):
        assert f"  {run:<12}  medium  1,180  5,120  4.3\n" in result.stdout


@pytest.mark.slow
def test_every_stage_ran_for_every_seed(rehearsed):
    checkout, _ = rehearsed
    files = ["datasets/cifar10.h5", "synthetic/medium.h5", "pools/medium.h5", "results.csv", "README.md"]
    for seed in (0, 1):
        files += [f"scores/{score}/seed{seed}.h5" for score in ("margin", "difficulty")]
        for run in (*RUNS, *OF_THE_GATE):
            files += [f"selections/{run}/seed{seed}.h5", f"models/{run}/seed{seed}/model.safetensors"]
            files.append(f"attacks/{run}/seed{seed}/cw.h5")
        files += [f"attacks/{run}/seed{seed}/cw-validation.h5" for run in ("trades", *OF_THE_GATE)]
    for report in ("gate", "primary", "table-1", "table-2"):
        files += [f"reports/{report}.{ending}" for ending in ("csv", "md", "html")]
    assert [file for file in files if not (checkout.folder / RESULTS / file).is_file()] == []


@pytest.mark.slow
def test_pool_holds_the_rows_of_the_given_files_and_cuts_keep_what_they_say(rehearsed):
    checkout, _ = rehearsed
    with h5py.File(checkout.folder / RESULTS / "pools/medium.h5") as pool:
        assert len(pool["labels"]) == NUM_ROWS
    for run, kept in {"trades": NUM_ROWS, "random-22": 920, "puma-20": 944, "control-20": 944}.items():
        with h5py.File(checkout.folder / RESULTS / f"selections/{run}/seed1.h5") as selection:
            assert len(selection["rows"]) == kept
    with h5py.File(checkout.folder / RESULTS / "scores/difficulty/seed0.h5") as score:
        difficulty = score["score"][:]
    for run, kept in {"pe-22": difficulty >= 0.02, "pd-12": difficulty < 1}.items():
        with h5py.File(checkout.folder / RESULTS / f"selections/{run}/seed0.h5") as selection:
            assert selection["rows"][:].tolist() == kept.nonzero()[0].tolist()


@pytest.mark.slow
def test_page_has_the_tables_beside_the_numbers_of_the_paper(rehearsed):
    checkout, _ = rehearsed
    page = (checkout.folder / RESULTS / "README.md").read_text()
    published = read_study_file(ROOT / "studies/paper-cifar10.yaml")["reports"]
    for name in ("table-1", "table-2"):
        table = (checkout.folder / RESULTS / f"reports/{name}.md").read_text()
        assert table.splitlines()[0] in page
        for run, numbers in published[name]["published"].items():
            (line,) = [line for line in table.splitlines() if line.startswith(f"| `{run}` |")]
            assert all(f"{number:.2f}" in line for number in numbers.values())


@pytest.mark.slow
def test_accuracies_of_the_table_are_those_of_the_attack_tables(rehearsed):
    checkout, _ = rehearsed
    with open(checkout.folder / RESULTS / "results.csv") as file:
        lines = [
            line for line in csv.DictReader(file) if line["attack"] == "cw" and line["metric"] == "robust_accuracy"
        ]
    assert len(lines) == 20
    for line in lines:
        with h5py.File(checkout.folder / RESULTS / f"attacks/{line['run']}/seed{line['seed']}/cw.h5") as attack:
            right = (attack["clean_prediction"][:] == attack["label"][:]) & ~attack["success"][:]
        assert int(line["num_samples"]) == len(right) == 100
        assert float(line["value"]) == pytest.approx(right.mean())


@pytest.mark.slow
def test_second_call_does_nothing(rehearsed):
    checkout, _ = rehearsed
    assert checkout.planned("results/paper.yaml") == set()


@pytest.mark.slow
def test_margins_are_measured_through_weights_that_are_given_by_name(rehearsed):
    checkout, _ = rehearsed
    network = build_model(ArchitectureSettings(name="mlp", width=32), (32, 32, 3), 10, seed=3)
    torch.save({"state_dict": network.state_dict()}, checkout.folder / "given/weights.pt")
    target = f"{RESULTS}/scores/margin/seed0/shard0.h5"
    result = rehearse(checkout, "WEIGHTS=margin=given/weights.pt", f"ARGS=--cores 1 {target}")
    assert result.returncode == 0, result.stdout + result.stderr
    with h5py.File(checkout.folder / target) as shard:
        assert shard.attrs["model_fingerprint"] == file_fingerprint(checkout.folder / "given/weights.pt")

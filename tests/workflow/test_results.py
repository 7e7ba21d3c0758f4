"""What a finished study leaves behind, opened as a user would."""

import csv
import hashlib
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from pumalib.lineage.results_line import KEYS, trace_line

COLUMNS = [
    "study",
    "run",
    "seed",
    "pool",
    "num_kept",
    "pruned_fraction",
    "mean_epsilon",
    "attack",
    "metric",
    "value",
    "num_samples",
]


@pytest.fixture
def results(finished) -> Path:
    return finished.folder / "results/tiny"


def test_results_are_tidy_and_agree_with_the_attack_tables(results):
    table = pd.read_csv(results / "results.csv", keep_default_na=False)
    assert list(table.columns) == COLUMNS
    assert len(table) == 2 * 3
    with h5py.File(results / "attacks/puma/seed0/cw.h5") as file:
        label, clean, adversarial = (
            file[name][...] for name in ("label", "clean_prediction", "adversarial_prediction")
        )
        assert (file["perturbation_norm"][...] <= 0.2 + 1e-5).all()
        assert np.array_equal(file["success"][...], (clean == label) & (adversarial != label))
    values = table[table["run"] == "puma"].set_index(["attack", "metric"])["value"]
    assert values["none", "clean_accuracy"] == (clean == label).mean()
    assert values["cw", "robust_accuracy"] == (adversarial == label).mean()


def test_selection_prunes_the_highest_margins_and_bounds_epsilons_by_them(results):
    with h5py.File(results / "scores/margin/seed0.h5") as file:
        margin = file["score"][...]
    with h5py.File(results / "selections/puma/seed0.h5") as file:
        rows, epsilons, reason = file["rows"][...], file["epsilons"][...], file["reason"][...]
    assert (reason == 0).sum() == round(0.1 * len(margin))
    assert margin[reason == 0].min() >= margin[rows].max()
    np.testing.assert_allclose(epsilons, np.clip(margin[rows], -0.2, 0.2), atol=1e-7)


def test_weights_load_without_this_library(results):
    weights = load_file(results / "models/puma/seed0/model.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in weights.values())


def test_history_has_one_line_an_epoch(results):
    history = pd.read_csv(results / "models/puma/seed0/history.csv")
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["images_seen"].tolist() == [1920, 3840, 5760]
    assert (history["split"] == "validation").all()


def test_reports_are_complete(results):
    for name in ("table", "margins"):
        for suffix in ("csv", "md", "png", "svg"):
            assert (results / f"reports/{name}.{suffix}").stat().st_size > 0


def test_every_number_is_followed_to_the_dataset_and_every_fingerprint_agrees(results):
    with open(results / "results.csv", newline="") as file:
        lines = [{key: line[key] for key in KEYS} for line in csv.DictReader(file)]
    traced = [trace_line(results / "results.csv", line) for line in lines]
    assert [each.all_problems for each in traced] == [[]] * 6
    assert all(any(node.role.startswith("dataset") for node in each.node.walk()) for each in traced)


def test_page_of_the_study_holds_every_report_and_links_to_what_is_there(results):
    page = (results / "README.md").read_text()
    assert page.startswith(
        "# tiny\n\nStudy `tiny`: 2 runs (`trades`, `puma`), seed 0. Threat: L-inf perturbations of at most 0.2"
    )
    assert page.index("\n## table\n") < page.index("\n## margins\n") < page.index("\n## Files\n")
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert "reports/margins.png" in links
    assert all((results / link).exists() for link in links)


IN_SMALL = {"results/digits": "{results}", "puma-20": "puma", "digits+10k": "digits+100", "128": "32"}


def test_examples_of_artifacts_md_load_weights_and_rows_without_this_library(results):
    text = (Path(__file__).parents[2] / "docs/artifacts.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        assert "pumalib" not in block
        for default, tiny in IN_SMALL.items():
            block = block.replace(default, tiny.format(results=results))
        exec(block, names)
    table = pd.read_csv(results / "results.csv", keep_default_na=False)
    puma = table[(table["run"] == "puma") & (table["metric"] == "clean_accuracy")].iloc[0]
    with h5py.File(results / "datasets/digits/seed0.h5") as file:
        images = torch.from_numpy(file["test/images"][...]).permute(0, 3, 1, 2) / 255
        labels = torch.from_numpy(file["test/labels"][...])
    assert (names["net"](images).argmax(1) == labels).float().mean().item() == pytest.approx(puma["value"])
    assert len(names["kept"]) == len(names["epsilons"]) == puma["num_kept"]
    image, label = names["kept"][0]
    assert (image.shape, label.dtype) == ((8, 8, 1), torch.int64)


@pytest.mark.slow
def test_the_same_study_gives_the_same_bytes_whatever_the_number_of_cores(finished, make_checkout, results):
    again = make_checkout()
    result = again.run("--cores", "1")
    assert result.returncode == 0, result.stderr
    first, second = digests(results), digests(again.folder / "results/tiny")
    assert first == second


def digests(folder: Path) -> dict[str, str]:
    """Hash every file but the logs, the benchmarks and the kept results, which hold times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"logs", "benchmarks", "work"} & set(path.parts)
    }

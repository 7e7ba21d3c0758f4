"""CONTRIBUTING.md does what it says: its examples are applied to a copy of the library, read and run.

Each of their files is also left out once, which must be noticed.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from contributed import ROOT, copy_library, examples, files_changed
from document_blocks import blocks_of

EXAMPLES = examples()
NUM_FILES = {
    "score": 2,
    "attack": 2,
    "training method": 2,
    "dataset source": 2,
    "epsilon policy": 2,
    "kind of report": 3,
}
"""How many files it takes to add one."""

EPSILON = 0.25
STUDY: dict[str, Any] = {
    "study": "contributed",
    "seeds": [0],
    "device": "cpu",
    "threat": {"norm": "linf", "epsilon": EPSILON},
    "datasets": {"images": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "held_out_fraction": 0.2}},
    "pools": {"pool": {"dataset": "images", "synthetic": {"method": "held_out", "count": 20}}},
    "defaults": {
        "pool": "pool",
        "architecture": {"name": "mlp", "width": 16},
        "training": {
            "method": "pgd_at",
            "epochs": 4,
            "samples_per_epoch": 256,
            "batch_size": 32,
            "attack_steps": 1,
            "crop_padding": 0,
            "horizontal_flip": False,
        },
    },
    "scores": {"score": {"method": "deepfool", "model": "plain"}},
    "runs": {
        "plain": {"training": {"method": "natural"}},
        "pruned": {"prune": [{"by": "score", "drop": "easiest", "fraction": 0.2}]},
    },
    "attacks": {"attack": {"method": "pgd"}},
    "reports": {},
}
"""A study with nothing new."""

USES: dict[str, dict[str, dict[str, Any]]] = {
    "score": {"scores": {"score": {"method": "logit_lead", "model": "plain"}}},
    "attack": {"attacks": {"attack": {"method": "uniform_noise"}}},
    "training method": {"runs": {"plain": {"training": {"method": "noisy", "noise": 0.2}}}},
    "dataset source": {"datasets": {"images": {"source": "blobs", "count": 100, "held_out_fraction": 0.25}}},
    "epsilon policy": {"runs": {"pruned": {**STUDY["runs"]["pruned"], "epsilon": {"policy": "half_synthetic"}}}},
    "kind of report": {"reports": {"kept": {"kind": "rows_kept"}}},
}
"""What a study says to use what each example adds."""

CAPTION = "rules/captions/rows_kept.rst"
"""The one file that no study needs, but the report of all: tests/study/test_kinds.py looks for it."""

MESSAGES = {
    "pumalib/scores/logit_lead.py": "a file pumalib/scores/logit_lead.py with score, got none, at scores.score.method",
    "pumalib/scores/settings.py": "got 'logit_lead' at scores.score.method",
    "pumalib/attacks/uniform_noise.py": "uniform_noise.py with attack, got none, at attacks.attack.method",
    "pumalib/attacks/settings.py": "got 'uniform_noise' at attacks.attack.method",
    "pumalib/training/methods/noisy.py": "noisy.py with batch_loss, got none, at runs.plain.training.method",
    "pumalib/training/settings.py": "got 'noisy' at runs.plain.training.method",
    "pumalib/data/sources/blobs.py": "blobs.py with look and files and load, got none, at datasets.images.source",
    "pumalib/data/settings.py": "got 'blobs' at datasets.images.source",
    "pumalib/selection/policies/half_synthetic.py": "with row_epsilons, got none, at runs.pruned.epsilon.policy",
    "pumalib/selection/settings.py": "got 'half_synthetic' at runs.pruned.epsilon.policy",
    "pumalib/reporting/settings/rows_kept.py": "got 'rows_kept'",
    "pumalib/reporting/kinds/rows_kept.py": "expected a module pumalib.reporting.kinds.rows_kept",
}
"""What a reader of the study is told where a file of an example is missing."""


class Checked(NamedTuple):
    """What `pumalib check` says of a study."""

    code: int
    output: str


def write_study(folder: Path, names: Iterable[str]) -> None:
    study = copy.deepcopy(STUDY)
    for name in names:
        for section, entries in USES[name].items():
            study[section] |= entries
    (folder / "study.yaml").write_text(yaml.safe_dump(study))


def run(folder: Path, *arguments: object) -> str:
    """Run Python in a folder, with the library that lies there."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "MPLBACKEND": "Agg"}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return a copy of the library for each file of an example, with the other files of it, and the same study."""
    folders = {}
    for name, example in EXAMPLES.items():
        for left_out in example.edits:
            if left_out.path != CAPTION:
                edits = [edit for edit in example.edits if edit is not left_out]
                folders[left_out.path] = copy_library(tmp_path_factory.mktemp("lacking"), edits)
                write_study(folders[left_out.path], [name])
    return folders


@pytest.fixture(scope="module")
def checked(lacking: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Checked]:
    run(tmp_path_factory.mktemp("check"), ROOT / "tests/contributed_check.py", *lacking.values())
    return {
        path: Checked(int((folder / "code.txt").read_text()), (folder / "output.txt").read_text())
        for path, folder in lacking.items()
    }


def test_page_shows_how_to_add_each_thing_and_says_how_many_files_it_takes() -> None:
    assert {name: example.num_files for name, example in EXAMPLES.items()} == NUM_FILES


@pytest.mark.parametrize("name", NUM_FILES)
def test_example_touches_as_many_files_as_it_says(name: str, tmp_path: Path) -> None:
    changed = files_changed(copy_library(tmp_path, EXAMPLES[name].edits))
    assert len(changed) == NUM_FILES[name]
    assert changed == {edit.path for edit in EXAMPLES[name].edits}


@pytest.mark.parametrize("path", MESSAGES)
def test_file_that_is_left_out_is_missed_when_a_study_is_read(path: str, checked: Mapping[str, Checked]) -> None:
    code, output = checked[path]
    assert code == 1
    assert MESSAGES[path] in output
    assert len(output.splitlines()) == 1


def test_every_file_is_left_out_once(lacking: Mapping[str, Path]) -> None:
    assert set(lacking) == set(MESSAGES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a study of all examples has run."""
    folder = copy_library(tmp_path_factory.mktemp("all"), [edit for each in EXAMPLES.values() for edit in each.edits])
    write_study(folder, EXAMPLES)
    assert "no problem found" in run(folder, "-m", "pumalib", "check", "study.yaml")
    run(folder, ROOT / "tests/contributed_make.py")
    return folder / "results/contributed"


def test_study_of_all_examples_is_read_and_made(made: Path) -> None:
    with h5py.File(made / "datasets/images/seed0.h5") as dataset:
        assert list(dataset.attrs["class_names"]) == ["dark", "bright"]
        images, labels = dataset["test/images"][:], dataset["test/labels"][:]
        assert images.shape == (100, 8, 8, 1)
        assert images[labels == 0].mean() < 128 < images[labels == 1].mean()
    with h5py.File(made / "attacks/plain/seed0/attack.h5") as table:
        reached = table["perturbation_norm"][:]
        assert EPSILON / 2 < reached.max() <= EPSILON * (1 + 1e-5)
    assert pd.read_csv(made / "models/plain/seed0/history.csv")["loss"].notna().all()
    with h5py.File(made / "pools/pool/seed0.h5") as pool, h5py.File(made / "selections/pruned/seed0.h5") as selection:
        kept = selection["rows"][:]
        halved = np.where(pool["source"][:][kept] == 1, EPSILON / 2, EPSILON)
        np.testing.assert_array_equal(selection["epsilons"][:], halved.astype(np.float32))
    with h5py.File(made / "scores/score/seed0.h5") as scores:
        lead = scores["score"][:]
        assert lead[kept].max() <= np.quantile(lead, 0.81)
    report = pd.read_csv(made / "reports/kept.csv")
    assert report["rows"].tolist() == [len(lead), len(kept)]


def test_the_test_that_the_page_shows_passes_on_its_example(tmp_path: Path) -> None:
    folder = copy_library(tmp_path, EXAMPLES["score"].edits)
    (shown,) = [
        block for block in blocks_of(ROOT / "CONTRIBUTING.md") if block.path == "tests/scores/test_logit_lead.py"
    ]
    file = folder / "tests/scores/test_logit_lead.py"
    file.parent.mkdir(parents=True)
    file.write_text(shown.text)
    (folder / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    run(folder, "-m", "ruff", "check", file)
    run(folder, "-m", "ruff", "format", "--check", file)
    assert "1 passed" in run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", file)


def test_examples_are_code_of_this_project(tmp_path: Path) -> None:
    """Lint and layout alike; settings are laid out by `make format`, as the page says."""
    edits = [edit for example in EXAMPLES.values() for edit in example.edits]
    copy_library(tmp_path, edits)
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    changed = [edit.path for edit in edits if edit.path.endswith(".py")]
    run(tmp_path, "-m", "ruff", "check", *changed)
    run(
        tmp_path,
        "-m",
        "ruff",
        "format",
        "--check",
        *[edit.path for edit in edits if edit.is_new and edit.path in changed],
    )

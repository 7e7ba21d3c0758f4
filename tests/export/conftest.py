"""Selections to export: of generated digits without files, and of photographs that are kept as their files."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_paths import import_paths
from small_study import SmallStudy

from pumalib.cli.main import main
from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import FolderSettings, FolderSyntheticSettings
from pumalib.files.origin import Input, Maker
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from tests.photographs import jpeg, put

SIDE = 12
RUN: dict[str, Any] = {
    "prune": [{"by": "loss", "drop": "hardest", "fraction": 0.2}, {"by": "random", "fraction": 0.1}],
    "epsilon": {"policy": "margin", "score": "margin"},
    "far": {"score": "margin", "beyond": 0.15, "steps": 1},
    "attack_steps": 5,
    "threat": {"norm": "l2", "epsilon": 0.2},
    "synthetic_fraction": 0.3,
}


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small study; run `puma` of it prunes."""
    folder = tmp_path_factory.mktemp("digits") / "results/small"
    SmallStudy(folder).make()
    return folder


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a study of 28 real JPEGs, kept as they are, and 9 generated ones, kept as pixels."""
    root = tmp_path_factory.mktemp("photographs")
    for number in range(28):
        folder = "=b" if number % 2 else "a/x" if number % 4 else "a/y"
        put(root, f"real/{folder}/shot {number // 4}.JPG", jpeg(number, 20, 16))
    for number in range(9):
        put(root, f"generated/=b/{number}.jpg", jpeg(100 + number, SIDE, SIDE))
    folder = root / "results/photographs"
    paths = {name: folder / f"{name}/mine/seed0.h5" for name in ("datasets", "synthetic", "pools", "selections")}
    maker = Maker({}, folder)
    real = FolderSettings(
        path=str(root / "real"), image_size=SIDE, storage="encoded", split="seeded", test_fraction=0.1
    )
    prepare_dataset(real, 0, folder, paths["datasets"], maker=maker)
    generated = FolderSyntheticSettings(method="folder", path=str(root / "generated"), storage="decoded")
    make_synthetic(generated, SyntheticInputs(paths["datasets"], None, None, 0, "cpu"), paths["synthetic"], maker)
    build_pool(paths["datasets"], paths["synthetic"], paths["pools"], {}, maker)
    scores = {name: folder / f"scores/{name}/seed0.h5" for name in ("margin", "loss")}
    pool = open_pool(paths["pools"])
    for name, path in scores.items():
        values = np.random.default_rng(len(name)).normal(0.1, 0.1, len(pool)).astype(np.float32)
        is_margin = name == "margin"
        table = ScoreTable(
            score=values,
            valid=np.ones(len(pool), bool),
            higher_is="easier" if is_margin else "harder",
            unit="",
            method=name,
            norm="l2" if is_margin else "",
            pool_fingerprint=pool.fingerprint,
        )
        write_scores(table, path, maker.origin({}, {"pool": Input(paths["pools"], pool.fingerprint)}))
    settings = SelectionSettings.model_validate(RUN)
    make_selection(settings, seed=0, pool=paths["pools"], scores=scores, output=paths["selections"], maker=maker)
    return folder


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return what exports, and gives what the command tells."""

    def run(selection: Path, form: str, out: Path, *options: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["export", str(selection), "--to", form, "--out", str(out), *options, "--json"]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    return run


def run_without_the_library(code: str, folder: Path, **variables: str) -> str:
    """Run a script for which `import pumalib` fails; return what it prints."""
    script = f"import sys\nsys.modules['pumalib'] = None\n{code}"
    environment = {**os.environ, "PYTHONPATH": import_paths(), **variables}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout

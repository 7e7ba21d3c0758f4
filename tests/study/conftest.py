from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.study.file import load_study
from pumalib.study.study import Study


@pytest.fixture
def read(study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Study]:
    """Return a reader of a study with one report `r`, further scores and datasets, and a run on another dataset."""
    (tmp_path / "scores_of_reports.py").write_text("def entropy(model, images, labels): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    study["scores"] |= {
        "real-margin": {"method": "fast_margin", "model": "trades", "pool": "real"},
        "l2-margin": {"method": "fast_margin", "model": "trades", "norm": "l2"},
        "fast": {"method": "fast_margin", "model": "trades"},
        "entropy": {"method": "scores_of_reports:entropy", "model": "trades", "higher_is": "harder"},
        "second": {"method": "fast_margin", "model": "real-alone"},
        "third": {"method": "fast_margin", "model": "real-again", "pool": "near"},
        "second-near": {"method": "fast_margin", "model": "real-alone", "pool": "near"},
    }
    study["attacks"]["shortest"] = {"method": "minimum_norm"}
    study["pools"]["fashion"] = {"dataset": "fashion"}
    study["generators"]["knowing"] = {**study["generators"]["edm"], "margin": {"score": "learned-margin"}}
    study["scores"]["learned-margin"] = {"method": "fast_margin", "model": "conditioning", "pool": "real"}
    asked = {"method": "generator", "generator": "knowing", "count": 50, "margin": {"above": 0, "below": 0.1}}
    study["pools"]["near"] = {"dataset": "digits", "synthetic": asked}
    study["datasets"]["grouped"] = put_classes_of_a_tree(tmp_path)
    study["runs"] |= {
        "other": {"pool": "fashion"},
        "conditioning": {"pool": "real"},
        "real-alone": {"pool": "real", "repetition": 1},
        "real-again": {"pool": "real", "repetition": 2},
        "online": {"epsilon": {"policy": "online_margin"}},
        "keeping": {"training": {"epochs": 4, "keep_every": 2}},
        "best": {"training": {"epochs": 4, "keep_every": 3, "checkpoint": "best"}},
        "random-keep80": {"prune": [{"by": "random", "fraction": 0.2}]},
        "cut-keep80": {"prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}]},
    }

    def make(report: dict[str, Any]) -> Study:
        study["reports"] = {"r": report}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return make


def put_classes_of_a_tree(folder: Path) -> dict[str, Any]:
    """Put empty images of four classes and their tree below a folder, which is that of the run."""
    for name in ("poodle", "terrier", "cat", "hammer"):
        for split, count in (("train", 4), ("test", 2)):
            (folder / "photos" / split / name).mkdir(parents=True)
            for index in range(count if name != "hammer" else 1):
                (folder / f"photos/{split}/{name}/{index}.png").touch()
    (folder / "is_a.txt").write_text("r animal\nr tool\nanimal dog\nanimal cat\ndog poodle\ndog terrier\ntool hammer\n")
    classes = {"tree": "is_a.txt", "groups": 2, "largest": 2}
    return {"source": "folder", "path": "photos", "image_size": 8, "classes": classes}

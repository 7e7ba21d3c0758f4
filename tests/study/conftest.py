import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.study.file import load_study
from pumalib.study.study import Study

_STUDY: dict[str, Any] = {
    "study": "tiny",
    "seeds": [0, 1],
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {
        "digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "validation_fraction": 0.1},
        "fashion": {"source": "fashion_mnist"},
    },
    "generators": {
        "edm": {
            "method": "edm",
            "dataset": "digits",
            "width": 8,
            "num_blocks": 1,
            "steps": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "averaging": 0.9,
        }
    },
    "pools": {
        "real": {"dataset": "digits"},
        "digits+100": {"dataset": "digits", "synthetic": {"method": "generator", "generator": "edm", "count": 100}},
    },
    "defaults": {
        "pool": "digits+100",
        "architecture": "mlp",
        "training": {"method": "trades", "beta": 5.0, "attack_steps": 3, "epochs": 2},
    },
    "scores": {"margin": {"method": "deepfool", "model": "trades"}},
    "runs": {
        "trades": {},
        "pruned": {"prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}]},
        "puma": {"epsilon": {"policy": "margin", "score": "margin"}},
    },
    "attacks": {"cw": {"method": "cw_pgd", "steps": 2}},
    "reports": {
        "table": {"kind": "comparison", "baseline": "trades"},
        "trade-off": {"kind": "trade_off", "baseline": "trades", "attack": "cw"},
    },
}


@pytest.fixture
def study() -> dict[str, Any]:
    """Return a valid study that a test may edit."""
    return copy.deepcopy(_STUDY)


@pytest.fixture
def put() -> Callable[..., dict[str, Any]]:
    """Return a setter of a value deep in a mapping; the path is spelled `runs|trades|pool`."""

    def set_value(mapping: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
        *parents, last = path.split("|")
        place = mapping
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
        return mapping

    return set_value


@pytest.fixture
def read(study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Study]:
    """Return a reader of a study with one report `r`, further scores, and a run on another dataset."""
    (tmp_path / "scores_of_reports.py").write_text("def entropy(model, images, labels): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    study["scores"] |= {
        "real-margin": {"method": "fast_margin", "model": "trades", "pool": "real"},
        "l2-margin": {"method": "fast_margin", "model": "trades", "norm": "l2"},
        "fast": {"method": "fast_margin", "model": "trades"},
        "entropy": {"method": "scores_of_reports:entropy", "model": "trades", "higher_is": "harder"},
    }
    study["attacks"]["shortest"] = {"method": "minimum_norm"}
    study["pools"]["fashion"] = {"dataset": "fashion"}
    study["runs"] |= {"other": {"pool": "fashion"}, "online": {"epsilon": {"policy": "online_margin"}}}

    def make(report: dict[str, Any]) -> Study:
        study["reports"] = {"r": report}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        return load_study(tmp_path / "study.yaml")

    return make

"""PUMA: margin-based data pruning for better accuracy-robustness trade-offs.

The names below are the library's face for people who do not run the workflow; each is loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pumalib.attacks.deepfool import deepfool_margins
    from pumalib.attacks.fast_margin import fast_margins
    from pumalib.attacks.refined_margin import refined_margins
    from pumalib.attacks.settings import CwPgdSettings, MinimumNormSettings, PgdSettings, SquareSettings
    from pumalib.attacks.threat_settings import ThreatSettings
    from pumalib.data.pool import open_pool
    from pumalib.evaluation.evaluate import evaluate
    from pumalib.models.build import build_model
    from pumalib.models.imported import load_checkpoint
    from pumalib.models.settings import ArchitectureSettings
    from pumalib.models.trained import load_trained
    from pumalib.scores.table import read_scores
    from pumalib.selection.cuts import Cut
    from pumalib.selection.epsilons import adaptive_epsilons
    from pumalib.selection.select import select
    from pumalib.selection.settings import IaatEpsilon, OnlineMarginEpsilon
    from pumalib.selection.stage import read_selection
    from pumalib.tracks.settings import TrackSettings
    from pumalib.training.settings import TrainingSettings
    from pumalib.training.train import train

HOMES = {
    "ArchitectureSettings": "models.settings",
    "Cut": "selection.cuts",
    "CwPgdSettings": "attacks.settings",
    "IaatEpsilon": "selection.settings",
    "MinimumNormSettings": "attacks.settings",
    "OnlineMarginEpsilon": "selection.settings",
    "PgdSettings": "attacks.settings",
    "SquareSettings": "attacks.settings",
    "ThreatSettings": "attacks.threat_settings",
    "TrackSettings": "tracks.settings",
    "TrainingSettings": "training.settings",
    "adaptive_epsilons": "selection.epsilons",
    "build_model": "models.build",
    "deepfool_margins": "attacks.deepfool",
    "evaluate": "evaluation.evaluate",
    "fast_margins": "attacks.fast_margin",
    "load_checkpoint": "models.imported",
    "load_trained": "models.trained",
    "open_pool": "data.pool",
    "read_scores": "scores.table",
    "read_selection": "selection.stage",
    "refined_margins": "attacks.refined_margin",
    "select": "selection.select",
    "train": "training.train",
}

__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'pumalib' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pumalib.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

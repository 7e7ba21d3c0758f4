"""What a method of learning a pool may draw from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.jobs.states import NO_STATE, StateFile
from pumalib.models.settings import ArchitectureSettings

OnStep = Callable[[int], object]
"""Called after each step, with the steps done so far, once a state that is due is saved."""


def ignore_step(step: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class LearningInputs:
    """What a method may draw from.

    Attributes:
        images: [N, H, W, C] uint8, the rows to start from.
        labels: [N] int64.
        num_classes: K.
        threat: norm and epsilon that models should withstand.
        seed: of the study.
        device: torch device.
        validation: images to measure progress on; None: rows of the start.
        model_path: weights of a robust model, where the method looks through one.
        architecture: of that model; None: as the weights say, unless they name a user's own code.
        state_file: where the state is kept.
        progress: CSV of the progress to write; None: none.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    num_classes: int
    threat: ThreatSettings
    seed: int = 0
    device: str = "cpu"
    validation: LabelledImages | None = None
    model_path: Path | None = None
    architecture: ArchitectureSettings | None = None
    state_file: StateFile = NO_STATE
    progress: Path | None = None

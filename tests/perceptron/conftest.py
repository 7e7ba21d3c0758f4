from collections.abc import Callable

import numpy as np
import pytest
import torch

from pumalib.perceptron.sampling import Curve, SignedInputs, draw_signed_inputs
from pumalib.perceptron.teachers import teacher_direction


@pytest.fixture
def draw() -> Callable[..., SignedInputs]:
    """Return a function that draws small sets in float64, whose rounding tests need not think of."""

    def draw_sets(curves: list[Curve], teacher: str = "axis", features: int = 12, rows: int = 40, seed: int = 0):
        direction = teacher_direction(teacher, features, seed)
        drawn = draw_signed_inputs(curves, direction, rows, seed, torch.device("cpu"))
        return SignedInputs(drawn.gaussian.double(), torch.from_numpy(direction), drawn.shift.double())

    return draw_sets


@pytest.fixture
def unit() -> Callable[..., np.ndarray]:
    """Return a function that draws a unit vector."""

    def draw_unit(features: int, seed: int = 0) -> np.ndarray:
        vector = np.random.default_rng(seed).standard_normal(features)
        return vector / np.linalg.norm(vector)

    return draw_unit

"""Teachers: unit vectors whose half-space gives every input its label. Imports no torch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pumalib.perceptron.settings import TeacherName
from pumalib.randomness import numpy_generator


def teacher_direction(name: TeacherName, num_features: int, seed: int) -> NDArray[np.float64]:
    """Return the teacher's weights, [K] with L2 norm 1.

    `axis` is (1, 0, 0, ...), as in PUMA Sec. 2. `dense` has equal weights: signs would change nothing, because
    inputs and perturbations are symmetric. `random` is uniform on the sphere, drawn anew for each seed.
    """
    if name == "axis":
        return np.eye(1, num_features).ravel()
    if name == "dense":
        return np.full(num_features, num_features**-0.5)
    direction = numpy_generator(seed, "perceptron", "teacher").standard_normal(num_features)
    return np.asarray(direction / np.linalg.norm(direction))


def true_margins(
    inputs: NDArray[np.floating], teacher: NDArray[np.floating], norm: Literal["linf", "l2"]
) -> NDArray[np.floating]:
    """Return the distance of each input to the teacher's boundary: ``|t.x|`` over the dual norm of t.

    Both norms rank inputs alike, so pruning by rank does not depend on the norm; a threshold does.

    Args:
        inputs: [N, K].
        teacher: [K].
        norm: of the distance.
    """
    return np.abs(inputs @ teacher) / dual_norm(teacher, norm)


def dual_norm(teacher: NDArray[np.floating], norm: Literal["linf", "l2"]) -> float:
    """Return how far t.x moves at most under a perturbation of size 1: the L1 norm for L-inf, L2 for L2."""
    return float(np.linalg.norm(teacher, 1 if norm == "linf" else 2))

"""Steps to a label over all classes at once, against solvers of linear and quadratic programs."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pumalib.attacks.all_classes import step_to_all
from pumalib.attacks.threat_settings import Norm

NUM_ROWS, NUM_CLASSES, NUM_PIXELS = 40, 9, 64


def a_batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Return gaps [B, C], normals [B, C, D] and images [B, D]; some pixels of each image sit on the edges."""
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(NUM_ROWS, NUM_CLASSES, NUM_PIXELS, generator=generator)
    gaps = torch.randn(NUM_ROWS, NUM_CLASSES, generator=generator)
    gaps[:, 0] = gaps[:, 0].abs() + 0.1
    images = (torch.rand(NUM_ROWS, NUM_PIXELS, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return gaps.to(dtype), normals.to(dtype), images.to(dtype)


def shortest_linf(gaps: NDArray[Any], normals: NDArray[Any], image: NDArray[Any] | None) -> float:
    """Solve the linear program: pixels on an edge of [0, 1] may not leave it, the others may."""
    count = normals.shape[1]
    identity, ones = np.eye(count), np.ones((count, 1))
    rows = np.vstack([np.c_[-normals, np.zeros(len(gaps))], np.c_[identity, -ones], np.c_[-identity, -ones]])
    pixels = [None] * count if image is None else image
    bounds = [(0 if pixel == 0 else None, 0 if pixel == 1 else None) for pixel in pixels]
    limits = np.r_[-gaps, np.zeros(2 * count)]
    return float(linprog(np.r_[np.zeros(count), 1], A_ub=rows, b_ub=limits, bounds=[*bounds, (0, None)]).x[-1])


def shortest_l2(gaps: NDArray[Any], normals: NDArray[Any], image: NDArray[Any] | None) -> float:
    """Solve the least distance program by non-negative least squares (Lawson & Hanson 1974, ch. 23)."""
    if image is not None:
        identity = np.eye(normals.shape[1])
        normals = np.vstack([normals, identity[image == 0], -identity[image == 1]])
        gaps = np.r_[gaps, np.zeros(len(normals) - len(gaps))]
    system = np.vstack([normals.T, gaps[None]])
    target = np.r_[np.zeros(normals.shape[1]), 1.0]
    residual = system @ nnls(system, target)[0] - target
    return float(np.linalg.norm(residual[:-1] / residual[-1]))


SOLVERS = {"linf": shortest_linf, "l2": shortest_l2}


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steps_reach_every_class_and_are_as_short_as_a_solver_finds(norm: Norm, clip: tuple[float, float] | None):
    gaps, normals, images = a_batch()
    steps = step_to_all(gaps, normals, images, norm, clip)
    missing = (gaps - (normals @ steps[..., None]).squeeze(2)).amax(1) / gaps.amax(1)
    assert (missing < 1e-4).float().mean() > 0.9
    assert missing.max() < 0.01
    if clip is not None:
        assert (steps[images == 0] >= -1e-6).all()
        assert (steps[images == 1] <= 1e-6).all()
    lengths = (steps.abs().amax(1) if norm == "linf" else steps.norm(dim=1)).numpy()
    columns = [column.double().numpy() for column in (gaps, normals, images)]
    best = [SOLVERS[norm](gap, rows, image if clip else None) for gap, rows, image in zip(*columns, strict=True)]
    excess = lengths / np.array(best) - 1
    assert excess.min() > -0.005  # where a little is missing
    assert excess.mean() < 0.004
    assert np.quantile(excess, 0.9) < 0.01
    assert excess.max() < 0.1


class Operations(TorchDispatchMode):
    """Counts operations that compute or copy; views cost nothing on a device."""

    VIEWS = ("view", "_unsafe_view", "expand", "slice", "select", "transpose", "diagonal", "squeeze", "unsqueeze")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += operation.overloadpacket.__name__ not in self.VIEWS
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_takes_at_most_500_operations_whatever_the_rows(norm: Norm, clip: tuple[float, float] | None):
    counts = []
    for rows in (slice(1), slice(None)):
        with Operations() as operations:
            step_to_all(*(column[rows] for column in a_batch()), norm, clip)
        counts.append(operations.count)
    assert counts[0] == counts[1] <= 500


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_row_s_step_does_not_depend_on_the_others(norm: Norm):
    gaps, normals, images = a_batch(1, torch.float64)
    together = step_to_all(gaps, normals, images, norm, (0.0, 1.0))
    alone = step_to_all(gaps[3:4], normals[3:4], images[3:4], norm, (0.0, 1.0))
    torch.testing.assert_close(alone, together[3:4], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_steps_scale_with_the_logits_and_with_the_images(norm: Norm, scale: float):
    """The constants of the method are relative: other units give the same steps in them."""
    gaps, normals, images = a_batch(2)
    steps = step_to_all(gaps, normals, images, norm, (0.0, 1.0))
    torch.testing.assert_close(
        step_to_all(gaps * scale, normals * scale, images, norm, (0.0, 1.0)), steps, rtol=1e-2, atol=1e-4
    )
    wide = step_to_all(gaps, normals / scale, images * scale, norm, (0.0, scale))
    torch.testing.assert_close(wide / scale, steps, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_row_that_no_step_brings_to_all_classes_gets_a_finite_one(norm: Norm):
    """Two classes ask for opposite steps; and all pixels sit on the edge that the way leads beyond."""
    opposite = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    steps = step_to_all(torch.ones(1, 2), opposite, torch.full((1, 2), 0.5), norm, (0.0, 1.0))
    assert steps.isfinite().all()
    stuck = step_to_all(torch.ones(1, 1), torch.ones(1, 1, 2), torch.ones(1, 2), norm, (0.0, 1.0))
    assert stuck.isfinite().all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_class_is_stepped_to_along_its_normal(norm: Norm):
    """gap 2 along (3, -4): in L-inf 2 / 7 of each pixel, in L2 2 / 25 of the normal."""
    step = step_to_all(torch.tensor([[2.0]]), torch.tensor([[[3.0, -4.0]]]), torch.full((1, 2), 0.5), norm, None)
    expected = [[2 / 7, -2 / 7]] if norm == "linf" else [[6 / 25, -8 / 25]]
    torch.testing.assert_close(step, torch.tensor(expected), rtol=1e-3, atol=1e-4)

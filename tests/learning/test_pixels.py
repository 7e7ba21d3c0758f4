"""Steps of pixels: where they may go, and that Adam is torch's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pumalib.learning.pixels import allowed, descend, descend_by_sign, no_moments, to_bytes

ROWS = torch.tensor([0, 2])


@pytest.fixture
def start() -> torch.Tensor:
    return torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_adam_of_rows_is_torch_adam_on_those_rows(start):
    images, moments = start.clone() * 0.2 + 0.4, no_moments(start)
    peer = torch.nn.Parameter(images[ROWS].clone())
    optimizer = torch.optim.Adam([peer], lr=0.01, eps=1e-12)
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        gradient = torch.randn(2, 1, 2, 2, generator=generator)
        descend(images, start, ROWS, gradient, moments, 0.01, None)
        peer.grad = gradient
        optimizer.step()
    torch.testing.assert_close(images[ROWS], peer.detach())
    assert moments.counts.tolist() == [5, 0, 5]


def test_rows_that_are_not_named_stay(start):
    images = start.clone()
    descend(images, start, ROWS, torch.ones(2, 1, 2, 2), no_moments(start), 0.1, None)
    descend_by_sign(images, start, ROWS, torch.ones(2, 1, 2, 2), 0.1, None)
    assert torch.equal(images[1], start[1])
    assert (images[ROWS] < start[ROWS]).all()


def test_no_gradient_moves_nothing(start):
    images = start.clone()
    descend(images, start, ROWS, torch.zeros(2, 1, 2, 2), no_moments(start), 0.1, None)
    descend_by_sign(images, start, ROWS, torch.zeros(2, 1, 2, 2), 0.1, None)
    assert torch.equal(images, start)


@pytest.mark.parametrize("bound", [None, 0.0, 0.05])
def test_steps_stay_in_range_and_within_the_bound(start, bound):
    images, moments = start.clone(), no_moments(start)
    generator = torch.Generator().manual_seed(2)
    for _ in range(10):
        gradient = torch.randn(2, 1, 2, 2, generator=generator)
        descend(images, start, ROWS, gradient, moments, 0.2, bound)
        descend_by_sign(images, start, ROWS, gradient, 0.2, bound)
    assert images.min() >= 0
    assert images.max() <= 1
    distance = float((images - start).abs().max())
    assert distance > 0.2 if bound is None else distance <= bound + 1e-6


@given(bound=st.one_of(st.none(), st.floats(0, 1)), seed=st.integers(0, 100))
def test_bytes_are_the_nearest_grey_levels_within_the_bound(bound, seed):
    generator = np.random.default_rng(seed)
    start = generator.integers(256, size=(2, 2, 3, 1), dtype=np.uint8)
    pixels = torch.from_numpy(start).permute(0, 3, 1, 2).float() / 255
    moved = allowed(pixels + torch.from_numpy(generator.normal(size=(2, 1, 2, 3))).float(), pixels, bound)
    levels = to_bytes(moved, start, bound)
    difference = np.abs(levels.astype(int) - start.astype(int))
    assert difference.max() <= 255 * (1 if bound is None else bound) + 1e-3
    assert np.abs(levels / 255 - moved.permute(0, 2, 3, 1).numpy()).max() <= (0.5 if bound is None else 1) / 255 + 1e-6


def test_images_that_did_not_move_give_their_own_bytes():
    start = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    pixels = torch.from_numpy(start).permute(0, 3, 1, 2).float() / 255
    for bound in (None, 0.0, 0.1):
        np.testing.assert_array_equal(to_bytes(pixels, start, bound), start)

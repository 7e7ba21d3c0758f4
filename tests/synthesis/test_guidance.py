import math

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.errors import DataError
from pumalib.synthesis.edm import train_generator
from pumalib.synthesis.guidance import entropy, margin
from pumalib.synthesis.guided import energy_of, guided_by
from pumalib.synthesis.sampling import balanced_labels, sample_images
from pumalib.synthesis.settings import EdmSettings, GeneratorMarginSettings

SETTINGS = EdmSettings(
    method="edm",
    dataset="toy",
    network="mlp",
    width=16,
    num_blocks=1,
    steps=60,
    batch_size=64,
    learning_rate=1e-2,
    averaging=0.9,
    sampling_steps=8,
    sampling_batch_size=8,
    margin=GeneratorMarginSettings(score="margin"),
)
LABELS = balanced_labels(16, 2)


class Linear(nn.Module):
    """Two logits of 4x4 images: the mean of the upper half, and of the lower one, each ten times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 2, bias=False)
        with torch.no_grad():
            self.layer.weight[:] = torch.repeat_interleave(10 * torch.eye(2) / 8, 8, dim=1)

    def forward(self, images):
        return self.layer(images.flatten(1))


@pytest.fixture(scope="module")
def model():
    return Linear().eval()


@pytest.fixture(scope="module")
def denoiser():
    """A generator of images whose half of the label is bright, by 20 to 140 grey levels."""
    labels = balanced_labels(64, 2)
    images = np.random.default_rng(0).integers(60, 90, (64, 4, 4, 1), dtype=np.uint8)
    lead = np.linspace(20, 140, 64).astype(np.uint8)
    for row, label in enumerate(labels):
        images[row, 2 * label : 2 * label + 2] += lead[row]
    margins = lead.astype(np.float32) / 255
    return train_generator(images, labels, 2, SETTINGS, seed=1, margins=margins)


def sample(denoiser, guide=None, labels=LABELS, size=8, **asked):
    settings = SETTINGS.model_copy(update={"sampling_batch_size": size})
    return sample_images(denoiser, labels, settings, 3, guide=guide, **asked)


def logits_of(model, images):
    with torch.no_grad():
        return model(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)


def test_energy_of_the_margin_is_minus_the_lead_of_the_label_and_0_across_the_boundary():
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [2.0, 2.0, 1.0]], requires_grad=True)
    energies = margin.energy(logits, torch.tensor([0, 1, 2, 0]))
    assert energies.tolist() == [-1, 0, 0, 0]
    (gradient,) = torch.autograd.grad(energies.sum(), logits)
    assert gradient[0].tolist() == [-1, 0, 1]
    assert not gradient[1:].any()  # nothing rewards a wrong label


def test_energy_of_the_entropy_is_that_of_the_classes():
    share = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    expected = [1.5 * math.log(2), math.log(3)]
    assert entropy.energy(share.log() + 7, torch.tensor([0, 1])).tolist() == pytest.approx(expected)
    certain = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    energy = entropy.energy(certain, torch.tensor([0]))
    energy.sum().backward()
    assert energy.item() == 0
    assert certain.grad.isfinite().all()


def test_one_step_through_a_linear_denoiser_is_the_formula(model):
    """D(x) = x / 2, logits W p with p = (D + 1) / 2: the gradient of the lead z_0 - z_1 by x is (W_0 - W_1) / 4."""
    noisy = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    noisy[:, :, :2] = 0.8  # the upper half is brighter: the first image leads by its label, the second one has another
    guide = guided_by(model, margin.energy, weight=3.0)
    estimate = guide(lambda x, sigma: x / 2, torch.tensor([0, 1]))(noisy, 0.5)
    difference = (model.layer.weight[0] - model.layer.weight[1]).detach().reshape(1, 4, 4)
    torch.testing.assert_close(estimate[0], noisy[0] / 2 - 3 * 0.5**2 * difference.double() / 4)
    torch.testing.assert_close(estimate[1], noisy[1] / 2, rtol=0, atol=0)
    assert not estimate.requires_grad


def test_pixels_that_are_clamped_are_not_pushed_farther(model):
    guide = guided_by(model, margin.energy, weight=1.0)
    noisy = torch.full((1, 1, 4, 4), -1.5, dtype=torch.float64)
    noisy[:, :, :2] = 1.5
    assert torch.equal(guide(lambda x, sigma: x, torch.tensor([0]))(noisy, 1.0), noisy)


@pytest.mark.parametrize(("method", "weight"), [("margin", 0.5), ("entropy", 4.0)])
@pytest.mark.parametrize("asked", [{}, {"quantiles": np.full(16, 0.8, np.float32), "weight": 1.5}])
def test_guidance_raises_what_is_to_increase(denoiser, model, method, weight, asked):
    energy = energy_of(method)
    mean = [
        float(energy(logits_of(model, images), torch.from_numpy(LABELS)).mean())
        for images in (sample(denoiser, guided_by(model, energy, each), **asked) for each in (0.0, weight))
    ]
    assert mean[1] > mean[0] + 0.1


def test_guidance_towards_the_boundary_does_not_cross_it_more_often(denoiser, model):
    plain, guided = (sample(denoiser, guided_by(model, margin.energy, weight)) for weight in (0.0, 0.5))
    wrong = [(logits_of(model, each).argmax(1).numpy() != LABELS).sum() for each in (plain, guided)]
    assert wrong[1] <= wrong[0] + 1


def test_weight_0_is_no_guidance_at_all(denoiser, model):
    np.testing.assert_array_equal(sample(denoiser, guided_by(model, margin.energy, 0.0)), sample(denoiser))


def test_guided_samples_do_not_depend_on_count_or_beyond_rounding_on_batch_size(denoiser, model):
    guide = guided_by(model, entropy.energy, 0.5)
    whole = sample(denoiser, guide)
    np.testing.assert_array_equal(sample(denoiser, guide, LABELS[:5]), whole[:5])
    for size in (1, 7, 64):
        difference = np.abs(sample(denoiser, guide, size=size).astype(int) - whole)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.02


def test_model_and_its_gradients_are_left_as_they_were(denoiser, model):
    sample(denoiser, guided_by(model, entropy.energy, 0.5))
    assert model.layer.weight.requires_grad
    assert model.layer.weight.grad is None
    assert all(parameter.grad is None for parameter in denoiser.parameters())


def test_samples_that_are_not_finite_are_refused(denoiser, model):
    with pytest.raises(
        DataError, match=r"expected finite samples, got others among the 8 from number 0 on; lower the w"
    ):
        sample(denoiser, guided_by(model, entropy.energy, 1e300))

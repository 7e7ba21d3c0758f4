"""Sampling guided by a model: each estimate of the clean images is moved towards what the model should find in them.

Sources: Bansal et al. 2023, "Universal Guidance for Diffusion Models", for a gradient through the denoiser (their
forward guidance); Karras et al. 2022, eq. 3, for how the score of a density moves the denoiser: by sigma^2 times it,
here that of exp(weight * energy). That pixels are clamped is a choice of ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from pumalib.data.guidance_settings import GuidanceSettings
from pumalib.files.origin import Input
from pumalib.models.checks import frozen_parameters
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import expect_images, load_trained
from pumalib.synthesis.sampling import Denoise, Guide
from pumalib.synthesis.settings import guidance_module

Energy = Callable[[Tensor, Tensor], Tensor]
"""From logits [B, K] and labels [B] to what is increased, [B]."""


def load_guide(
    settings: GuidanceSettings,
    model: Path,
    architecture: ArchitectureSettings | None,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    device: str,
) -> tuple[Guide, Input]:
    """Load the model that guides.

    Args:
        settings: what is increased, and how much it counts.
        model: weights of a run.
        architecture: of the model; None: as the weights say, unless they name a user's own code.
        image_shape: (H, W, C) of the images to sample.
        num_classes: number of labels.
        device: where to sample.

    Returns:
        The guide, and the weights as an input.

    Raises:
        ArtifactError: no weights of a model, or of another architecture.
        DataError: a model of other images or classes.
    """
    trained = load_trained(model, device, architecture)
    expect_images(trained, image_shape, num_classes, "the pool")
    return guided_by(trained.model, energy_of(settings.method), settings.weight), Input(model, trained.fingerprint)


def energy_of(method: str) -> Energy:
    """Return what a way to guide increases."""
    energy: Energy = importlib.import_module(guidance_module(method)).energy
    return energy


def guided_by(network: nn.Module, energy: Energy, weight: float) -> Guide:
    """Return a guide: from a denoiser D and labels to D + weight * sigma^2 * grad_x energy(f(pixels of D), labels).

    Args:
        network: f, in eval mode, from images [B, C, H, W] in [0, 1] to logits [B, K].
        energy: what is increased, of each image by itself.
        weight: how much it counts.
    """

    def guide(denoise: Denoise, labels: Tensor) -> Denoise:
        def denoise_guided(noisy: Tensor, sigma: float) -> Tensor:
            with frozen_parameters(network):
                noisy = noisy.detach().requires_grad_()
                clean = denoise(noisy, sigma)  # [B, C, H, W] on the scale [-1, 1]
                pixels = ((clean + 1) / 2).clamp(0, 1).float()
                # The sum: each image's energy depends on that image alone, so this is the gradient of each.
                (gradient,) = torch.autograd.grad(energy(network(pixels), labels).sum(), noisy)
            return clean.detach() + weight * sigma**2 * gradient

        return denoise_guided

    return guide

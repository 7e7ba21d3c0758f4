"""Sample a class-conditional EDM diffusion model by the probability flow ODE.

Sources: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models", Algorithm 1; Ho &
Salimans 2022, "Classifier-Free Diffusion Guidance", eq. 6, for the weight of a margin. Inside, pixels lie in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.errors import DataError
from pumalib.randomness import derive_seed, normal_per_row
from pumalib.synthesis.edm import Denoiser
from pumalib.synthesis.settings import EdmSettings

Denoise = Callable[[Tensor, float], Tensor]
"""From noisy images [B, C, H, W] float64 and their noise level to estimates of the clean ones."""

Guide = Callable[[Denoise, Tensor], Denoise]
"""From a denoiser of images with labels [B], and these labels, to one whose estimates are moved."""


def balanced_labels(count: int, num_classes: int) -> NDArray[np.int64]:
    """Return the labels of a synthetic set: 0, 1, ..., K - 1, 0, 1, ... [count] int64."""
    return np.arange(count, dtype=np.int64) % num_classes


@torch.no_grad()
def sample_images(
    denoiser: Denoiser,
    labels: NDArray[np.int64],
    settings: EdmSettings,
    seed: int,
    *,
    quantiles: NDArray[np.float32] | None = None,
    weight: float = 1.0,
    guide: Guide | None = None,
    first_index: int = 0,
    device: str = "cpu",
    on_batch: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Draw one image per label; sample i of a seed is the same whatever the count and the batch size.

    Each sample's noise is a stream of its own. The last batch is filled up, so that matrix products have one
    shape: a count never changes bits; another batch size may change rare pixels by one level (rounding).

    Args:
        denoiser: a trained denoiser in evaluation mode, on `device`.
        labels: [N] int64, e.g. `balanced_labels(...)`.
        settings: sampling settings; those of training are not used.
        seed: determines the noise, together with the sample's index.
        quantiles: [N] float32 in [0, 1], of the margins to ask for; None: of none.
        weight: w of classifier-free guidance; 1: the denoiser that is told the margin, 0: the one that is not.
        guide: moves the estimates of the denoiser, each image by itself; None: nothing does.
        first_index: index of the first sample, to draw a set in parts.
        device: where to sample.
        on_batch: called with the number of images done.

    Returns:
        [N, H, W, C] uint8.

    Raises:
        DataError: samples that are not finite.
    """
    height, width, channels = denoiser.image_shape
    images = np.empty((len(labels), height, width, channels), np.uint8)
    noise_seed, size = derive_seed(seed, "edm", "sampling"), settings.sampling_batch_size
    # Invariant: images before `start` are done. A turn draws one batch of `size` samples. The last one is filled up
    # with samples of the next indices and label 0, which are thrown away.
    for start in range(0, len(labels), size):
        stop = min(start + size, len(labels))
        indices = first_index + np.arange(start, start + size, dtype=np.int64)  # [size]
        noise = torch.from_numpy(normal_per_row(noise_seed, indices, (channels, height, width))).to(device)
        missing = (0, start + size - stop)
        batch_labels = torch.from_numpy(np.pad(labels[start:stop], missing)).to(device)  # [size]
        asked = None if quantiles is None else torch.from_numpy(np.pad(quantiles[start:stop], missing)).to(device)
        denoise = _with_conditions(denoiser, batch_labels, asked, weight)
        denoise = denoise if guide is None else guide(denoise, batch_labels)
        scaled = heun_sampler(denoise, noise.double(), noise_levels(settings))  # [size, C, H, W]
        _expect_finite(scaled, first_index + start)
        images[start:stop] = _to_pixels(scaled[: stop - start])  # [stop - start, H, W, C]
        if on_batch is not None:
            on_batch(stop)
    return images


def heun_sampler(denoise: Callable[[Tensor, float], Tensor], noise: Tensor, levels: list[float]) -> Tensor:
    """Solve the probability flow ODE by Heun's method without churn (Karras et al. 2022, Algorithm 1).

    Args:
        denoise: maps noisy images and sigma to estimates of the clean images.
        noise: standard normal, any shape; float64 keeps rounding out of the differences.
        levels: falling noise levels, the last 0.
    """
    images = noise * levels[0]  # x_0 ~ N(0, t_0^2 I)
    # Invariant: `images` is x_i, the solution of dx/dt = (x - D(x; t)) / t at t = sigma. A turn takes an Euler step to
    # next_sigma and corrects it by the trapezoid rule. At 0 the slope is undefined, so the last step stays Euler.
    for sigma, next_sigma in pairwise(levels):
        slope = (images - denoise(images, sigma)) / sigma  # d_i
        moved = images + (next_sigma - sigma) * slope
        if next_sigma > 0:
            next_slope = (moved - denoise(moved, next_sigma)) / next_sigma  # d'_i
            moved = images + (next_sigma - sigma) * (slope + next_slope) / 2
        images = moved
    return images


def noise_levels(settings: EdmSettings) -> list[float]:
    """Return the falling noise levels from sigma_max to sigma_min, then 0 (Karras et al. 2022, eq. 5)."""
    first, last = settings.sigma_max ** (1 / settings.rho), settings.sigma_min ** (1 / settings.rho)
    levels = np.linspace(first, last, settings.sampling_steps) ** settings.rho  # the last one is sigma_min
    return [*levels.tolist(), 0.0]


def _expect_finite(scaled: Tensor, first: int) -> None:
    if not scaled.isfinite().all():
        raise DataError(
            f"expected finite samples, got others among the {len(scaled)} from number {first} on; lower the weight of "
            "the margin or of the guidance that the pool asks for"
        )


def _to_pixels(scaled: Tensor) -> NDArray[np.uint8]:
    # Clamped before `byte`, where values out of range would wrap around.
    pixels: NDArray[np.uint8] = ((scaled + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()
    return pixels.transpose(0, 2, 3, 1)  # [B, C, H, W] to [B, H, W, C]


def _with_conditions(denoiser: Denoiser, labels: Tensor, quantiles: Tensor | None, weight: float) -> Denoise:
    """Return the denoiser of images with these labels and, where any are asked for, quantiles of margins."""

    def estimate(noisy: Tensor, sigma: float, asked: Tensor | None) -> Tensor:
        # The network runs in float32; the solver keeps float64.
        levels = torch.full(labels.shape, sigma, device=labels.device)
        clean: Tensor = denoiser(noisy.float(), levels, labels, asked)
        return clean.double()

    def denoise(noisy: Tensor, sigma: float) -> Tensor:
        if quantiles is None or weight in (0, 1):  # one of the two alone: half the time
            return estimate(noisy, sigma, None if weight == 0 else quantiles)
        untold, told = (estimate(noisy, sigma, asked) for asked in (None, quantiles))
        return untold + weight * (told - untold)

    return denoise

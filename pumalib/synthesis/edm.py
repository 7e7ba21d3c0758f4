"""Train an EDM diffusion model, conditioned on the class and, where asked for, on the margin (Karras et al. 2022).

Sources: Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative Models" (Table 1 for
preconditioning and loss); Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", for a condition that is left out
now and then. Inside, pixels lie in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.errors import DataError
from pumalib.jobs.states import NO_STATE, StateFile
from pumalib.models.checks import check_finite_weights
from pumalib.randomness import derive_seed
from pumalib.synthesis.margins import quantiles_of, sorted_margins
from pumalib.synthesis.networks import build_network
from pumalib.synthesis.settings import EdmSettings

_STEPS_A_LOOK = 50
"""Steps between two looks at whether their losses were finite; a look waits for the device."""
WARMUP_FRACTION = 0.05


class Denoiser(nn.Module):
    """The denoiser D(x, sigma, label): a raw network, preconditioned (Karras et al. 2022, eq. 7).

    Of a generator that learns margins, `margins` [K] holds those of its train rows, sorted: quantiles are read off it.
    """

    margins: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, int, int],
        num_classes: int,
        sigma_data: float,
        margins: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.image_shape = image_shape
        self.num_classes = num_classes
        self.sigma_data = sigma_data
        self.register_buffer("margins", margins)

    def forward(self, noisy: Tensor, sigma: Tensor, labels: Tensor, quantiles: Tensor | None = None) -> Tensor:
        """Estimate the clean images.

        Args:
            noisy: [B, C, H, W] float32, clean images on the scale [-1, 1] plus noise.
            sigma: [B] float32, standard deviation of that noise.
            labels: [B] int64.
            quantiles: [B] float32 in [0, 1], of the images' margins; nan: not told. None: of none.

        Returns:
            [B, C, H, W] float32.
        """
        c_skip, c_out, c_in, c_noise = precondition(sigma, self.sigma_data)  # [B] each
        raw: Tensor = self.network(_per_image(c_in) * noisy, c_noise, labels, quantiles)  # [B, C, H, W]
        # Eq. 7: D(x; sigma) = c_skip x + c_out F(c_in x; c_noise).
        return _per_image(c_skip) * noisy + _per_image(c_out) * raw


def precondition(sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return c_skip, c_out, c_in and c_noise of each sigma [B] (Karras et al. 2022, Table 1)."""
    total = sigma**2 + sigma_data**2  # [B]
    return sigma_data**2 / total, sigma * sigma_data * total.rsqrt(), total.rsqrt(), sigma.log() / 4


def build_denoiser(
    settings: EdmSettings,
    image_shape: tuple[int, int, int],
    num_classes: int,
    seed: int,
    margins: Tensor | None = None,
) -> Denoiser:
    """Build an untrained denoiser on the CPU; load a checkpoint into it with `load_state_dict`.

    Args:
        settings: network, `sigma_data` and whether it takes a margin.
        image_shape: (H, W, C).
        num_classes: number of labels.
        seed: determines the weights; torch's global random state is left as it was.
        margins: [K] float32 from `sorted_margins`; for a checkpoint any numbers, as many as it holds.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, "edm", "weights"))
        network = build_network(settings, image_shape, num_classes)
    return Denoiser(network, image_shape, num_classes, settings.sigma_data, margins)


def train_generator(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    num_classes: int,
    settings: EdmSettings,
    seed: int,
    device: str = "cpu",
    on_step: Callable[[int, Tensor], None] | None = None,
    state_file: StateFile = NO_STATE,
    margins: NDArray[np.float32] | None = None,
) -> Denoiser:
    """Train a denoiser and return its averaged weights in evaluation mode.

    Choices of ours: images are drawn with replacement; Adam, linear warm-up over 5 % of the steps, then
    cosine to zero; decay of the average min(averaging, (1 + t) / (10 + t)). On the CPU the same seed and
    thread count give the same bits.

    Args:
        images: [N, H, W, C] uint8.
        labels: [N] int64, in [0, num_classes).
        num_classes: number of labels.
        settings: architecture and training.
        seed: determines initial weights, order and noise.
        device: where to train, e.g. "cpu" or "cuda".
        on_step: called with the number of finished steps and the loss of the last, which the device may not know yet.
        state_file: where the state is kept that a killed training goes on from.
        margins: [N] float32, of the images, nan where not known; for settings with `margin`, and for no others.

    Raises:
        DataError: images, labels and margins that do not fit together, or a loss or a weight that is not finite.
    """
    _check_training_set(images, labels, num_classes)
    _check_margins(margins, settings, len(labels))
    training = _Training(images, labels, num_classes, settings, seed, device, margins)
    saved = state_file.load()
    if saved is not None:
        with state_file.putting_back():
            training.load_state_dict(saved)
    # Invariant: `step` updates are done. A turn offers the state, which may save it, and takes one more.
    while training.step < settings.steps:
        state_file.offer(training.state_dict)
        loss = training.advance()
        if on_step is not None:
            on_step(training.step, loss)
    training.check()
    return training.average


class _Training:
    """The state of one training."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        num_classes: int,
        settings: EdmSettings,
        seed: int,
        device: str,
        margins: NDArray[np.float32] | None = None,
    ) -> None:
        height, width, channels = images.shape[1:]
        self.step = 0
        self._losses: list[Tensor] = []  # of the steps since the last look
        table = None if margins is None else torch.from_numpy(sorted_margins(margins))
        self.denoiser = build_denoiser(settings, (height, width, channels), num_classes, seed, table).to(device)
        self.average = deepcopy(self.denoiser).eval().requires_grad_(False)
        self._settings = settings
        self._images, self._labels = torch.tensor(images, device=device), torch.tensor(labels, device=device)
        self._quantiles = None if margins is None else _read_quantiles(margins).to(device)  # [N]
        self._optimizer = torch.optim.Adam(self.denoiser.parameters(), lr=settings.learning_rate, fused=True)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: rate_factor(step, settings.steps)
        )
        self._generator = torch.Generator(device).manual_seed(derive_seed(seed, "edm", "training"))

    def advance(self) -> Tensor:
        """Take one step and return its loss; whether it was finite is asked of the device now and then."""
        size, settings = (self._settings.batch_size,), self._settings
        rows = torch.randint(len(self._images), size, generator=self._generator, device=self._images.device)
        quantiles = self._draw_quantiles(rows)
        clean, labels = _to_network(self._images[rows]), self._labels[rows]
        loss = denoising_loss(self.denoiser, clean, labels, settings, self._generator, quantiles)
        self.step += 1
        self._losses.append(loss.detach())
        if len(self._losses) == _STEPS_A_LOOK:
            self._check_losses()
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._schedule.step()
        # The decay warms up, so that the average soon forgets the initial weights.
        decay = min(self._settings.averaging, (1 + self.step) / (10 + self.step))
        _update_average(self.average, self.denoiser, decay)
        return loss.detach()

    def _draw_quantiles(self, rows: Tensor) -> Tensor | None:
        """Return the quantiles of the rows' margins [B], nan where one is not known or left out; None: all are."""
        if self._quantiles is None or self._settings.margin is None:
            return None
        draws = torch.rand(len(rows), generator=self._generator, device=rows.device)  # [B]
        return self._quantiles[rows].masked_fill(draws < self._settings.margin.drop, math.nan)

    def check(self) -> None:
        """Refuse losses and weights that are not finite: a loss shows the weights of the step before it alone."""
        self._check_losses()
        check_finite_weights(self.denoiser, f"after step {self.step} of {self._settings.steps}")

    def _check_losses(self) -> None:
        if not self._losses:
            return
        values, first = torch.stack(self._losses).tolist(), self.step - len(self._losses) + 1
        self._losses.clear()
        for step, value in enumerate(values, first):
            if not math.isfinite(value):
                raise DataError(
                    f"expected a finite loss, got {value} at step {step} of {self._settings.steps}; lower learning_rate"
                )

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come depend on, but data and settings.

        Raises:
            DataError: a loss or a weight that is not finite.
        """
        self.check()
        return {
            "step": self.step,
            "denoiser": self.denoiser.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.step = state["step"]
        self.denoiser.load_state_dict(state["denoiser"])
        self.average.load_state_dict(state["average"])
        self._schedule.load_state_dict(state["schedule"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])


def denoising_loss(
    denoiser: nn.Module,
    clean: Tensor,
    labels: Tensor,
    settings: EdmSettings,
    generator: torch.Generator,
    quantiles: Tensor | None = None,
) -> Tensor:
    """Return the mean weighted squared error at log-normal noise levels (Karras et al. 2022, Table 1).

    Args:
        denoiser: called with noisy images, sigma, labels and quantiles.
        clean: [B, C, H, W] float32 on the scale [-1, 1].
        labels: [B] int64.
        settings: `p_mean`, `p_std` and `sigma_data` are used.
        generator: source of the noise, on the device of `clean`.
        quantiles: [B] float32, of the images' margins, nan where not told; None: of none.
    """
    device = clean.device
    normal = torch.randn(len(clean), generator=generator, device=device)  # [B]
    sigma = (settings.p_mean + settings.p_std * normal).exp()  # [B]; ln sigma ~ N(P_mean, P_std^2)
    noise = torch.randn(clean.shape, generator=generator, device=device)  # [B, C, H, W]
    estimate: Tensor = denoiser(clean + _per_image(sigma) * noise, sigma, labels, quantiles)  # [B, C, H, W]
    # lambda(sigma) = 1 / c_out^2: the network output is fitted with weight 1 at every noise level.
    weight = (sigma**2 + settings.sigma_data**2) / (sigma * settings.sigma_data) ** 2  # [B]
    return (_per_image(weight) * (estimate - clean) ** 2).mean()


def rate_factor(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step in [0, steps]: linear warm-up, cosine to zero."""
    warmup_steps = max(1, round(WARMUP_FRACTION * steps))
    return min(1.0, (step + 1) / warmup_steps) * 0.5 * (1 + math.cos(math.pi * step / steps))


def _check_training_set(images: NDArray[np.uint8], labels: NDArray[np.int64], num_classes: int) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DataError(f"expected images uint8 [N, H, W, C], got {images.dtype} {list(images.shape)}")
    if labels.shape != images.shape[:1] or labels.dtype != np.int64:
        raise DataError(f"expected labels int64 [{len(images)}], got {labels.dtype} {list(labels.shape)}")
    if not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(f"expected one or more labels in [0, {num_classes}), got {np.unique(labels).tolist()}")


def _check_margins(margins: NDArray[np.float32] | None, settings: EdmSettings, count: int) -> None:
    if (margins is None) != (settings.margin is None):
        wanted, found = ("none", "some") if settings.margin is None else ("one for each image", "none")
        raise DataError(f"expected margins for settings with margin alone, here {wanted}, got {found}")
    if margins is not None and (margins.shape != (count,) or np.isnan(margins).all()):
        raise DataError(
            f"expected margins [{count}] of which some are known, got {list(margins.shape)} with "
            f"{int((~np.isnan(margins)).sum())} known ones"
        )


@torch.no_grad()
def _update_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    for averaged, parameter in zip(average.parameters(), current.parameters(), strict=True):
        averaged.lerp_(parameter, 1 - decay)


def _read_quantiles(margins: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(quantiles_of(margins, sorted_margins(margins)))


def _to_network(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1  # [B, H, W, C] to [B, C, H, W]


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]

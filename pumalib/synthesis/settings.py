"""Settings of the image generator, a small class-conditional diffusion model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from pumalib.settings import Name, Settings, is_none

PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class GeneratorMarginSettings(Settings):
    """The margin of each train row, as a condition that the generator learns beside the class."""

    score: Name
    """Name under `scores`: a margin of the train rows, in a pool of the generator's dataset without synthetic rows."""

    drop: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Probability that a training step leaves a row's margin out, so that the generator also samples without one
    (Ho & Salimans 2022, who find 0.1 and 0.2 equally good)."""


class EdmSettings(Settings):
    """Architecture, training and sampling of an EDM generator (Karras et al. 2022)."""

    method: Literal["edm"] = "edm"
    """The kind of generator: ``edm``, the diffusion model of Karras et al. 2022."""

    dataset: Name
    """Name of the dataset whose train split the generator is trained on."""

    network: Literal["mlp", "unet"] = "unet"
    """Denoiser network: ``mlp`` for tiny images such as 8x8 digits, ``unet`` for 28 or 32 pixels and more."""

    width: Annotated[int, Field(ge=8, multiple_of=8)]
    """Hidden units (``mlp``) or channels at full resolution (``unet``), a multiple of 8."""

    num_blocks: PositiveInt
    """Residual blocks in all (``mlp``), or per resolution (``unet``; Karras et al. use 4)."""

    steps: PositiveInt
    """Training steps (batches)."""

    batch_size: PositiveInt
    """Images per training step (Karras et al. use 512 on CIFAR-10)."""

    learning_rate: PositiveFloat
    """Peak learning rate of Adam, after warm-up (Karras et al. use 1e-3 on CIFAR-10)."""

    averaging: Annotated[float, Field(ge=0, lt=1)]
    """Decay per step of the moving average of weights that samples are drawn from; 0: the last weights."""

    sigma_data: PositiveFloat = 0.5
    """Assumed standard deviation of pixels on the scale [-1, 1] (Karras et al. 2022, Table 1)."""

    p_mean: Annotated[float, Field(allow_inf_nan=False)] = -1.2
    """Mean of ln(sigma) in training, sigma on the scale [-1, 1] (Karras et al. 2022, Table 1)."""

    p_std: PositiveFloat = 1.2
    """Standard deviation of ln(sigma) in training (Karras et al. 2022, Table 1)."""

    sampling_steps: Annotated[int, Field(ge=2)] = 18
    """Noise levels above 0; n of them cost 2n - 1 network calls (Karras et al. 2022 use 18 on CIFAR-10)."""

    sigma_min: PositiveFloat = 0.002
    """Lowest noise level above 0, on the scale [-1, 1] (Karras et al. 2022, Table 1)."""

    sigma_max: PositiveFloat = 80.0
    """Noise level that sampling starts from, on the scale [-1, 1] (Karras et al. 2022, Table 1)."""

    rho: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 7.0
    """Exponent that crowds the noise levels towards sigma_min (Karras et al. 2022, Table 1)."""

    sampling_batch_size: PositiveInt = 500
    """Images sampled at once; memory and speed only, the images stay the same up to rounding."""

    margin: GeneratorMarginSettings | None = Field(default=None, exclude_if=is_none)
    """What makes the generator learn the margins of its train rows; none: it knows their classes alone."""

    @model_validator(mode="after")
    def _check_noise_range(self) -> Self:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"expected sigma_min below sigma_max ({self.sigma_max}), got {self.sigma_min}")
        return self


SAMPLING_KEYS = frozenset({"sampling_steps", "sigma_min", "sigma_max", "rho", "sampling_batch_size"})
"""Settings that only sampling uses: changing one of them does not retrain the generator."""


GUIDED_MODULE = "pumalib.synthesis.guided"
"""The module that guides sampling by a model, which only the synthetic sets depend on that ask for it."""


def guidance_module(method: str) -> str:
    """Return the module of a way to guide, by convention."""
    return f"pumalib.synthesis.guidance.{method}"


def synthetic_module(method: str) -> str:
    """Return the module of a way to make a synthetic set, by convention."""
    return f"pumalib.synthesis.methods.{method}"

"""Settings of learned pools. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pumalib.models.settings import ArchitectureSettings
from pumalib.settings import Name, PixelAmount, PixelAmountOrZero, PositiveAmount, Settings


class _LearnedSettings(Settings):
    pool: Name
    """Name under `pools` of the pool it starts from; rows, labels and sources stay as they are there."""


class TriLevelSettings(_LearnedSettings):
    """Images such that natural training on them gives robust models (Wu et al. 2022), by tri-level optimisation."""

    method: Literal["tri_level"] = "tri_level"
    architectures: tuple[ArchitectureSettings, ...] = Field(min_length=1)
    """Networks that the images are learned on, drawn at each new initialisation; the first is the probe's."""
    steps: int = Field(default=2000, gt=0)
    """Steps of the pixels."""
    unrolled_steps: int = Field(default=5, ge=0)
    """Steps of natural training that each step of the pixels differentiates through; with 0 nothing is learned."""
    batch_size: int = Field(default=64, gt=0)
    """Rows per step of natural training."""
    learning_rate: float = Field(default=0.1, ge=0)
    """Learning rate of natural training, constant."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of natural training."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay of natural training."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of natural training."""
    networks: int = Field(default=10, gt=0)
    """Networks that train side by side, at different ages."""
    max_age: int = Field(default=500, gt=0)
    """Steps of natural training after which a network restarts; also how long a probe is trained."""
    epsilon: PixelAmount | None = None
    """Radius of the attack in the outer loss, pixel scale; none: the threat's."""
    attack_steps: int = Field(default=10, gt=0)
    """Gradient steps of that attack, each a quarter of the radius."""
    attack_batch_size: int = Field(default=256, gt=0)
    """Rows of the pool it starts from that the outer loss looks at."""
    update: Literal["adam", "sign"] = "adam"
    """How pixels step: by Adam (Kingma & Ba 2015), or by the sign of the hypergradient."""
    step_size: PositiveAmount = 0.01
    """Step of the pixels on the pixel scale; falls linearly to 0."""
    bound: PixelAmountOrZero | None = None
    """Largest change of a pixel, pixel scale; none: any within [0, 1]."""
    recompute_steps: bool = False
    """Compute unrolled steps again on the way back instead of keeping them: less memory, more time."""
    probe_every: int = Field(default=200, gt=0)
    """Steps between measurements of a fresh, naturally trained network, for progress.csv."""
    probe_images: int = Field(default=500, gt=0)
    """Images of those measurements: validation rows where the dataset has them, else rows of the start pool."""


class RobustFeaturesSettings(_LearnedSettings):
    """Images with the features that a robust model sees in each row, and no others (Ilyas et al. 2019)."""

    method: Literal["robust_features"] = "robust_features"
    model: Name
    """Name of a run on the same dataset: the robust model."""
    features: Literal["penultimate", "logits"] = "penultimate"
    """What is matched: the input of the model's last linear layer, or its output."""
    steps: int = Field(default=1000, gt=0)
    """Gradient steps (Ilyas et al. 2019)."""
    step_size: PositiveAmount = 0.1
    """Length of the first step in L2, pixel scale (Ilyas et al. 2019); it falls linearly to 0, our choice."""
    batch_size: int = Field(default=500, gt=0)
    """Rows at once; changes the speed, not the result but for rounding."""


LearnedSettings = Annotated[TriLevelSettings | RobustFeaturesSettings, Field(discriminator="method")]


def starting_ages(settings: TriLevelSettings) -> list[int]:
    """Return how many steps the network of each place has trained before the first step of the pixels."""
    return [place * settings.max_age // settings.networks for place in range(settings.networks)]


def learning_module(method: str) -> str:
    """Return the module of a method, by convention."""
    return f"pumalib.learning.methods.{method}"

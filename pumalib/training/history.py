"""The history of a training: one line per epoch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import ascend
from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.projection import start_in_ball
from pumalib.attacks.threat_settings import Norm, ThreatSettings
from pumalib.data.image_readers import read_all
from pumalib.data.images import LabelledImages, subset_rows
from pumalib.models.checks import frozen_parameters
from pumalib.models.inputs import to_model_input

_ATTACK_STEPS = 10


@dataclass(frozen=True)
class EpochRecord:
    """One line of history.csv.

    Attributes:
        epoch: counted from 1.
        images_seen: draws so far.
        loss: mean of the training loss over the epoch.
        natural_loss: mean cross-entropy on clean images; nan with `pgd_at`, which never looks at them.
        robust_loss: mean robust term, unweighted; 0 with natural training.
        learning_rate: of the epoch's last step.
        clean_accuracy: of the averaged weights on the history images; nan where not measured.
        robust_accuracy: the same under PGD-10 on the cross-entropy.
        split: where the history images come from.
        mean_epsilon: mean signed epsilon of the rows trained in the epoch, pixel scale; 0 with natural training.
        num_dropped: draws of the epoch that an online policy dropped.
    """

    epoch: int
    images_seen: int
    loss: float
    natural_loss: float
    robust_loss: float
    learning_rate: float
    clean_accuracy: float
    robust_accuracy: float
    split: str
    mean_epsilon: float
    num_dropped: int


def to_frame(records: list[EpochRecord]) -> pd.DataFrame:
    """Return the history as a table."""
    return pd.DataFrame([asdict(record) for record in records], columns=[field.name for field in fields(EpochRecord)])


@dataclass(frozen=True)
class Probe:
    """A few images that the history measures the averaged weights on: cheap, and never the test split.

    Attributes:
        images: [M, C, H, W] float in [0, 1] on the device.
        labels: [M] int64.
        epsilon: radius, pixel scale.
        norm: `linf` or `l2`.
        split: where the images come from.
        rows: [M] int64, their numbers in that split; of train rows, those in the pool.
    """

    images: Tensor
    labels: Tensor
    epsilon: float
    norm: Norm
    split: str
    rows: NDArray[np.int64]

    def measure(self, model: nn.Module) -> tuple[float, float]:
        """Return (clean accuracy, robust accuracy under PGD-10) of a model in eval mode."""
        with torch.no_grad():
            is_right = model(self.images).argmax(1) == self.labels
        radii = self.images.new_full((len(self.images),), self.epsilon)
        generator = torch.Generator(self.images.device).manual_seed(0)
        noise = torch.rand(self.images.shape, generator=generator, device=self.images.device) * 2 - 1
        with frozen_parameters(model):
            adversarial = ascend(
                lambda inputs: cross_entropy(model(inputs), self.labels),
                self.images,
                start_in_ball(noise, radii, self.norm),
                radii,
                radii / 4,
                _ATTACK_STEPS,
                self.norm,
            )
        with torch.no_grad():
            withstands = is_right & (model(adversarial).argmax(1) == self.labels)
        return float(is_right.float().mean()), float(withstands.float().mean())


def make_probe(images: LabelledImages, count: int, threat: ThreatSettings, split: str, device: torch.device) -> Probe:
    """Put some images, drawn in proportion to the classes, on the device."""
    rows = subset_rows(images.labels, count, "probe")
    chosen = images.take(rows)
    pixels = to_model_input(torch.from_numpy(read_all(chosen.images)).to(device))
    return Probe(pixels, torch.from_numpy(chosen.labels).to(device), threat.epsilon, threat.norm, split, rows)

"""The shortest perturbation that fools a model, as DeepFool finds it: robust accuracy at every epsilon at once.

It follows gradients, so a model that masks them looks robust to it as it does to PGD; `square` does not.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.settings import MinimumNormSettings


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: MinimumNormSettings) -> Found:
    """Return the nearest misclassified point found, in the ball or not; the label as its prediction: none was found."""
    table = deepfool_margins(
        model,
        batch.images,
        batch.labels,
        norm=ball.norm,
        clip=ball.clip,
        max_iterations=settings.max_iterations,
        overshoot=settings.overshoot,
        bisection_steps=settings.bisection_steps,
        num_candidates=settings.num_candidates,
        batch_size=len(batch.images),
        keep_adversarial=True,
    )
    # Margins below 0 are of images so near the boundary that the rounding of this batch has them wrong already.
    prediction = np.where(table.converged & (table.margin >= 0), table.adversarial_class, table.prediction)
    points = torch.as_tensor(table.adversarial_images).to(batch.images)
    return Found(points, torch.from_numpy(prediction).to(batch.labels))

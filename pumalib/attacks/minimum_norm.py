"""The shortest perturbation that fools a model, as DeepFool finds it: robust accuracy at every epsilon at once.

It follows gradients, so a model that masks them looks robust to it as it does to PGD; `square` does not.
"""

from __future__ import annotations

from functools import partial

import torch

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.deepfool import Walk, find_crossing
from pumalib.attacks.margins import measure_batch
from pumalib.attacks.settings import MinimumNormSettings
from pumalib.models.network import Network


def attack(model: Network, batch: Batch, ball: Ball, settings: MinimumNormSettings) -> Found:
    """Return the nearest misclassified point found, in the ball or not; the label as its prediction: none was found."""
    walk = Walk(ball.norm, ball.clip, settings.max_iterations, settings.overshoot, settings.num_candidates)
    search = partial(find_crossing, walk=walk)
    margin, crossed, prediction, reached, *_, points = measure_batch(
        search, model, batch.images, batch.labels, ball.norm, settings.bisection_steps
    )
    # Margins below 0 are of images so near the boundary that the rounding of this batch has them wrong already.
    return Found(points, torch.where(crossed & (margin >= 0), reached, prediction))

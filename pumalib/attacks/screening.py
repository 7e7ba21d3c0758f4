"""A first attack in half precision, which spares the float32 attack what float32 confirms to be fooled.

What is not confirmed, survivors and false alarms alike, is attacked in float32 as if nothing had come before. So half
precision never makes an image robust: it can only fool one that the float32 attack would have missed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pumalib.attacks.batch import Batch, Found
from pumalib.attacks.objectives import cw_margin
from pumalib.models.network import Network

Search = Callable[[nn.Module, Batch], Found]


class InBfloat16(nn.Module):
    """A network whose passes are in bfloat16 (autocast); points and logits keep their precision.

    It has a face of its own, so that what overflows or rounds there is not held against the network.

    Args:
        model: maps [B, ...] to logits [B, K].
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._network = Network(model.module if isinstance(model, Network) else model)

    def forward(self, points: Tensor) -> Tensor:
        """Return logits [B, K] of points [B, ...]."""
        with torch.autocast(points.device.type, torch.bfloat16):
            logits: Tensor = self._network(points)
        return logits


def search_screened(model: nn.Module, batch: Batch, search: Search) -> Found:
    """Search in bfloat16 first, and in float32 what float32 does not confirm to be fooled.

    Args:
        model: maps [B, ...] to logits [B, K]; eval mode.
        batch: rightly classified images.
        search: the attack; its random numbers depend on the seed and the rows alone.

    Returns:
        The very point of the first attack, with the prediction in float32, where that is wrong; else what the attack
        in float32 ends with.
    """
    found = search(InBfloat16(model), batch)
    images, prediction = found.images, _confirmed(model, batch, found)  # [B, ...], [B]
    left = torch.nonzero(prediction == batch.labels).squeeze(1)  # [A]
    if len(left):
        rest = Batch(batch.images[left], batch.labels[left], batch.rows[left.cpu().numpy()], batch.seed)
        again = search(model, rest)
        images[left], prediction[left] = again.images, again.prediction
    return Found(images, prediction)


@torch.no_grad()
def _confirmed(model: nn.Module, batch: Batch, found: Found) -> Tensor:
    """Return the wrong predictions [B] in float32 at the points that half precision found; the label elsewhere."""
    prediction = batch.labels.clone()
    rows = torch.nonzero(found.prediction != batch.labels).squeeze(1)  # [F]
    if len(rows) == 0:
        return prediction
    points, labels = found.images[rows], batch.labels[rows]
    # A gradient that is not finite in bfloat16 gives such a point, which says nothing of the network in float32.
    logits = model.unnoted(points) if isinstance(model, Network) else model(points)  # [F, K]
    is_wrong = (cw_margin(logits, labels) > 0) & points.flatten(1).isfinite().all(1)  # of NaN: no
    prediction[rows] = torch.where(is_wrong, logits.argmax(1), labels)
    return prediction

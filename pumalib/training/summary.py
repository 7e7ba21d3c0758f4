"""What an epoch came to: its mean losses, and what became of the rows it drew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.errors import DataError
from pumalib.training.losses import BatchLoss


@dataclass(frozen=True)
class EpochSummary:
    """What one epoch came to.

    Attributes:
        total, natural, robust: mean losses over the steps that were taken; see `BatchLoss`.
        mean_epsilon: mean signed epsilon of the rows trained, pixel scale; 0 where nothing is perturbed.
        num_dropped: draws that an online policy dropped.
    """

    total: float
    natural: float
    robust: float
    mean_epsilon: float
    num_dropped: int


def rows_trained(loss: BatchLoss, num_rows: int) -> Tensor:
    """Return the sum of epsilons over the rows that a batch trained, and their number, [2] float on the device."""
    epsilons = torch.zeros(num_rows, device=loss.total.device) if loss.epsilons is None else loss.epsilons
    kept = torch.ones_like(epsilons) if loss.kept is None else loss.kept.to(epsilons)
    return torch.stack([(epsilons * kept).sum(), kept.sum()])


def summarise_epoch(
    losses: NDArray[np.float64], trained: NDArray[np.float64], batch_size: int, epoch: int
) -> EpochSummary:
    """Put the steps of an epoch together; a batch that was dropped whole is no step.

    Args:
        losses: [S, 3], total, natural and robust loss of each batch.
        trained: [S, 2], of `rows_trained`.
        batch_size: rows drawn a batch.
        epoch: counted from 0.

    Raises:
        DataError: a loss that is not finite, or no row that was kept.
    """
    check_finite(losses[:, 0], epoch, len(losses))
    epsilon_sum, num_trained = trained.sum(0)
    if num_trained == 0:
        raise DataError(
            f"expected rows to train on, got none: every row of epoch {epoch + 1} was still right at prune_above and "
            "dropped; raise prune_above or warmup_epochs under epsilon"
        )
    total, natural, robust = (float(mean) for mean in losses[trained[:, 1] > 0].mean(0))
    num_dropped = batch_size * len(losses) - round(num_trained)
    return EpochSummary(total, natural, robust, float(epsilon_sum / num_trained), num_dropped)


def check_finite(losses: NDArray[np.float64], epoch: int, num_steps: int) -> None:
    """Look at many steps at once: asking the device after each would make every step wait.

    Args:
        losses: [S], total loss of the first batches of an epoch.
        epoch: counted from 0.
        num_steps: of a whole epoch.

    Raises:
        DataError: a loss that is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise DataError(
            f"expected a finite loss, got {losses[bad[0]]} in epoch {epoch + 1} at its step {bad[0] + 1} of "
            f"{num_steps}; lower learning_rate"
        )

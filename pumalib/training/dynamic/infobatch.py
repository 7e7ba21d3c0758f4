"""InfoBatch (Qin et al. 2024, arXiv 2303.04947): each epoch leaves out other rows, and those that stay stand for them.

Of the rows whose loss is below the mean of all losses, `fraction` is drawn anew for every epoch and left out. The
others of them count ``1 / (1 - fraction)`` times, so that the gradients of an epoch, which has fewer steps, sum in the
mean to those of all rows. A row's loss is the one it had when it was drawn last. The last epochs train on all rows.

Which rows may go, how many of them do, what the others weigh and how epochs are counted is as in the authors' code.
Choices of ours: a row that was not drawn yet stays, and the mean is that of the others (there every row has loss 3 at
first); the loss is the method's own, of TRADES both terms.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.randomness import numpy_generator
from pumalib.training.dynamic.settings import InfoBatchSettings
from pumalib.training.losses import Step
from pumalib.training.row_memory import remember


class Policy:
    """What an epoch leaves out, and the losses that the next one is decided by.

    Args:
        settings: how much is left out, and until when.
        num_rows: selected rows, K.
        num_epochs: of the whole training.
        seed: of the draws.
        device: of the losses.

    Attributes:
        weights: [K] float32, what each selected row counts in the epoch under way; 0: it is left out.
    """

    def __init__(
        self, settings: InfoBatchSettings, num_rows: int, num_epochs: int, seed: int, device: torch.device
    ) -> None:
        self.weights = np.ones(num_rows, np.float32)
        self._losses = torch.full((num_rows,), torch.nan, device=device)
        self._settings, self._last, self._seed = settings, settings.until * num_epochs, seed

    def begin_epoch(self, epoch: int) -> None:
        """Draw what an epoch, counted from 0, leaves out."""
        self.weights[:] = 1
        if epoch + 1 > self._last:
            return
        losses: NDArray[np.float64] = self._losses.cpu().double().numpy()
        learned = well_learned(losses)
        stay = 1 - self._settings.fraction
        count = int(stay * len(learned) + 1e-9)  # 1 of 10 at fraction 0.9, where 1 - 0.9 is a little less than 0.1
        kept = numpy_generator(self._seed, "infobatch", epoch).choice(learned, count, replace=False)
        self.weights[learned] = 0
        self.weights[kept] = 1 / stay

    def remember(self, step: Step, losses: Tensor) -> None:
        """Take in the losses, [B], of the rows of a batch that are this rank's."""
        remember(self._losses, step, losses)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what an epoch under way and the next ones depend on."""
        return {"losses": self._losses, "weights": torch.from_numpy(self.weights.copy())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self._losses.copy_(state["losses"])
        self.weights[:] = state["weights"].numpy()


def well_learned(losses: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows whose loss is below the mean, of [K] losses, nan where a row was not drawn yet."""
    known = ~np.isnan(losses)
    if not known.any():
        return np.empty(0, np.int64)
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(losses < losses[known].mean())

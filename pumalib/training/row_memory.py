"""Numbers of rows that are remembered from one draw of a row to the next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pumalib.training.losses import Step


def remember(memory: Tensor, step: Step, values: Tensor) -> None:
    """Put new values, [B], in the place of the old ones; of a row that stands twice in a batch, the first one counts.

    Args:
        memory: [K], of all selected rows; changed in place.
        step: the batch.
        values: of the rows that are this rank's.
    """
    positions = torch.from_numpy(step.positions).to(memory.device)
    _, first = np.unique(step.positions, return_index=True)
    chosen = torch.from_numpy(first).to(memory.device)
    memory[positions[chosen]] = step.ranks.whole(values, step.num_rows)[chosen]

"""The features of all rows of a pool, for scores that compare rows with each other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.models.features import features_and_logits
from pumalib.models.network import Network
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.walk import Walk

_COLUMN = "features"


def features_of(walk: Walk) -> NDArray[np.float32]:
    """Return what goes into the last linear layer for each row of the pool, [N, D].

    Raises:
        DataError: features that are not finite.
    """
    walk.through(np.arange(len(walk.pool)), look)
    features: NDArray[np.float32] = walk.found().columns[_COLUMN]
    is_bad = ~np.isfinite(features).all(axis=1)
    if is_bad.any():
        raise DataError(
            f"expected finite features, got others for {int(is_bad.sum())} of {len(features)} rows; look through "
            "another model"
        )
    return features


def look(question: Question) -> Estimate:
    """Return the features of a block as a column, beside scores that mean nothing."""
    features, _ = features_and_logits(Network(question.model), question.images)
    found = features.flatten(1).to(torch.float32).cpu().numpy()  # [B, D]
    return Estimate(np.zeros(len(found), np.float32), "harder", "", columns={_COLUMN: found})

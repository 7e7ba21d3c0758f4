"""Wrong labels on purpose: how much of a result survives a generator that errs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def with_wrong_labels(
    labels: NDArray[np.int64], share: float, num_classes: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Give a share of the rows another label, each other class as likely as the next.

    Args:
        labels: [M] in [0, num_classes).
        share: share of rows that change, in [0, 1); rounded to whole rows.
        num_classes: at least 2.
        generator: chooses rows and labels.

    Returns:
        [M] int64, a new array.
    """
    noisy = labels.astype(np.int64)
    rows = generator.choice(len(labels), size=round(share * len(labels)), replace=False)
    noisy[rows] = (noisy[rows] + generator.integers(1, num_classes, size=len(rows))) % num_classes
    return noisy

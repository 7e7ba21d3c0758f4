"""The labels that rows had before wrong ones were planted (`label_noise`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.data.pool import Pool
from pumalib.files.artifacts import open_artifact, read_array

_TRUE_LABELS = "true_labels"


def true_labels_of(pool: Pool) -> NDArray[np.int64] | None:
    """Read the labels of a pool's rows without the noise that was planted, [N]; None: none was.

    Raises:
        ArtifactError: a missing or damaged source.
    """
    parts: list[NDArray[np.int64] | None] = []
    for part in pool.parts:
        with open_artifact(part.path, part.kind) as file:
            group = file[part.group]
            parts.append(read_array(group, _TRUE_LABELS, np.int64) if _TRUE_LABELS in group else None)
    if all(part is None for part in parts):
        return None
    ends = np.cumsum([part.rows for part in pool.parts])[:-1]
    own = np.split(pool.labels, ends)
    return np.concatenate([labels if part is None else part for part, labels in zip(parts, own, strict=True)])

"""What every epsilon policy gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pumalib.attacks.threat_settings import ThreatSettings
    from pumalib.scores.table import ScoreTable


@dataclass(frozen=True)
class EpsilonQuestion:
    """The rows that a policy is for.

    Attributes:
        inside: [N] bool, of the whole pool.
        tables: the scores that the policy reads, by name.
        threat: default radius and cap, and the norm that margins must be in.
    """

    inside: NDArray[np.bool_]
    tables: Mapping[str, ScoreTable]
    threat: ThreatSettings

    def filled(self, epsilon: float) -> NDArray[np.float32]:
        """Return one epsilon for each row inside, [M] float32."""
        return np.full(int(self.inside.sum()), epsilon, np.float32)


@dataclass(frozen=True)
class KeptRows:
    """What a control gets: the rows that pruning leaves.

    Attributes:
        labels: [K] int64.
        source: [K] uint8, 0 real, 1 synthetic.
        synthetic_fraction: share of synthetic rows in a batch.
        seed: of the study.
    """

    labels: NDArray[np.int64]
    source: NDArray[np.uint8]
    synthetic_fraction: float
    seed: int

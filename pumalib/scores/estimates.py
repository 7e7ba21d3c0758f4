"""What every score method gets and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.margins import MarginTable
from pumalib.attacks.threat_settings import Norm


@dataclass(frozen=True)
class Question:
    """A block of rows to score.

    Attributes:
        model: in eval mode.
        images: [B, C, H, W] float32 in [0, 1] on the model's device.
        labels: [B] int64 on the model's device.
        threat_norm: norm that a margin is measured in unless its settings say otherwise.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    threat_norm: Norm


@dataclass(frozen=True)
class Estimate:
    """The scores of a block.

    Attributes:
        score: [B] float32.
        higher_is: `easier` or `harder`.
        unit: unit of the score.
        norm: norm of a margin, else "".
        columns: further columns, each [B].
        facts: what else the table tells of a whole pool, by the names that it has there.
    """

    score: NDArray[np.float32]
    higher_is: str
    unit: str
    norm: str = ""
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return the estimate of a block, which has no facts, as a saved state holds it."""
        columns = {name: torch.from_numpy(column) for name, column in self.columns.items()}
        kind = {"higher_is": self.higher_is, "unit": self.unit, "norm": self.norm}
        return {"score": torch.from_numpy(self.score), "columns": columns, **kind}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Estimate:
        """Return the estimate that `state_dict` was given of."""
        columns = {name: column.numpy() for name, column in state["columns"].items()}
        return cls(**{**state, "score": state["score"].numpy(), "columns": columns})


def from_margins(table: MarginTable, norm: Norm) -> Estimate:
    """Turn a margin table into an estimate."""
    columns = {
        "converged": table.converged,
        "prediction": table.prediction,
        "adversarial_class": table.adversarial_class,
        "iterations": table.iterations,
        "forwards": table.forwards,
        "backwards": table.backwards,
    }
    if table.bounded is not None:
        columns["bounded"] = table.bounded
    return Estimate(table.margin, "easier", "pixel scale [0, 1]", norm, columns)

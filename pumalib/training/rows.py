"""The rows that a training draws from, and what is refused of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.training.images import RowReader
from pumalib.training.online.settings import OnlineEpsilonSettings
from pumalib.training.recipe import Recipe
from pumalib.training.settings import AttackedRecipeSettings, RecipeSettings


@dataclass(frozen=True)
class TrainingRows:
    """What a training draws from.

    Attributes:
        images: uint8 [N, H, W, C] of the whole pool, an array or a pool's images.
        labels: [N] int64.
        source: [N] uint8, 0 real, 1 synthetic.
        rows: [K] int64 ascending, the selected rows.
        epsilons: [K] float32, signed radii of the selected rows, pixel scale.
        image_shape: (H, W, C).
        attack_steps: [K] int64, steps of the inner attack of each selected row, 0 for none; None: those of the recipe.
    """

    images: RowReader
    labels: NDArray[np.int64]
    source: NDArray[np.uint8]
    rows: NDArray[np.int64]
    epsilons: NDArray[np.float32]
    image_shape: tuple[int, int, int]
    attack_steps: NDArray[np.int64] | None = None


def check_rows(data: TrainingRows, recipe: Recipe) -> None:
    """Refuse rows and epsilons that do not fit each other, the images or the method.

    Raises:
        DataError: wrong shapes, rows out of range or order, epsilons not finite or not for this method or policy.
    """
    if data.rows.ndim != 1 or data.epsilons.shape != data.rows.shape:
        raise DataError(f"expected one epsilon for each of {data.rows.size} rows, got shape {data.epsilons.shape}")
    if data.source.shape != data.labels.shape:
        raise DataError(f"expected one source for each of {len(data.labels)} images, got shape {data.source.shape}")
    if not np.isfinite(data.epsilons).all():
        raise DataError("expected finite epsilons, got NaN or infinity")
    if len(data.rows) == 0:
        raise DataError("expected at least one selected row, got none; prune less")
    if data.rows.min() < 0 or data.rows.max() >= len(data.labels):
        raise DataError(
            f"expected selected rows in [0, {len(data.labels)}), got {data.rows.min()}..{data.rows.max()}; "
            "give the selection of these images"
        )
    if (np.diff(data.rows) <= 0).any():
        raise DataError(
            "expected selected rows in ascending order, each once, got another order; sort them, and their epsilons"
        )
    _check_attacked_rows(data, recipe)
    if not recipe.training.has_attack and not np.allclose(data.epsilons, recipe.threat.epsilon):
        raise DataError(
            "expected the default epsilon with natural training, which does not perturb; use another method"
        )
    if recipe.online is not None and recipe.training.dynamic_pruning is not None:
        raise DataError(
            f"expected no online policy beside dynamic_pruning, got {recipe.online.policy}, which does not know the "
            "weights of rows; leave one of them out"
        )
    if recipe.online is not None:
        _check_online(data, recipe.training, recipe.online)


def _check_attacked_rows(data: TrainingRows, recipe: Recipe) -> None:
    """Refuse attacks on some rows, or of steps of each row, where another attack is asked for."""
    training, steps = recipe.training, data.attack_steps
    selective = getattr(training, "selective", None)
    if selective is None and steps is None:
        return
    what = "selective" if steps is None else "attack steps of each row"
    if steps is not None and (steps.shape != data.rows.shape or steps.min(initial=0) < 0):
        raise DataError(
            f"expected a number of attack steps, at least 0, for each of {len(data.rows)} rows, got {steps.shape} from "
            f"{steps.min(initial=0)}"
        )
    if not isinstance(training, AttackedRecipeSettings) or (steps is not None and selective is not None):
        other = "selective" if training.has_attack else "natural training"
        raise DataError(f"expected no {other} beside {what}, got both; leave one of them out")
    if recipe.online is not None:
        raise DataError(
            f"expected no online policy beside {what}, got {recipe.online.policy}, which attacks every row itself; "
            "leave one of them out"
        )
    if training.attack_statistics != "running":
        raise DataError(
            f"expected attack_statistics running beside {what}, got {training.attack_statistics}: statistics of the "
            "rows attacked alone would be others"
        )


def _check_online(data: TrainingRows, settings: RecipeSettings, online: OnlineEpsilonSettings) -> None:
    if not settings.has_attack:
        raise DataError(
            f"expected no online policy with natural training, which does not perturb, got {online.policy}; "
            "use another method"
        )
    if not (data.epsilons > 0).all():
        raise DataError(
            f"expected epsilons above 0 for policy {online.policy} to start from, got {data.epsilons.min()}; "
            "leave them out"
        )

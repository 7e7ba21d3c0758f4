"""How long a training is. Imports no torch."""

from __future__ import annotations

from pumalib.training.settings import RecipeSettings


def of_pool(settings: RecipeSettings, num_rows: int) -> RecipeSettings:
    """Return a recipe whose epochs have a length: where it says none, as many draws as the pool has rows.

    The length does not depend on what is pruned, so that runs on one pool draw alike.
    """
    if settings.samples_per_epoch is not None:
        return settings
    return settings.model_copy(update={"samples_per_epoch": num_rows})


def steps_per_epoch(settings: RecipeSettings) -> int:
    """Return the whole batches of an epoch, of a recipe that `of_pool` gave."""
    if settings.samples_per_epoch is None:
        raise ValueError("expected samples_per_epoch of a recipe, got none; take that of its pool, length.of_pool")
    return -(-settings.samples_per_epoch // settings.batch_size)


def num_steps(settings: RecipeSettings) -> int:
    """Return the steps of the whole training."""
    return settings.epochs * steps_per_epoch(settings)


def num_draws(settings: RecipeSettings) -> int:
    """Return how many rows the whole training draws."""
    return num_steps(settings) * settings.batch_size


def num_attacked(fraction: float, num_rows: int) -> int:
    """Return how many rows of a batch are attacked where only a fraction is: at least one."""
    return max(1, int(fraction * num_rows))

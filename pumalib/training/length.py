"""How long a training is. Imports no torch."""

from __future__ import annotations

from pumalib.training.settings import RecipeSettings


def steps_per_epoch(settings: RecipeSettings) -> int:
    """Return the whole batches of an epoch."""
    return -(-settings.samples_per_epoch // settings.batch_size)


def num_steps(settings: RecipeSettings) -> int:
    """Return the steps of the whole training."""
    return settings.epochs * steps_per_epoch(settings)


def num_draws(settings: RecipeSettings) -> int:
    """Return how many rows the whole training draws."""
    return num_steps(settings) * settings.batch_size

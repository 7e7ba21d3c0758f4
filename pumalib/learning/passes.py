"""How many images go forward and backward through networks while a dataset is learned. Imports no torch."""

from __future__ import annotations

from pumalib.learning.settings import LearnedSettings, TriLevelSettings, starting_ages


def learning_passes(settings: LearnedSettings, num_rows: int) -> tuple[int, int]:
    """Return the images that go forward and backward through networks.

    A step of the pixels goes back through its unrolled steps of training, and so through the backward pass of each as
    well: these rows count as three backward passes. The networks that measure progress are left out, as are the
    accuracies in the history of a training.

    Args:
        settings: of the learning.
        num_rows: N rows of the pool.
    """
    if isinstance(settings, TriLevelSettings):
        return _tri_level_passes(settings)
    measured = 3  # the features to reach, and how far off they are before and after
    return num_rows * (settings.steps + measured), num_rows * settings.steps


def _tri_level_passes(settings: TriLevelSettings) -> tuple[int, int]:
    unrolled = settings.batch_size * settings.unrolled_steps
    again = unrolled if settings.recompute_steps else 0  # forward for the step's own gradient, then the step anew
    attacked = settings.attack_batch_size * (settings.attack_steps + 1)  # the attack, then the loss under it
    start = settings.batch_size * sum(starting_ages(settings))
    forward = settings.steps * (unrolled + 2 * again + attacked) + start
    backward = settings.steps * (3 * unrolled + again + attacked) + start
    return forward, backward

"""Checks of which epochs trainings keep, and of the epoch that a model is taken from. Imports no torch."""

from __future__ import annotations

from pumalib.errors import ConfigError
from pumalib.study.study import Study
from pumalib.training.kept_epochs import kept_epochs, takes_best

MOST_KEPT = 100
"""Epochs that a training may keep: it holds their weights in memory and in its saved state. A choice of ours."""


def check_kept_epochs(study: Study) -> None:
    """Refuse runs that keep no epoch or very many, and runs of the best epoch where none can be told.

    Raises:
        ConfigError: the first problem found.
    """
    for name, run in study.trained.items():
        where, training = f"runs.{name}.training", run.training
        if training.keep_every is not None and training.keep_every > training.epochs:
            raise ConfigError(
                f"expected keep_every of at most the {training.epochs} epochs of training, got {training.keep_every} "
                f"at {where}.keep_every; lower it"
            )
        if (count := len(kept_epochs(training))) > MOST_KEPT:
            raise ConfigError(
                f"expected at most {MOST_KEPT} epochs to keep, whose weights a training holds in memory, got {count} "
                f"at {where}.keep_every; raise it"
            )
        if takes_best(training):
            _expect_choice(study, name, f"{where}.checkpoint")


def _expect_choice(study: Study, run: str, where: str) -> None:
    """Refuse to take the best epoch without validation rows, or of one measured epoch."""
    dataset, training = study.dataset_of_run(run), study.trained[run].training
    if study.settings.datasets[dataset].validation_fraction == 0:
        raise ConfigError(
            f"expected validation_fraction above 0 in datasets.{dataset}, by which checkpoint: best chooses an epoch, "
            f"got 0 at {where}; give the dataset validation rows, or take checkpoint: last"
        )
    if training.history_every >= training.epochs:
        raise ConfigError(
            f"expected history_every below the {training.epochs} epochs with checkpoint: best, which chooses among "
            f"measured epochs, got {training.history_every} at {where}; lower history_every"
        )

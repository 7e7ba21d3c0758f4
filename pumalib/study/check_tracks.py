"""Checks of what runs gather for scores while they train. Imports no torch."""

from __future__ import annotations

from pumalib.errors import ConfigError
from pumalib.scores.settings import ClassificationDifficultySettings, TrackedScore
from pumalib.study.study import Study
from pumalib.tracks.passes import VISITS, epochs_of, names_of, options_of, passes_of


def check_one_pool(study: Study, score: TrackedScore, where: str) -> None:
    """Refuse tracked runs of several pools: their rows are not the same.

    Raises:
        ConfigError: at the first run of another pool.
    """
    expected = study.runs[score.tracked[0]].pool
    for run in score.tracked[1:]:
        if study.runs[run].pool != expected:
            raise ConfigError(
                f"expected tracked runs of one pool, got {score.tracked[0]} of pool {expected} and {run} of pool "
                f"{study.runs[run].pool} at {where}.tracked; leave one out"
            )


def check_tracks(study: Study) -> None:
    """Refuse tracking that could not happen, and scores of what is not tracked.

    Raises:
        ConfigError: the first problem found.
    """
    for name in study.runs:
        _check_track(study, name)
    for name, score in study.settings.scores.items():
        if isinstance(score, TrackedScore):
            _check_tracked(study, score, name)


def _check_track(study: Study, name: str) -> None:
    run, where = study.runs[name], f"runs.{name}.track"
    for quantity, wanted in passes_of(run.track).items():
        for key in ("first_epoch", "last_epoch"):
            if (getattr(wanted, key) or 1) > run.training.epochs:
                raise ConfigError(
                    f"expected {key} of at most {run.training.epochs}, the run's epochs, got {getattr(wanted, key)} "
                    f"at {where}.{quantity}.{key}; lower it, or train longer"
                )
        if wanted.inputs == "attacked" and run.training.method == "natural":
            raise ConfigError(
                f"expected inputs: clean with natural training, which has no attack, got attacked at {where}.{quantity}"
            )
        if wanted.augmented and not run.training.augments:
            raise ConfigError(
                "expected augmented: false with a training that neither crops nor flips, got true at "
                f"{where}.{quantity}; leave it out, or set crop_padding or horizontal_flip"
            )


def _check_tracked(study: Study, score: TrackedScore, name: str) -> None:
    """Find a quantity that all runs track, and epochs of each run that the score counts."""
    by_run = {run: names_of(study.runs[run].track) for run in score.tracked}
    common = [wanted for wanted in score.quantities if all(wanted in names for names in by_run.values())]
    if not common:
        run, names = next((run, names) for run, names in by_run.items() if not {*names} & {*score.quantities[:1]})
        raise ConfigError(
            f"expected runs.{run}.track to hold {' or '.join(score.quantities)} for scores.{name}, "
            f"got {', '.join(names) or 'nothing'}; add {score.quantities[0]}: {{}} there"
        )
    if common[0] == VISITS:
        _check_no_window(score, name)
        return
    for run in score.tracked:
        _check_window(study, run, common[0], score, name)
    _check_one_norm(study, common[0], score, name)


def _check_one_norm(study: Study, quantity: str, score: TrackedScore, name: str) -> None:
    """Refuse to average norms of gradients that are not of one kind."""
    norms = {run: options_of(passes_of(study.runs[run].track)[quantity]).get("norm") for run in score.tracked}
    first = score.tracked[0]
    for run, norm in norms.items():
        if norm != norms[first]:
            raise ConfigError(
                f"expected runs that track {quantity} in one norm, got {norms[first]} from {first} and {norm} from "
                f"{run} at scores.{name}.tracked; make a score for each"
            )


def _check_no_window(score: TrackedScore, name: str) -> None:
    has_window = score.first_epoch != 1 or score.last_epoch is not None
    if isinstance(score, ClassificationDifficultySettings) and has_window:
        raise ConfigError(
            f"expected no first_epoch or last_epoch at scores.{name}: its runs track visits, which count the whole "
            "training; track correct: {} for a window"
        )


def _check_window(study: Study, run: str, quantity: str, score: TrackedScore, name: str) -> None:
    resolved = study.runs[run]
    epochs = epochs_of(passes_of(resolved.track)[quantity], resolved.training.epochs)
    last = resolved.training.epochs if score.last_epoch is None else score.last_epoch
    if not any(score.first_epoch <= epoch <= last for epoch in epochs):
        raise ConfigError(
            f"expected an epoch among {epochs[0]}..{epochs[-1]} (every {epochs.step}), where runs.{run} tracks "
            f"{quantity}, got first_epoch {score.first_epoch} and last_epoch {last} at scores.{name}; "
            "move the window, or track other epochs"
        )

"""Checks of what runs gather for scores while they train. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from pumalib.errors import ConfigError
from pumalib.scores.settings import ClassificationDifficultySettings, TrackedScore
from pumalib.study.study import Study
from pumalib.tracks.passes import VISITS, PassPlan, plan_of

Passes = Mapping[str, PassPlan]
"""Passes of one run by quantity, or of one quantity by run."""


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
    plans = {name: plan_of(run.track, run.training.epochs) for name, run in study.trained.items()}
    for name, (passes, _) in plans.items():
        _check_track(study, name, passes)
    for name, score in study.settings.scores.items():
        if isinstance(score, TrackedScore):
            _check_tracked({run: plans[run] for run in score.tracked}, score, name)


def _check_track(study: Study, name: str, passes: Passes) -> None:
    run, where = study.trained[name], f"runs.{name}.track"
    for quantity, (wanted, *_) in passes.items():
        for key in ("first_epoch", "last_epoch"):
            if (getattr(wanted, key) or 1) > run.training.epochs:
                raise ConfigError(
                    f"expected {key} of at most {run.training.epochs}, the run's epochs, got {getattr(wanted, key)} "
                    f"at {where}.{quantity}.{key}; lower it, or train longer"
                )
        if wanted.inputs == "attacked" and not run.training.has_attack:
            raise ConfigError(
                f"expected inputs: clean with natural training, which has no attack, got attacked at {where}.{quantity}"
            )
        if wanted.augmented and not run.training.augments:
            raise ConfigError(
                "expected augmented: false with a training that neither crops nor flips, got true at "
                f"{where}.{quantity}; leave it out, or set crop_padding, random_resized_crop or horizontal_flip"
            )


def _check_tracked(plans: Mapping[str, tuple[Passes, tuple[str, ...]]], score: TrackedScore, name: str) -> None:
    """Find a quantity that all runs track, and epochs of each run that the score counts."""
    by_run = {run: names for run, (_, names) in plans.items()}
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
    tracked = {run: passes[common[0]] for run, (passes, _) in plans.items()}
    for run, plan in tracked.items():
        _check_window(plan, score, f"runs.{run} tracks {common[0]}", name)
    _check_one_norm(tracked, common[0], name)


def _check_one_norm(tracked: Passes, quantity: str, name: str) -> None:
    """Refuse to average norms of gradients that are not of one kind."""
    first, *others = tracked
    for run in others:
        if tracked[run].norm != tracked[first].norm:
            raise ConfigError(
                f"expected runs that track {quantity} in one norm, got {tracked[first].norm} from {first} and "
                f"{tracked[run].norm} from {run} at scores.{name}.tracked; make a score for each"
            )


def _check_no_window(score: TrackedScore, name: str) -> None:
    has_window = score.first_epoch != 1 or score.last_epoch is not None
    if isinstance(score, ClassificationDifficultySettings) and has_window:
        raise ConfigError(
            f"expected no first_epoch or last_epoch at scores.{name}: its runs track visits, which count the whole "
            "training; track correct: {} for a window"
        )


def _check_window(plan: PassPlan, score: TrackedScore, tracking: str, name: str) -> None:
    epochs = plan.epochs
    last = plan.last_epoch if score.last_epoch is None else score.last_epoch
    if not any(score.first_epoch <= epoch <= last for epoch in epochs):
        raise ConfigError(
            f"expected an epoch among {epochs[0]}..{epochs[-1]} (every {epochs.step}), where {tracking}, "
            f"got first_epoch {score.first_epoch} and last_epoch {last} at scores.{name}; "
            "move the window, or track other epochs"
        )

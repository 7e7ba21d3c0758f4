"""How many images go forward and backward through a network: in a training, and in a search for margins."""

from __future__ import annotations

import math
from typing import NamedTuple

from pumalib.errors import ArtifactError
from pumalib.scores.settings import AnyScoreSettings, FeatureScoreSettings, MarginSettings, looks_through_a_model
from pumalib.scores.table import ScoreTable
from pumalib.tracks.passes import epochs_of, kind_of, passes_of
from pumalib.tracks.settings import TrackSettings
from pumalib.training.length import num_attacked, num_draws, steps_per_epoch
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineEpsilonSettings
from pumalib.training.settings import AttackedRecipeSettings, RecipeSettings

_WITH_GRADIENTS = ("aign", "grand")
"""Tracked quantities that go forward and backward themselves; the others share one forward."""


class Passes(NamedTuple):
    """Images that went through a network; nan: not known."""

    forward: float
    backward: float


UNKNOWN = Passes(math.nan, math.nan)


def counts_passes(settings: AnyScoreSettings) -> bool:
    """Say whether it is known how often a score passes images through a network.

    Margins count, tracks are planned, and for features each row passes once.
    """
    return isinstance(settings, MarginSettings | FeatureScoreSettings) or not looks_through_a_model(settings)


def attack_steps(training: RecipeSettings) -> int:
    """Return the gradient steps of the inner attack a draw."""
    return training.attack_steps if isinstance(training, AttackedRecipeSettings) else 0


def mean_attack_steps(training: RecipeSettings, of_rows: float | None) -> float:
    """Return the gradient steps of the inner attack of a draw, in the mean.

    Args:
        training: The recipe.
        of_rows: The mean over the rows as drawn, of a selection that has steps of each row; none: all have the same.
    """
    steps, selective = attack_steps(training), getattr(training, "selective", None)
    if of_rows is not None:
        return of_rows
    if selective is None:
        return steps
    return steps * num_attacked(selective.fraction, training.batch_size) / training.batch_size


def training_passes(
    training: RecipeSettings,
    outer_passes: tuple[int, int],
    online: OnlineEpsilonSettings | None = None,
    steps_of_rows: float | None = None,
) -> Passes:
    """Return the passes of a whole training; each step of the inner attack is one forward and one backward.

    A backward pass through two forwards counts as two. The few images that the history measures are left out.

    Args:
        training: The recipe.
        outer_passes: Forward and backward passes of a draw outside the inner attack, as the recipe says.
        online: The policy that looks for epsilons while the model trains; none: they are known before.
        steps_of_rows: As in `mean_attack_steps`.
    """
    forward, backward = outer_passes
    draws, steps = num_draws(training), mean_attack_steps(training, steps_of_rows)
    looked = Passes(0, 0) if online is None else _online_passes(training, online)
    return Passes(draws * (forward + steps) + looked.forward, draws * (backward + steps) + looked.backward)


def _online_passes(training: RecipeSettings, online: OnlineEpsilonSettings) -> Passes:
    """Return what a policy adds to the one attack of each draw; rows that it drops go through the networks as well."""
    draws_per_epoch = steps_per_epoch(training) * training.batch_size
    draws = training.epochs * draws_per_epoch
    if isinstance(online, CatEpsilon):
        return Passes(draws, 0)
    late_draws = max(0, training.epochs - online.warmup_epochs) * draws_per_epoch
    if not isinstance(online, IaatEpsilon):
        tries_to_drop = late_draws if online.prune_above is not None else 0
        return Passes(draws * (1 + online.bisection_steps) + tries_to_drop, 0)
    steps = attack_steps(training)
    return Passes(late_draws * (2 * steps + 3), late_draws * 2 * steps)


def tracking_passes(track: TrackSettings, training: RecipeSettings, num_rows: int) -> Passes:
    """Return the passes that tracking adds to a training; counting visits adds none.

    Attacked inputs take one forward for the clean prediction and the inner attack; quantities of one kind share what
    they look at.

    Args:
        track: What is gathered.
        training: The recipe.
        num_rows: Rows of the pool.
    """
    forward = backward = 0
    for epoch in range(1, training.epochs + 1):
        due = {name: wanted for name, wanted in passes_of(track).items() if epoch in epochs_of(wanted, training.epochs)}
        for kind in {kind_of(wanted) for wanted in due.values()}:
            names = [name for name, wanted in due.items() if kind_of(wanted) == kind]
            is_attacked = kind.inputs == "attacked"
            with_gradients = sum(name in _WITH_GRADIENTS for name in names)
            steps = attack_steps(training) if is_attacked else 0
            forward += is_attacked + steps + with_gradients + (with_gradients < len(names))
            backward += steps + with_gradients
    return Passes(num_rows * forward, num_rows * backward)


def margin_passes(table: ScoreTable) -> Passes:
    """Return the passes of a search for margins, which counted them row by row.

    A check of the model on a few images is left out.

    Raises:
        ArtifactError: a table without the columns `forwards` and `backwards`.
    """
    missing = sorted({"forwards", "backwards"} - set(table.columns))
    if missing:
        raise ArtifactError(
            f"expected the columns forwards and backwards in a table of margins ({table.method}), got none named "
            f"{' or '.join(missing)}; score the pool again"
        )
    return Passes(float(table.columns["forwards"].sum()), float(table.columns["backwards"].sum()))

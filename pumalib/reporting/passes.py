"""How many images go forward and backward through a network: in a training, and in a search for margins."""

from __future__ import annotations

import math
from typing import NamedTuple

from pumalib.errors import ArtifactError
from pumalib.scores.table import ScoreTable
from pumalib.selection.settings import OnlineEpsilonSettings, OnlineMarginEpsilon
from pumalib.tracks.settings import TrackSettings
from pumalib.training.settings import TrainingSettings

_WITH_GRADIENTS = ("aign", "grand")
"""Tracked quantities that go forward and backward themselves; the others share one forward."""

_OUTER_PASSES = {"natural": (1, 1), "pgd_at": (1, 1), "trades": (2, 2)}
"""Forward and backward passes of a draw outside the inner attack."""


class Passes(NamedTuple):
    """Images that went through a network; nan: not known."""

    forward: float
    backward: float


UNKNOWN = Passes(math.nan, math.nan)


def attack_steps(training: TrainingSettings) -> int:
    """Return the gradient steps of the inner attack a draw."""
    return 0 if training.method == "natural" else training.inner_steps


def training_passes(training: TrainingSettings, online: OnlineEpsilonSettings | None = None) -> Passes:
    """Return the passes of a whole training; each step of the inner attack is one forward and one backward.

    A backward pass through two forwards counts as two. TRADES looks at the clean image once more where the attack has
    other statistics than the outer step. The few images that the history measures are left out.

    Args:
        training: The recipe.
        online: The policy that looks for epsilons while the model trains; none: they are known before.
    """
    forward, backward = _OUTER_PASSES[training.method]
    forward += training.method == "trades" and training.attack_statistics == "running"
    draws, steps = training.num_steps * training.batch_size, attack_steps(training)
    looked = Passes(0, 0) if online is None else _online_passes(training, online)
    return Passes(draws * (forward + steps) + looked.forward, draws * (backward + steps) + looked.backward)


def _online_passes(training: TrainingSettings, online: OnlineEpsilonSettings) -> Passes:
    """Return what a policy adds to the one attack of each draw; rows that it drops go through the networks as well."""
    epochs_after_warmup = max(0, training.epochs - online.warmup_epochs)
    draws_per_epoch = training.steps_per_epoch * training.batch_size
    draws, late_draws = training.epochs * draws_per_epoch, epochs_after_warmup * draws_per_epoch
    if isinstance(online, OnlineMarginEpsilon):
        tries_to_drop = late_draws if online.prune_above is not None else 0
        return Passes(draws * (1 + online.bisection_steps) + tries_to_drop, 0)
    steps = training.inner_steps
    return Passes(late_draws * (2 * steps + 3), late_draws * 2 * steps)


def tracking_passes(track: TrackSettings, training: TrainingSettings, num_rows: int) -> Passes:
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
        due = {name: wanted for name, wanted in track.passes.items() if epoch in wanted.epochs(training.epochs)}
        for kind in {wanted.kind for wanted in due.values()}:
            names = [name for name, wanted in due.items() if wanted.kind == kind]
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

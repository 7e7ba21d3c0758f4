"""Online PUMA (Sec. 5): epsilons and pruning from the batch's own attack, without margins computed beforehand.

One attack at the cap gives x'. Along the line through x and x', a row's epsilon is the largest m in [-cap, cap] at
which the prediction is still right, by bisection, and the row trains at that point. That there is no second attack is
our reading of the paper. The attack ascends the cross-entropy under every method (a choice of ours): the KL of TRADES
is smallest at x, so that its ascent may as well lead towards the label, and the line say nothing of a margin. With
`attack: objective` it ascends what the method's own attack does, which the paper may have meant.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.projection import per_row
from pumalib.training.losses import Objective, Perturbed, Step
from pumalib.training.online.settings import OnlineMarginEpsilon
from pumalib.training.online.start import Start


class Policy:
    """The policy; it keeps nothing from batch to batch.

    Args:
        settings: of the policy.
        start: what training starts from; not needed.
    """

    def __init__(self, settings: OnlineMarginEpsilon, start: Start) -> None:
        self._settings = settings

    def perturb(self, step: Step, objective: Objective) -> Perturbed:
        """Attack once at the cap, and train each row at its own share of the perturbation.

        Predictions are those that the inner attack sees; all rows move at once, so with BatchNorm's statistics of the
        batch a row's prediction also depends a little on where the others are.

        Args:
            step: the batch; its epsilons are the caps, above 0.
            objective: of the method; followed where the settings say so.
        """
        if self._settings.attack == "cross_entropy":
            objective = partial(cross_entropy, labels=step.labels)
        attacked = step.attacked(step.epsilons, objective)
        with torch.no_grad(), step.attack.looking_at(step.model):
            kept = self._kept(step, attacked)
            shares = largest_right_share(step, attacked, self._settings.bisection_steps)
        return Perturbed(along(step, attacked, shares), shares * step.epsilons, kept)

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: that is what is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on; there is nothing to put back."""

    def _kept(self, step: Step, attacked: Tensor) -> Tensor | None:
        """Return which rows are wrong at `prune_above`; None where nothing is dropped."""
        threshold = self._settings.prune_above
        if threshold is None or step.epoch < self._settings.warmup_epochs:
            return None
        return ~is_right(step, attacked, threshold / step.epsilons)


def along(step: Step, attacked: Tensor, shares: Tensor) -> Tensor:
    """Return ``clip(x + share (x' - x))`` with a share, [B], of its own for each row."""
    return (step.images + per_row(shares, step.images) * (attacked - step.images)).clamp(0, 1)


def is_right(step: Step, attacked: Tensor, shares: Tensor) -> Tensor:
    """Return whether each row is predicted as its label at its share of the perturbation, [B] bool."""
    right: Tensor = step.model(along(step, attacked, shares)).argmax(1) == step.labels
    return right


def largest_right_share(step: Step, attacked: Tensor, num_steps: int) -> Tensor:
    """Bisect for the largest share in [-1, 1] at which the prediction is right, [B] float.

    It is 1 where x' itself is right, -1 where no point looked at is, and otherwise too low by at most
    ``2 / 2 ** num_steps``, if a row that is wrong somewhere stays wrong further on.
    """
    low, high = torch.full_like(step.epsilons, -1.0), torch.ones_like(step.epsilons)
    is_right_at_end = is_right(step, attacked, high)
    for _ in range(num_steps):
        middle = (low + high) / 2
        right = is_right(step, attacked, middle)
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return torch.where(is_right_at_end, 1.0, low)

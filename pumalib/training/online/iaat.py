"""Instance adaptive adversarial training (Balaji, Goldstein & Hoffman 2019, arXiv 1910.08051).

A row's epsilon is remembered between its draws. At each draw after the warm-up the row is attacked at epsilon + step
and at epsilon, and the largest at which it is still right is the candidate; epsilon - step where neither is, and 0
where the row is wrong without any perturbation (as the authors' code has it). The new epsilon is
``(1 - smoothing) epsilon + smoothing candidate``, and the row trains under a further attack at it. Candidates are
tried by ascent of the cross-entropy, as in the paper; the further attack is the method's own, so with TRADES it is a
choice of ours that they differ. A row that is rarely drawn hardly moves: this needs rows that are seen many times.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import Objective, Perturbed, Step
from pumalib.training.online.memory import own_epsilons, warn_of_few_visits
from pumalib.training.online.settings import IaatEpsilon
from pumalib.training.online.start import Start
from pumalib.training.row_memory import remember

STEP_SHARE = 1.9 / 8
"""The authors' step over their epsilon: 1.9/255 at 8/255."""


class Policy:
    """The policy, and the epsilon of each row so far.

    Args:
        settings: of the policy.
        start: what training starts from; its epsilons are those of the warm-up.

    Attributes:
        epsilons: [K] float on the device, of the selected rows: all that the policy remembers.
    """

    def __init__(self, settings: IaatEpsilon, start: Start) -> None:
        self.epsilons = torch.from_numpy(start.epsilons.copy()).to(start.device)
        self._settings = settings
        self._step = settings.step or STEP_SHARE * start.threat_epsilon
        self._cap = settings.cap or math.inf
        warn_of_few_visits(settings.policy, start)

    def perturb(self, step: Step, objective: Objective) -> Perturbed:
        """Move the epsilons of a batch's rows, and attack at them with the method's own objective.

        Predictions use the statistics of the batch, unrecorded. A row that stands twice in a batch moves once.
        """
        if step.epoch >= self._settings.warmup_epochs:
            remember(self.epsilons, step, self._moved(step, own_epsilons(self.epsilons, step)))
        epsilons = own_epsilons(self.epsilons, step)
        return Perturbed(step.attacked(epsilons, objective), epsilons)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the epsilons."""
        return {"epsilons": self.epsilons}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.epsilons = state["epsilons"].to(self.epsilons.device)

    def _moved(self, step: Step, epsilons: Tensor) -> Tensor:
        """Return the epsilons after this draw, [B]."""
        candidate = (epsilons - self._step).clamp(min=0)
        for tried in (epsilons, (epsilons + self._step).clamp(max=self._cap)):
            attacked = step.attacked(tried, partial(cross_entropy, labels=step.labels))
            candidate = torch.where(_is_right(step, attacked), tried, candidate)
        candidate = torch.where(_is_right(step, step.images), candidate, 0.0)
        return epsilons.lerp(candidate, self._settings.smoothing)


@torch.no_grad()
def _is_right(step: Step, images: Tensor) -> Tensor:
    with step.attack.looking_at(step.model):
        right: Tensor = step.model(images).argmax(1) == step.labels
    return right

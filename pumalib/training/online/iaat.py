"""Instance adaptive adversarial training (Balaji, Goldstein & Hoffman 2019, arXiv 1910.08051).

A row's epsilon is remembered between its draws. At each draw after the warm-up the row is attacked at epsilon + step
and at epsilon, and the largest at which it is still right is the candidate; epsilon - step where neither is, and 0
where the row is wrong without any perturbation (as the authors' code has it). The new epsilon is
``(1 - smoothing) epsilon + smoothing candidate``, and the row trains under a further attack at it. Candidates are
tried by ascent of the cross-entropy, as in the paper; the further attack is the method's own, so with TRADES it is a
choice of ours that they differ. A row that is rarely drawn hardly moves: this needs rows that are seen many times.
"""

from __future__ import annotations

import logging
import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import Objective, Perturbed, Step
from pumalib.training.online.settings import IaatEpsilon
from pumalib.training.online.start import Start

log = logging.getLogger(__name__)

STEP_SHARE = 1.9 / 8
"""The authors' step over their epsilon: 1.9/255 at 8/255."""
FEWEST_VISITS = 0.5
"""Mean draws of a row in an epoch below which the log warns; a choice of ours."""


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
        _warn_of_few_visits(start.draws_per_epoch / len(start.epsilons))

    def perturb(self, step: Step, objective: Objective) -> Perturbed:
        """Move the epsilons of a batch's rows, and attack at them with the method's own objective.

        Predictions use the statistics of the batch, unrecorded. A row that stands twice in a batch moves once.
        """
        positions = torch.from_numpy(step.positions).to(self.epsilons.device)
        own = positions[step.ranks.share(step.num_rows)]
        if step.epoch >= self._settings.warmup_epochs:
            _, first = np.unique(step.positions, return_index=True)
            chosen = torch.from_numpy(first).to(self.epsilons.device)
            moved = step.ranks.whole(self._moved(step, self.epsilons[own]), step.num_rows)
            self.epsilons[positions[chosen]] = moved[chosen]
        epsilons = self.epsilons[own]
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


def _warn_of_few_visits(visits: float) -> None:
    if visits < FEWEST_VISITS:
        log.warning(
            "policy iaat draws each row %.2g times an epoch on average; epsilons hardly move with fewer than %g: "
            "use a smaller pool, a larger samples_per_epoch or another policy",
            visits,
            FEWEST_VISITS,
        )

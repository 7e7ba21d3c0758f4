"""Customized adversarial training, CAT (Cheng, Lei, Chen, Dhillon & Hsieh 2020, arXiv 2002.06789).

A row's epsilon starts at 0 and is remembered between its draws. At each draw the row is attacked at epsilon + step.
Where it is still right there, that is its epsilon from now on, up to the cap; where it is wrong, epsilon stays. The row
trains at the attacked point, right or wrong. Its label is the softer the larger its epsilon: it becomes
``(1 - c epsilon) onehot(y) + c epsilon d`` with d drawn from a Dirichlet distribution. The attack ascends the
cross-entropy toward a label softened by the epsilon before. Training descends it toward one softened by the epsilon
after.

The order of these steps, the step of 0.005, c = 10 and Dirichlet(1, ..., 1) are those of a public reimplementation
(hirokiadachi, Customized-Adversarial-Training); the authors' own code was not found. Choices of ours: the attack never
leaves the cap (there it may by one step); it starts at random inside the row's ball, as our other attacks do; whether
a row is right is asked with the statistics that the attack sees; of the two losses of the paper the cross-entropy is
minimised. CAT as published is `pgd_at`. Under `trades` the softened labels are those of the natural term.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.attacks.objectives import cw_margin
from pumalib.training.losses import Objective, Perturbed, Step
from pumalib.training.online.memory import own_epsilons, warn_of_few_visits
from pumalib.training.online.settings import CatEpsilon
from pumalib.training.online.start import Start
from pumalib.training.row_memory import remember

STEP_SHARE = 0.005 / (8 / 255)
"""The step over the threat's epsilon: 0.005 at 8/255."""


class Policy:
    """The policy, and the epsilon of each row so far.

    Args:
        settings: of the policy.
        start: what training starts from; its epsilons are the caps.

    Attributes:
        epsilons: [K] float on the device, of the selected rows, from 0 on: all that the policy remembers.
    """

    def __init__(self, settings: CatEpsilon, start: Start) -> None:
        self.epsilons = torch.zeros(len(start.epsilons), device=start.device)
        self._settings = settings
        self._step = settings.step or STEP_SHARE * start.threat_epsilon
        warn_of_few_visits(settings.policy, start)

    def perturb(self, step: Step, objective: Objective) -> Perturbed:
        """Attack a batch's rows one step beyond their epsilons, and let those grow whose rows withstand it.

        Args:
            step: the batch; its epsilons are the caps, above 0.
            objective: of the method; not followed.
        """
        epsilons = own_epsilons(self.epsilons, step)
        tried = torch.minimum(epsilons + self._step, step.epsilons)
        attacked = step.attacked(tried, self._objective(step, epsilons))
        with torch.no_grad(), step.attack.looking_at(step.model):
            logits = step.model(attacked)
        moved = torch.where(logits.argmax(1) == step.labels, tried, epsilons)
        remember(self.epsilons, step, moved)
        return Perturbed(attacked, tried, targets=self._soft_labels(step, moved, logits.shape[1]))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the epsilons."""
        return {"epsilons": self.epsilons}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.epsilons = state["epsilons"].to(self.epsilons.device)

    def _objective(self, step: Step, epsilons: Tensor) -> Objective:
        """Return what the attack ascends; labels are softened once, when it first sees how many classes there are."""
        if self._settings.attack == "cw":
            return partial(cw_margin, labels=step.labels)
        softened: list[Tensor] = []

        def toward_soft_labels(logits: Tensor) -> Tensor:
            if not softened:
                softened.append(self._soft_labels(step, epsilons, logits.shape[1]))
            return F.cross_entropy(logits, softened[0], reduction="none")

        return toward_soft_labels

    def _soft_labels(self, step: Step, epsilons: Tensor, num_classes: int) -> Tensor:
        """Return the distributions over classes, [B, K], that rows of these epsilons are trained toward."""
        share = self._settings.softening * epsilons / step.epsilons
        onehot = F.one_hot(step.labels, num_classes).to(epsilons.dtype)
        return onehot.lerp(self._away_from_label(step, num_classes, epsilons), share[:, None])

    def _away_from_label(self, step: Step, num_classes: int, like: Tensor) -> Tensor:
        """Return where the softened part of a label goes, [B, K]: a draw from Dirichlet(1, ..., 1), or its mean."""
        if self._settings.toward == "uniform":
            return like.new_full((len(like), num_classes), 1 / num_classes)
        drawn = torch.rand((step.num_rows, num_classes), generator=step.generator, device=like.device)
        waits = -torch.log1p(-drawn)  # exponential; over their sum they are Dirichlet(1, ..., 1)
        return (waits / waits.sum(1, keepdim=True))[step.ranks.share(step.num_rows)]

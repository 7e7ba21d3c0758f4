"""What one step of any training method gets and gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.objectives import cw_margin
from pumalib.ranks import ALONE, Ranks
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.length import num_attacked
from pumalib.training.near_rows import draw_near
from pumalib.training.settings import SelectiveSettings

Objective = Callable[[Tensor], Tensor]
"""Maps logits [B, K] to [B] values that an inner attack maximises."""


@dataclass(frozen=True)
class Perturbed:
    """The points a batch trains at.

    Attributes:
        images: [B, C, H, W] float in [0, 1], detached.
        epsilons: [B] float, signed radius each row was given.
        kept: [B] bool, False for rows that an online policy drops; None: all are kept.
        targets: [B, K] float, distributions over classes that an online policy trains toward in the place of smoothed
            labels; None: it does not.
    """

    images: Tensor
    epsilons: Tensor
    kept: Tensor | None = None
    targets: Tensor | None = None


class DynamicPruning(Protocol):
    """A way to leave rows out of single epochs; it lives in `training.dynamic.<method>`.

    Attributes:
        weights: [K] float32, what each selected row counts in the epoch under way; 0: it is left out.
    """

    weights: NDArray[np.float32]

    def begin_epoch(self, epoch: int) -> None:
        """Say what an epoch, counted from 0, leaves out."""

    def remember(self, step: Step, losses: Tensor) -> None:
        """Take in the losses, [B], of the rows of a batch that are this rank's."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what an epoch under way and the next ones depend on."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""


class OnlinePolicy(Protocol):
    """A policy that finds the epsilons of a batch during training; it lives in `training.online.<policy>`."""

    def perturb(self, step: Step, objective: Objective) -> Perturbed:
        """Perturb a batch whose `epsilons` are where the policy starts."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the policy remembers from batch to batch."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""


@dataclass(frozen=True)
class Step:
    """One batch, or the share of it that is this rank's, and all that a loss may need.

    Attributes:
        model: in train mode.
        images: [B, C, H, W] float in [0, 1], augmented.
        labels: [B] int64.
        epsilons: [B] float, signed radii.
        attack: the inner attack.
        generator: source of randomness on the images' device.
        label_smoothing: of the natural term.
        online: the policy that finds epsilons during training; None: `epsilons` stand.
        epoch: counted from 0.
        num_steps: [B] int64, steps of the inner attack of each row; None: those of the attack.
        selective: which rows are attacked; None: all.
        positions: [N] int64, places of the whole batch's rows among the selected rows; N is B where one process trains.
        ranks: the processes that share the batch.
        some_are_negative: whether one of the epsilons is below 0; None: not known.
        weights: [B] float, what each row counts in the loss; None: all count alike.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    epsilons: Tensor
    attack: InnerAttack
    generator: torch.Generator
    label_smoothing: float
    online: OnlinePolicy | None = None
    epoch: int = 0
    num_steps: Tensor | None = None
    selective: SelectiveSettings | None = None
    positions: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    ranks: Ranks = ALONE
    some_are_negative: bool | None = None
    weights: Tensor | None = None

    @property
    def num_rows(self) -> int:
        """Rows of the whole batch."""
        return len(self.images) if self.ranks.is_alone else len(self.positions)

    def perturb(self, objective: Objective, clean_logits: Tensor | None = None) -> Perturbed:
        """Perturb each row inside its own epsilon, or as the online policy says.

        Args:
            objective: of the method.
            clean_logits: [B, K] at the images, as the attack looks at the network; None: they are not known yet.
        """
        if self.online is not None:
            return self.online.perturb(self, objective)
        num_steps = self.num_steps if self.selective is None else self._steps_of_near_rows(clean_logits)
        return Perturbed(self.attacked(self.epsilons, objective, num_steps), self.epsilons)

    def attacked(self, epsilons: Tensor, objective: Objective, num_steps: Tensor | None = None) -> Tensor:
        """Return the images after one inner attack inside these signed radii, [B]; see `InnerAttack.perturb`."""
        rows = (self.num_rows, self.ranks.share(self.num_rows))
        about = (self.model, self.images, self.labels, epsilons, objective, self.generator)
        known = self.some_are_negative if epsilons is self.epsilons else None
        return self.attack.perturb(*about, rows, num_steps, known)

    def _steps_of_near_rows(self, clean_logits: Tensor | None) -> Tensor:
        """Return all of the attack's steps for the rows that are attacked, and none for the others, [B] int64."""
        assert self.selective is not None
        if clean_logits is None:
            with torch.no_grad(), self.attack.looking_at(self.model):
                clean_logits = self.model(self.images)
        margins = self.ranks.whole(cw_margin(clean_logits, self.labels), self.num_rows)
        if self.epoch < self.selective.warmup_epochs:
            margins = torch.ones_like(margins)
        is_near = draw_near(margins, num_attacked(self.selective.fraction, self.num_rows), self.generator)
        return is_near[self.ranks.share(self.num_rows)].long() * self.attack.num_steps


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch: scalars, and what became of its rows. Of a share, its part of each scalar, and its rows.

    Attributes:
        total: what is minimised.
        natural: cross-entropy on clean images; nan where the method never looks at them (`pgd_at`).
        robust: the robust term, unweighted; 0 for natural training.
        wrong: [B] bool, misclassified at the perturbed image (`natural`: at the image), in train mode.
        epsilons: [B] float, signed radius each row was given; None: nothing was perturbed.
        kept: [B] bool, rows that count; None: all.
        of_rows: [B] float, the loss of each row before its weight; None: rows have no weights.
    """

    total: Tensor
    natural: Tensor
    robust: Tensor
    wrong: Tensor
    epsilons: Tensor | None = None
    kept: Tensor | None = None
    of_rows: Tensor | None = None


def smoothed_cross_entropy(logits: Tensor, step: Step, kept: Tensor | None, targets: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over the rows that are kept, or the share's part of it.

    Args:
        logits: [B, K].
        step: the batch.
        kept: [B] bool; None: all.
        targets: [B, K] distributions over classes; None: the labels, smoothed.
    """
    if targets is not None:
        return mean_over(F.cross_entropy(logits, targets, reduction="none"), step, kept)
    if kept is None and step.weights is None and step.ranks.is_alone:
        return F.cross_entropy(logits, step.labels, label_smoothing=step.label_smoothing)
    return mean_over(cross_entropy_of_rows(logits, step), step, kept)


def cross_entropy_of_rows(logits: Tensor, step: Step) -> Tensor:
    """Return the cross-entropy of each row, [B], toward its smoothed label."""
    return F.cross_entropy(logits, step.labels, label_smoothing=step.label_smoothing, reduction="none")


def mean_over(values: Tensor, step: Step, kept: Tensor | None) -> Tensor:
    """Return the mean of [B] values over the rows that are kept, or the share's part of it; 0 where none is kept.

    A row that has a weight counts so often in the sum, and once in the number that it is divided by.
    Dropped rows leave the loss but not the forwards: BatchNorm's statistics stay those of a whole batch (a choice of
    ours; a single row that is left would have none).
    """
    if step.weights is not None:
        values = values * step.weights
    if kept is not None:
        return torch.where(kept, values, 0).sum() / step.ranks.total(kept.sum()).clamp(min=1)
    return values.mean() if step.ranks.is_alone else values.sum() / step.num_rows


def whole_loss(loss: BatchLoss, step: Step) -> BatchLoss:
    """Return the loss of the whole batch, without a graph, from those of the shares."""
    ranks = step.ranks
    if ranks.is_alone:
        return loss
    total, natural, robust = ranks.total(torch.stack([loss.total.detach(), loss.natural, loss.robust]))
    return BatchLoss(
        total,
        natural,
        robust,
        ranks.whole(loss.wrong, step.num_rows),
        None if loss.epsilons is None else ranks.whole(loss.epsilons, step.num_rows),
        None if loss.kept is None else ranks.whole(loss.kept, step.num_rows),
    )

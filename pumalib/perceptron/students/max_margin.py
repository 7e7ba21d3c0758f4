"""The max-margin student: a linear support vector machine on FGSM examples of its own weights.

For a linear student FGSM is exact, so the student solves

    min_w  ||w||^2 / 2 + cost sum_i max(0, 1 - y_i x_i.w + epsilon ||w||_1).

A finite cost is a choice of ours: where some margins are below epsilon, as almost always in large sets, no w satisfies
every constraint and a hard margin has no solution. With multipliers a in [0, cost] the dual is smooth and concave,

    max_a  sum(a) - ||w(a)||^2 / 2,   w(a) = soft(sum_i a_i y_i x_i, epsilon sum(a)),

where soft(u, s) moves every entry of u toward 0 by s. It is climbed by accelerated projected gradient steps (Beck and
Teboulle 2009) with the restarts of O'Donoghue and Candes (2015), each curve on its own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import MaxMarginSettings

_POWER_STEPS = 30
_NORM_RESERVE = 1.05
_STEPS_BETWEEN_CHECKS = 100


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: MaxMarginSettings) -> Tensor:
    """Train one student a curve on the first rows of its set, for each number of rows.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        num_rows: A numbers of rows.
        settings: of the problem and its solution.

    Returns:
        Weights, [A, K, P].
    """
    return torch.stack([_solve(inputs.first(count), epsilons, settings) for count in num_rows])


def _solve(inputs: SignedInputs, epsilons: Tensor, settings: MaxMarginSettings) -> Tensor:
    step_sizes = 1 / _curvature(inputs, epsilons)
    multipliers, ahead = torch.zeros_like(inputs.shift), torch.zeros_like(inputs.shift)
    inertia = torch.ones_like(epsilons)
    gaps = inertia
    for step in range(settings.steps):
        lacking = _lacking(inputs, _weights(inputs, ahead, epsilons), epsilons)
        climbed = lacking.mul_(step_sizes).add_(ahead).clamp_(0, settings.cost)
        change = climbed - multipliers
        is_restarted = torch.einsum("np,np->p", ahead.sub_(climbed), change) > 0
        inertia.masked_fill_(is_restarted, 1.0)
        grown = (1 + (1 + 4 * inertia**2).sqrt()) / 2
        ahead = torch.addcmul(climbed, (inertia - 1) / grown, change)
        multipliers, inertia = climbed, grown
        if (step + 1) % _STEPS_BETWEEN_CHECKS == 0 or step + 1 == settings.steps:
            gaps = _relative_gaps(inputs, multipliers, epsilons, settings.cost)
            if gaps.max() <= settings.tolerance:
                break
    level = logging.INFO if gaps.max() <= settings.tolerance else logging.WARNING
    logging.log(level, "%d rows, %d steps: largest duality gap %.2g", len(multipliers), step + 1, gaps.max())
    return _weights(inputs, multipliers, epsilons)


def _weights(inputs: SignedInputs, multipliers: Tensor, epsilons: Tensor) -> Tensor:
    pull = inputs.combination(multipliers)
    threshold = epsilons * multipliers.sum(0)
    return pull - pull.clamp(-threshold, threshold)


def _lacking(inputs: SignedInputs, weights: Tensor, epsilons: Tensor) -> Tensor:
    """Return how much each row's robust margin lies below 1: the gradient of the dual."""
    return inputs.products(weights).neg_().add_(1 + epsilons * weights.abs().sum(0))


def _curvature(inputs: SignedInputs, epsilons: Tensor) -> Tensor:
    """Bound the dual's curvature: the squared norm of the matrix of rows ``y x - epsilon s`` over signs s, [P]."""
    direction = inputs.gaussian.new_ones(len(inputs.teacher), len(epsilons))
    squared = torch.ones_like(epsilons)
    for _ in range(_POWER_STEPS):
        direction = inputs.combination(inputs.products(direction / direction.norm(dim=0)))
        squared = direction.norm(dim=0)
    largest = (_NORM_RESERVE * squared).sqrt() + epsilons * inputs.gaussian.numel() ** 0.5
    return torch.square(largest)


def _relative_gaps(inputs: SignedInputs, multipliers: Tensor, epsilons: Tensor, cost: float) -> Tensor:
    """Return the gap between primal and dual over the primal, [P]: 0 at the solution."""
    weights = _weights(inputs, multipliers, epsilons)
    half_norm = weights.square().sum(0) / 2
    primal = half_norm + cost * _lacking(inputs, weights, epsilons).clamp_(min=0).sum(0)
    return (primal - (multipliers.sum(0) - half_norm)) / primal

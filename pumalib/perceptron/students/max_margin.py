"""The max-margin student: a linear support vector machine on FGSM examples of its own weights.

For a linear student FGSM is exact, so the student solves

    min_w  ||w||^2 / 2 + cost sum_i max(0, 1 - y_i x_i.w + epsilon ||w||_1).

A finite cost is a choice of ours: where some margins are below epsilon, as almost always in large sets, no w satisfies
every constraint. The cost is the price of a unit of margin, whatever the scale of the margins: where strong pruning
leaves only small ones, a cost of 1 is a weak demand, and the student learns little (see `hard_margin`). With
multipliers a in [0, cost] the dual is smooth and concave,

    max_a  sum(a) - ||w(a)||^2 / 2,   w(a) = soft(sum_i a_i y_i x_i, epsilon sum(a)),

where soft(u, s) moves every entry of u toward 0 by s. It is climbed by accelerated projected gradient steps (Beck and
Teboulle 2009) with the restarts of O'Donoghue and Candes (2015), each curve on its own and until its own duality gap is
small. Steps follow the dual's curvature at the present signs of w, which is several times smaller than what holds for
all signs; a curve that stops rising returns to the latter.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pumalib.perceptron.learned import Learned, as_words
from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import MaxMarginSettings

_POWER_STEPS = 30
_NORM_RESERVE = 1.05
_LOCAL_POWER_STEPS = 5
_LOCAL_RESERVE = 1.3
_STEPS_BETWEEN_CHECKS = 100


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: MaxMarginSettings) -> Learned:
    """Train one student a curve on the first rows of its set, for each number of rows.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        num_rows: A numbers of rows.
        settings: of the problem and its solution.

    Returns:
        Weights; converged is what reached the tolerance.
    """
    solved = [_solve(inputs.first(count), epsilons, settings) for count in num_rows]
    weights, is_converged = zip(*solved, strict=True)
    return Learned(torch.stack(weights), as_words(torch.stack(is_converged).cpu().numpy()))


def _solve(inputs: SignedInputs, epsilons: Tensor, settings: MaxMarginSettings) -> tuple[Tensor, Tensor]:
    """Return the weights [K, P] and which curves reached the tolerance [P]."""
    ascent = _Ascent(inputs, epsilons, settings.cost)
    weights = torch.zeros_like(ascent.direction)  # [K, P]
    is_converged = torch.zeros_like(epsilons, dtype=torch.bool)  # [P]
    going = torch.arange(len(epsilons), device=epsilons.device)  # [G], the curves still open
    # Invariant: `ascent` holds the G curves whose gap was open at the last check. A turn takes one dual step. At a
    # check all G weights are written, and curves with a small gap leave.
    for step in range(1, settings.steps + 1):
        ascent.climb()
        if step % _STEPS_BETWEEN_CHECKS == 0 or step == settings.steps:
            weights[:, going] = ascent.weights()  # [K, G]
            gaps = ascent.relative_gaps()  # [G]
            is_open = gaps > settings.tolerance  # [G]
            is_converged[going] = ~is_open
            if not is_open.any():
                break
            ascent.adapt()
            ascent.keep(is_open)
            going = going[is_open]
    level = logging.WARNING if is_open.any() else logging.INFO
    count = int(is_open.sum())
    logging.log(
        level, "%d rows, %d steps: %d curves open, gap at most %.2g", len(inputs.shift), step, count, gaps.max()
    )
    return weights, is_converged


class _Ascent:
    """The climb of the dual, of the curves that are still open.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        cost: of a unit of margin lacking.

    Attributes:
        direction: [K, P], an estimate of the dual's steepest direction.
    """

    def __init__(self, inputs: SignedInputs, epsilons: Tensor, cost: float) -> None:
        self._inputs, self._epsilons, self._cost = inputs, epsilons, cost
        self.direction = inputs.gaussian.new_ones(len(inputs.teacher), len(epsilons))  # [K, P]
        self._multipliers, self._ahead = torch.zeros_like(inputs.shift), torch.zeros_like(inputs.shift)  # [N, P] each
        self._inertia = torch.ones_like(epsilons)  # [P], t_k of FISTA
        self._safe_curvature = self._bound_curvature()
        self._step_sizes = 1 / self._safe_curvature
        self._dual = torch.full_like(epsilons, -math.inf)  # [P], at the last check
        self._must_be_safe = torch.zeros_like(epsilons, dtype=torch.bool)

    def climb(self) -> None:
        """Take one step."""
        lacking = self._lacking(self._weights(self._ahead))  # [N, P]
        # In the memory of `lacking`, which is spent.
        climbed = lacking.mul_(self._step_sizes).add_(self._ahead).clamp_(0, self._cost)  # [N, P]
        change = climbed - self._multipliers  # [N, P]
        # The gradient scheme of O'Donoghue and Candes: restart where the last move goes against the gradient step.
        # `ahead` is spent after this, so it is overwritten.
        is_restarted = torch.einsum("np,np->p", self._ahead.sub_(climbed), change) > 0  # [P]
        self._inertia.masked_fill_(is_restarted, 1.0)
        grown = (1 + (1 + 4 * self._inertia**2).sqrt()) / 2  # [P]; t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2
        # a_{k+1} + (t_k - 1) / t_{k+1} (a_{k+1} - a_k), from which the next step starts.
        self._ahead = torch.addcmul(climbed, (self._inertia - 1) / grown, change)  # [N, P]
        self._multipliers, self._inertia = climbed, grown

    def weights(self) -> Tensor:
        """Return the weights that the multipliers stand for, [K, P]."""
        return self._weights(self._multipliers)

    def relative_gaps(self) -> Tensor:
        """Return the gap between primal and dual over the primal, [P]: 0 at the solution."""
        weights = self.weights()  # [K, P]
        half_norm = weights.square().sum(0) / 2  # [P]
        primal = half_norm + self._cost * self._lacking(weights).clamp_(min=0).sum(0)  # [P]
        dual = self._multipliers.sum(0) - half_norm  # [P]
        # A dual that fell between checks may mean steps too long for the true curvature. Such a curve takes safe steps
        # for good.
        self._must_be_safe |= dual < self._dual
        self._dual = dual
        return (primal - dual) / primal

    def adapt(self) -> None:
        """Follow the curvature at the present signs; where the dual fell since the last look, never again."""
        signs = self.weights().sign()  # [K, P]
        local = self._safe_curvature
        # Power iteration on M^T M, where M has the rows y x - epsilon sign(w), in the entries of w that are not 0. A
        # turn gives a better estimate of the largest eigenvalue, `local`.
        for _ in range(_LOCAL_POWER_STEPS):
            unit = torch.nn.functional.normalize(torch.where(signs == 0, 0, self.direction), dim=0)  # [K, P]
            products = self._inputs.products(unit) - self._epsilons * (signs * unit).sum(0)  # [N, P]
            self.direction = self._inputs.combination(products) - self._epsilons * signs * products.sum(0)  # [K, P]
            local = _LOCAL_RESERVE * torch.where(signs == 0, 0, self.direction).norm(dim=0)  # [P]
        is_local = (local > 0) & (local < self._safe_curvature) & ~self._must_be_safe  # [P]
        self._step_sizes = 1 / torch.where(is_local, local, self._safe_curvature)

    def keep(self, is_open: Tensor) -> None:
        """Leave the other curves out from now on."""
        self._inputs, self._epsilons = self._inputs.curves(is_open), self._epsilons[is_open]
        self.direction, self._inertia = self.direction[:, is_open], self._inertia[is_open]
        self._multipliers, self._ahead = self._multipliers[:, is_open], self._ahead[:, is_open]
        self._dual = self._dual[is_open]
        self._safe_curvature, self._step_sizes = self._safe_curvature[is_open], self._step_sizes[is_open]
        self._must_be_safe = self._must_be_safe[is_open]

    def _weights(self, multipliers: Tensor) -> Tensor:
        pull = self._inputs.combination(multipliers)  # [K, P]
        threshold = self._epsilons * multipliers.sum(0)  # [P]
        return pull - pull.clamp(-threshold, threshold)  # soft(pull, threshold)

    def _lacking(self, weights: Tensor) -> Tensor:
        """Return how much each row's robust margin lies below 1: the gradient of the dual."""
        return self._inputs.products(weights).neg_().add_(1 + self._epsilons * weights.abs().sum(0))

    def _bound_curvature(self) -> Tensor:
        """Bound the dual's curvature, [P]: the squared norm of the matrix of rows ``y x - epsilon s``, any signs s."""
        squared = torch.ones_like(self._epsilons)
        # Power iteration on X^T X, for the rows y x alone. A turn gives a better estimate of the squared norm of X,
        # from below; hence the reserve.
        for _ in range(_POWER_STEPS):
            unit = torch.nn.functional.normalize(self.direction, dim=0)  # [K, P]
            self.direction = self._inputs.combination(self._inputs.products(unit))  # [K, P]
            squared = self.direction.norm(dim=0)  # [P]
        # ||X - epsilon 1 s^T|| <= ||X|| + epsilon sqrt(N K).
        largest = (_NORM_RESERVE * squared).sqrt() + self._epsilons * self._inputs.gaussian.numel() ** 0.5  # [P]
        return torch.square(largest)

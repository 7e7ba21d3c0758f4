"""The smallest point whose robust margins are at least 1, by an interior-point method.

    min_z  ||z||^2 / 2   subject to   A z >= 1,  and z >= 0 where z is split (see `robust_rows`).

Mehrotra's predictor and corrector (SIAM J. Optimization 2, 1992) for a strictly convex quadratic program: Newton's
method on the conditions of optimality, which moves the products of slacks and multipliers to 0 together. A step solves
one system as large as z; some 20 lead to the solution. Where there is none, the multipliers soon prove it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pumalib.perceptron.learned import Word
from pumalib.perceptron.robust_rows import RobustRows

_STEPS = 80
_SMALL = 1e-10
"""By how much the least robust margin may fall short of the largest there is, relative to it. A choice of ours."""
_NO_MARGIN = 1e-10
"""Margin of a student of norm 1 below which there is none. A choice of ours; what is found is exactly 0 as a rule."""
_TO_THE_WALL = 0.995
"""Share of the way to the nearest bound that a step goes at most."""


class Solution(NamedTuple):
    """What came of a problem.

    Attributes:
        point: [D], z; the last one where the steps did not suffice.
        word: `infeasible` where it is proven that no z exists.
    """

    point: Tensor
    word: Word


class Iterate(NamedTuple):
    """A point inside its bounds, or a change of one.

    Attributes:
        point: [D], z; above 0 where it is split.
        slacks: [N], above 0; A z - 1 at the solution.
        multipliers: [N], above 0, of the rows.
        bound_multipliers: [D], above 0, of the bounds z >= 0; 0 where z is not split.
    """

    point: Tensor
    slacks: Tensor
    multipliers: Tensor
    bound_multipliers: Tensor


class Residuals(NamedTuple):
    """What is left of the conditions of optimality.

    Attributes:
        dual: [D], of z = A^T a + v.
        primal: [N], of A z - 1 = s.
        rows: [N], a s, wanted at 0.
        bounds: [D], v z, wanted at 0.
    """

    dual: Tensor
    primal: Tensor
    rows: Tensor
    bounds: Tensor

    @property
    def gap(self) -> Tensor:
        """What primal and dual are apart."""
        return self.rows.sum() + self.bounds.sum()


def smallest_point(rows: RobustRows) -> Solution:
    """Return the point of the largest margin, with the proof that there is none larger, or none at all."""
    now = _start(rows)
    for _ in range(_STEPS):
        bound = largest_margin(rows, now.multipliers)
        if bound < _NO_MARGIN:
            return Solution(now.point, "infeasible")
        margin = rows.margins(now.point).min()
        if margin > 0 and margin >= (1 - _SMALL) * bound * now.point.norm():
            return Solution(now.point, "yes")
        change = _change(rows, now, _residuals(rows, now))
        if change is None:
            break
        now = _moved(now, change, _TO_THE_WALL * _longest(now, change, rows.is_split))
    return Solution(now.point, "no")


def largest_margin(rows: RobustRows, multipliers: Tensor) -> Tensor:
    """Return what the least robust margin of a student of norm 1 is at most.

    For weights a of the rows that sum to 1, ``min_i (A z)_i <= a.A z <= ||A^T a||`` where ||z|| = 1; where z >= 0,
    entries of ``A^T a`` below 0 help no z.
    """
    pull = rows.pull(multipliers / multipliers.sum())
    norm: Tensor = torch.linalg.vector_norm(pull.clamp(min=0) if rows.is_split else pull)
    return norm


def _start(rows: RobustRows) -> Iterate:
    ones = rows.new_full(len(rows), 1.0)
    point = rows.new_full(rows.size, rows.is_split * rows.size**-0.5)
    return Iterate(point, ones, ones, rows.new_full(rows.size, float(rows.is_split)))


def _residuals(rows: RobustRows, now: Iterate) -> Residuals:
    return Residuals(
        now.point - rows.pull(now.multipliers) - now.bound_multipliers,
        rows.margins(now.point) - 1 - now.slacks,
        now.multipliers * now.slacks,
        now.bound_multipliers * now.point,
    )


def _change(rows: RobustRows, now: Iterate, residuals: Residuals) -> Iterate | None:
    """Return Mehrotra's step: how far a plain Newton step gets says how much to stay off the bounds."""
    newton = _Newton(rows, now)
    guess = newton.step(residuals)
    if guess is None:
        return None
    there = _moved(now, guess, _longest(now, guess, rows.is_split))
    left = (there.multipliers @ there.slacks + there.bound_multipliers @ there.point) / residuals.gap
    aim = left**3 * residuals.gap / (len(rows) + rows.is_split * rows.size)
    return newton.step(
        residuals._replace(
            rows=residuals.rows + guess.multipliers * guess.slacks - aim,
            bounds=residuals.bounds + rows.is_split * (guess.bound_multipliers * guess.point - aim),
        )
    )


def _moved(now: Iterate, change: Iterate, length: Tensor) -> Iterate:
    return Iterate(*(at + length * move for at, move in zip(now, change, strict=True)))


def _longest(now: Iterate, change: Iterate, is_split: bool) -> Tensor:
    """Return the longest step, at most 1, that takes nothing below 0."""
    bounded = list(zip(now, change, strict=True)) if is_split else [(now[1], change[1]), (now[2], change[2])]
    shrinking: Tensor = torch.cat([-move / at for at, move in bounded]).max()
    return shrinking.clamp(min=1).reciprocal()


class _Newton:
    """The linearised conditions at an iterate, ready for several right-hand sides."""

    def __init__(self, rows: RobustRows, now: Iterate) -> None:
        self._rows, self._now = rows, now
        self._weight = now.multipliers / now.slacks
        diagonal = 1 + now.bound_multipliers / now.point if rows.is_split else torch.ones_like(now.point)
        matrix = rows.gram(self._weight)
        matrix.diagonal().add_(diagonal)
        self._factor, failed = torch.linalg.cholesky_ex(matrix)
        self._is_sound = not bool(failed)

    def step(self, residuals: Residuals) -> Iterate | None:
        """Return the step that takes the linearised residuals to 0."""
        if not self._is_sound:
            return None
        now, (dual, primal, rows, bounds) = self._now, residuals
        right = -dual - self._rows.pull(rows / now.slacks + self._weight * primal)
        right = right - bounds / now.point if self._rows.is_split else right
        point = torch.cholesky_solve(right[:, None], self._factor)[:, 0]
        slacks = self._rows.margins(point) + primal
        multipliers = -(rows + now.multipliers * slacks) / now.slacks
        pull = torch.zeros_like(point)
        if self._rows.is_split:
            pull = -(bounds + now.bound_multipliers * point) / now.point
        return Iterate(point, slacks, multipliers, pull)

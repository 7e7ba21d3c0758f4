"""The exact L-inf distance to the boundary of a ReLU network, as mixed-integer programs (Tjeng et al. 2019).

Variables of a program: the pixels, the radius t, and of each hidden unit its output and, where its sign is not known
in the ball, a binary. A rightly classified row has a program a class; each is cut off at the best radius so far. A
misclassified row has one, in which its label is at least as likely as every other class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn

Floats = NDArray[np.float64]
Layers = list[tuple[Floats, Floats]]
"""Weights [out, in] and biases [out] of each linear layer; a ReLU stands between two."""

_SLACK = 1e-6
"""Added to the upper bound, so that rounding does not cut the optimum off."""


def layers_of(model: nn.Sequential) -> Layers:
    """Return the linear layers of a network, in double precision."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    return [(layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()) for layer in linear]


def exact_distance(
    layers: Layers, pixels: Floats, label: int, is_right: bool, bound: float, seconds: float
) -> tuple[float, float]:
    """Return the distance of the nearest point across, and a bound below all of them (equal, if solved in time).

    Args:
        layers: of the network.
        pixels: [D] in [0, 1].
        label: of the image.
        is_right: whether the network predicts it.
        bound: a distance known to be enough.
        seconds: limit of one program.
    """
    logits = forward(layers, pixels)
    others = [k for k in np.argsort(-logits) if k != label]
    goals = [[(int(k), label)] for k in others] if is_right else [[(label, int(k)) for k in others]]
    best, lower = bound, np.inf
    for goal in goals:
        found, proven = _solve(layers, pixels, goal, best + _SLACK, seconds)
        best, lower = min(best, found), min(lower, proven)
    return best, min(best, lower)


def forward(layers: Layers, pixels: Floats) -> Floats:
    """Return the logits of one image."""
    for weights, bias in layers[:-1]:
        pixels = np.maximum(weights @ pixels + bias, 0)
    return layers[-1][0] @ pixels + layers[-1][1]


@dataclass
class _Rows:
    """Linear constraints ``low <= a . v <= high`` as they are gathered."""

    coefficients: list[Floats]
    low: list[float]
    high: list[float]

    def add(self, coefficients: Floats, low: float, high: float) -> None:
        self.coefficients.append(coefficients)
        self.low.append(low)
        self.high.append(high)


def _solve(
    layers: Layers, pixels: Floats, goal: list[tuple[int, int]], radius: float, seconds: float
) -> tuple[float, float]:
    """Return the least radius (inf: none up to `radius`) and the proven bound, for logits k >= j of each pair."""
    low, high = np.maximum(pixels - radius, 0), np.minimum(pixels + radius, 1)
    num_pixels, hidden = len(pixels), [len(bias) for _, bias in layers[:-1]]
    place_t, total = num_pixels, num_pixels + 1 + 2 * sum(hidden)
    lower, upper, integral = np.zeros(total), np.ones(total), np.zeros(total)
    lower[:num_pixels], upper[:num_pixels], upper[place_t] = low, high, radius
    rows = _Rows([], [], [])
    for i in range(num_pixels):
        for sign in (1.0, -1.0):
            rows.add(_spread(total, {i: sign, place_t: -1.0}), -np.inf, sign * pixels[i])
    before, first, reach = slice(0, num_pixels), num_pixels + 1, _Reach(low, high)
    for (weights, bias), size in zip(layers[:-1], hidden, strict=True):
        least, most = reach.of(weights, bias)
        reach.add(weights, bias, least, most)
        for j in range(size):
            unit, binary = first + j, first + size + j
            linear = np.zeros(total)
            linear[before] = -weights[j]
            linear[unit] = 1.0  # linear . v = h - W h_before, to be compared with the bias
            lower[unit], upper[unit] = max(least[j], 0.0), max(most[j], 0.0)
            if most[j] <= 0 or least[j] >= 0:
                upper[binary] = 0.0
                if most[j] > 0:
                    rows.add(linear, bias[j], bias[j])
                continue
            integral[binary] = 1
            rows.add(linear, bias[j], np.inf)
            rows.add(linear - _spread(total, {binary: least[j]}), -np.inf, bias[j] - least[j])
            rows.add(_spread(total, {unit: 1.0, binary: -most[j]}), -np.inf, 0.0)
        before, first = slice(first, first + size), first + 2 * size
    weights, bias = layers[-1]
    for wanted, other in goal:
        difference = weights[wanted] - weights[other]
        if reach.of(difference[None], np.zeros(1))[1][0] < bias[other] - bias[wanted]:
            return np.inf, np.inf  # out of reach in this ball
        rows.add(_spread_slice(total, before, difference), bias[other] - bias[wanted], np.inf)
    objective = _spread(total, {place_t: 1.0})
    constraints = LinearConstraint(sparse.csr_array(np.array(rows.coefficients)), rows.low, rows.high)
    answer = milp(objective, integrality=integral, bounds=Bounds(lower, upper), constraints=constraints,
                  options={"time_limit": seconds, "mip_rel_gap": 1e-5})  # fmt: skip
    if answer.status == 2:  # infeasible
        return np.inf, np.inf
    if answer.status == 0:  # optimal, to the relative gap asked for
        return float(answer.x[place_t]), float(answer.x[place_t])
    proven = float(answer.mip_dual_bound) if answer.mip_dual_bound is not None else 0.0
    return (float(answer.x[place_t]) if answer.x is not None else np.inf), proven


class _Reach:
    """What values linear functions of the newest hidden layer may take in a box of pixels (Zhang et al. 2018, CROWN).

    Each ReLU lies between two lines; put into one another they bound a function by linear ones of the pixels.
    """

    def __init__(self, low: Floats, high: Floats) -> None:
        self._low, self._high = low, high
        self._layers: list[tuple[Floats, Floats, Floats, Floats]] = []

    def add(self, weights: Floats, bias: Floats, least: Floats, most: Floats) -> None:
        """Note a hidden layer and the bounds of its values before the ReLU."""
        self._layers.append((weights, bias, least, most))

    def of(self, weights: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Return the least and the largest values [out] of a linear layer on top."""
        return -self._most(-weights, -bias), self._most(weights, bias)

    def _most(self, weights: Floats, bias: Floats) -> Floats:
        for below, below_bias, least, most in reversed(self._layers):
            is_open = (least < 0) & (most > 0)
            chord = np.where(is_open, most / np.where(is_open, most - least, 1.0), (least >= 0) * 1.0)
            under = np.where(is_open, (most > -least) * 1.0, chord)  # the line below, through 0
            up, down = np.maximum(weights, 0), np.minimum(weights, 0)
            bias = bias + up @ np.where(is_open, -least * chord, 0.0)
            weights = up * chord + down * under
            bias, weights = bias + weights @ below_bias, weights @ below
        return np.maximum(weights, 0) @ self._high + np.minimum(weights, 0) @ self._low + bias


def _spread(total: int, entries: dict[int, float]) -> Floats:
    row = np.zeros(total)
    row[list(entries)] = list(entries.values())
    return row


def _spread_slice(total: int, place: slice, values: Floats) -> Floats:
    row = np.zeros(total)
    row[place] = values
    return row

"""Margins of many rows from those of a few, by nearest neighbours in the features of a network.

A margin is about the lead of the label's logit, divided by how fast that lead falls on the way to the boundary. The
lead costs one forward pass per row. How far the margin reaches for each unit of lead changes slowly from image to
image, so it is taken from the nearest rows that were measured: `margin = lead * mean(margin / lead of the neighbours)`.
A choice of ours: neighbours of the margin itself rank rows worse than the lead alone does, see docs/margins.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from torch import Tensor

from pumalib.attacks.margins import MarginTable
from pumalib.attacks.objectives import cw_margin
from pumalib.errors import DataError
from pumalib.models.features import features_and_logits
from pumalib.models.network import Network
from pumalib.randomness import derive_seed, numpy_generator

FOLDS = 5
"""Parts of the measured rows: each is held back once, and extrapolated from the others. A choice of ours."""

_LEAST_LEAD = 1e-4
"""Share of the mean lead: below it the ratio of a margin to a lead is mostly rounding. A choice of ours."""


@dataclass(frozen=True)
class Looks:
    """What one forward pass tells of some rows.

    Attributes:
        features: [N, D] float32.
        lead: [N] float64, the label's logit minus the largest other; negative where the prediction is wrong.
        prediction: [N] int64.
    """

    features: NDArray[np.float32]
    lead: NDArray[np.float64]
    prediction: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lead)

    @classmethod
    def join(cls, parts: list[Looks]) -> Looks:
        """Put parts one after another."""
        columns = zip(*((part.features, part.lead, part.prediction) for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))


@dataclass(frozen=True)
class HeldBack:
    """How far extrapolated margins are from measured ones, on measured rows that were held back.

    Attributes:
        agreement: Spearman's rank correlation, in [-1, 1]; nan where all are the same.
        error: mean absolute difference, as a share of the mean absolute margin.
        num_rows: rows that were held back, all in turn.
    """

    agreement: float
    error: float
    num_rows: int

    def expect(self, least: float) -> None:
        """Refuse margins whose order does not follow.

        Raises:
            DataError: with the rank correlation.
        """
        if not self.agreement >= least:
            raise DataError(
                f"expected extrapolated margins whose rank correlation with measured ones is at least {least:g}, got "
                f"{self.agreement:.3f} on {self.num_rows} measured rows that were held back; measure a larger "
                "share of the rows, or all of them"
            )


def look_at(network: Network, images: Tensor, labels: Tensor) -> Looks:
    """Look at a batch by one forward pass.

    Args:
        network: in eval mode.
        images: [B, ...] of its precision, on its device.
        labels: [B] int64, there as well.

    Raises:
        DataError: logits that are not finite.
    """
    features, logits = features_and_logits(network, images)
    network.expect_finite(images)
    lead = -cw_margin(logits, labels).double()
    return Looks(features.cpu().numpy(), lead.cpu().numpy(), logits.argmax(1).cpu().numpy())


def strata_of(labels: NDArray[np.int64], source: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return a number for each pair of label and source, [N] int64."""
    _, strata = np.unique(np.stack([labels, source.astype(np.int64)]), axis=1, return_inverse=True)
    return strata.reshape(-1).astype(np.int64)


def rows_to_measure(strata: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draw the rows to measure: the same share of each stratum, rounded, and at least one row of it.

    Args:
        strata: [N] int64, the stratum of each row, such as its class.
        fraction: share of the rows, in (0, 1).
        seed: of the draw.

    Returns:
        [N] bool.
    """
    drawn = np.zeros(len(strata), bool)
    for stratum in np.unique(strata).tolist():
        rows = np.flatnonzero(strata == stratum)
        count = max(1, math.floor(fraction * len(rows) + 0.5))
        drawn[numpy_generator(seed, "rows to measure", stratum).permutation(rows)[:count]] = True
    return drawn


class Extrapolation:
    """What measured rows say of others.

    Args:
        looks: of the measured rows, M.
        margin: [M] their margins.
        converged: [M] bool, False where the margin is a bound, which says nothing of others.
        neighbours: measured rows that a row's ratio of margin to lead is the mean of, weighted by inverse distance.
        seed: of the folds that are held back.

    Attributes:
        held_back: how far they are off on the measured rows themselves.

    Raises:
        DataError: too few rows to have so many neighbours when a fold is held back.
    """

    def __init__(
        self, looks: Looks, margin: NDArray[np.floating], converged: NDArray[np.bool_], neighbours: int, seed: int
    ) -> None:
        # A margin of the other sign than its lead is within rounding of the boundary.
        says = converged & (margin * looks.lead > 0) & (np.abs(looks.lead) > _LEAST_LEAD * np.abs(looks.lead).mean())
        count = int(says.sum())
        if count < FOLDS or count - math.ceil(count / FOLDS) < neighbours:
            raise DataError(
                f"expected enough measured margins for {neighbours} neighbours when a fifth is held back, got {count} "
                f"that converged among {len(looks)} measured rows; measure a larger share, or lower neighbours"
            )
        features, lead, known = looks.features[says], looks.lead[says], margin[says].astype(np.float64)
        self._regressor = KNeighborsRegressor(neighbours, weights="distance", algorithm="brute")
        folds = KFold(FOLDS, shuffle=True, random_state=derive_seed(seed, "folds held back") % 2**32)
        guess = lead * cross_val_predict(self._regressor, features, known / lead, cv=folds)
        self.held_back = _compare(guess, known)
        self._regressor.fit(features, known / lead)

    def margins(self, looks: Looks) -> NDArray[np.float32]:
        """Return the margins [N] of other rows, pixel scale; negative where the prediction is wrong."""
        if len(looks) == 0:
            return np.zeros(0, np.float32)
        ratio: NDArray[np.float64] = self._regressor.predict(looks.features)
        return (looks.lead * ratio).astype(np.float32)


def _compare(guess: NDArray[np.float64], known: NDArray[np.float64]) -> HeldBack:
    """Hold guesses [M] against margins [M]."""
    is_constant = np.ptp(guess) == 0 or np.ptp(known) == 0
    agreement = math.nan if is_constant else float(stats.spearmanr(guess, known).statistic)
    return HeldBack(agreement, float(np.abs(guess - known).mean() / np.abs(known).mean()), len(known))


def unmeasured(extrapolation: Extrapolation, looks: Looks) -> MarginTable:
    """Return the table of rows that were looked at alone; their margins are extrapolated, and no bounds."""
    nothing = np.zeros(len(looks), np.int64)
    return MarginTable(
        margin=extrapolation.margins(looks),
        converged=np.ones(len(looks), bool),
        prediction=looks.prediction,
        adversarial_class=looks.prediction,
        iterations=nothing,
        forwards=nothing + 1,
        backwards=nothing,
    )

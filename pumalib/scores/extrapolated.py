"""Margin scores of which a share is measured, and the others follow from theirs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.extrapolation import Extrapolation, Looks, look_at, rows_to_measure, strata_of, unmeasured
from pumalib.attacks.threat_settings import Norm
from pumalib.models.network import Network
from pumalib.scores.estimates import Estimate, Question, from_margins
from pumalib.scores.settings import ExtrapolateSettings
from pumalib.scores.walk import Walk

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Measured:
    """Marks the rows that a margin score measures; each is looked at once more, for its features."""

    measure: Callable[[Question], Estimate]

    def __call__(self, question: Question) -> Estimate:
        estimate = self.measure(question)
        forwards = estimate.columns["forwards"] + 1
        return replace(estimate, columns={**estimate.columns, "forwards": forwards, "measured": _marks(question, True)})


@dataclass(frozen=True)
class _Unmeasured:
    """Extrapolates the margins of rows that are looked at alone."""

    extrapolation: Extrapolation
    norm: str

    def __call__(self, question: Question) -> Estimate:
        estimate = from_margins(unmeasured(self.extrapolation, _look(question)), cast(Norm, self.norm))
        return replace(estimate, columns={**estimate.columns, "measured": _marks(question, False)})


def score_pool(walk: Walk, settings: ExtrapolateSettings, measure: Callable[[Question], Estimate]) -> Estimate:
    """Measure a share of the rows of a pool, and extrapolate the margins of all others.

    Args:
        walk: through the pool.
        settings: how many rows are measured.
        measure: the margin score of a block.

    Returns:
        The margins of all rows in pool order; its facts say how far the extrapolated ones may be off.

    Raises:
        DataError: too few measured rows, or margins that do not follow from theirs; before the others are looked at.
    """
    is_measured = rows_to_measure(strata_of(walk.pool.labels, walk.pool.source), settings.measured, settings.seed)
    measured, others = np.flatnonzero(is_measured), np.flatnonzero(~is_measured)
    walk.through(measured, _Measured(measure))
    known = walk.found()
    extrapolation = _extrapolation(walk, measured, known, settings)
    held_back = extrapolation.held_back
    log.info(
        "extrapolate %d margins from %d measured ones: rank correlation %.3f and mean error %.1f %% of the mean "
        "margin on %d measured rows that were held back",
        *(len(others), len(measured), held_back.agreement, 100 * held_back.error, held_back.num_rows),
    )
    held_back.expect(settings.least_agreement)
    walk.through(others, _Unmeasured(extrapolation, known.norm))
    order = np.argsort(np.concatenate([measured, others]))
    found = walk.found()
    columns = {name: column[order] for name, column in found.columns.items()}
    facts = {"held_back_agreement": held_back.agreement, "held_back_error": held_back.error}
    return replace(found, score=found.score[order], columns=columns, facts=facts)


def _extrapolation(
    walk: Walk, measured: NDArray[np.int64], known: Estimate, settings: ExtrapolateSettings
) -> Extrapolation:
    """Look at the measured rows, which come first among those known; a resumed job does so again."""
    looks = Looks.join([_look(question) for question in walk.questions(measured)])
    own = slice(len(measured))
    return Extrapolation(looks, known.score[own], known.columns["converged"][own], settings.neighbours, settings.seed)


def _look(question: Question) -> Looks:
    return look_at(Network(question.model), question.images, question.labels)


def _marks(question: Question, value: bool) -> NDArray[np.bool_]:
    return np.full(len(question.labels), value)

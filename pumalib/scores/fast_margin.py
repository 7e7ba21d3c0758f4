"""The fast margin as a score."""

from __future__ import annotations

from pumalib.attacks.fast_margin import fast_margins
from pumalib.scores.estimates import Estimate, Question, from_margins
from pumalib.scores.settings import FastMarginSettings


def score(question: Question, settings: FastMarginSettings) -> Estimate:
    """Measure signed margins with PUMA's Algorithm 1, errata mended."""
    norm = settings.norm or question.threat_norm
    table = fast_margins(
        question.model,
        question.images,
        question.labels,
        norm=norm,
        step_size=settings.step_size,
        max_iterations=settings.max_iterations,
        bisection_steps=settings.bisection_steps,
        batch_size=settings.batch_size,
        up_to=settings.up_to,
    )
    return from_margins(table, norm)

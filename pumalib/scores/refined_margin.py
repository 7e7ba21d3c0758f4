"""The refined margin as a score."""

from __future__ import annotations

from pumalib.attacks.refined_margin import refined_margins
from pumalib.scores.estimates import Estimate, Question, from_margins
from pumalib.scores.settings import RefinedMarginSettings


def score(question: Question, settings: RefinedMarginSettings) -> Estimate:
    """Measure signed margins with DeepFool and steps along the boundary."""
    norm = settings.norm or question.threat_norm
    table = refined_margins(
        question.model,
        question.images,
        question.labels,
        norm=norm,
        refinement_steps=settings.refinement_steps,
        restarts=settings.restarts,
        max_iterations=settings.max_iterations,
        overshoot=settings.overshoot,
        bisection_steps=settings.bisection_steps,
        num_candidates=settings.num_candidates,
        batch_size=settings.batch_size,
        up_to=settings.up_to,
    )
    return from_margins(table, norm)

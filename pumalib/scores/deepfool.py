"""The DeepFool margin as a score."""

from __future__ import annotations

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.scores.estimates import Estimate, Question, from_margins
from pumalib.scores.settings import DeepfoolSettings


def score(question: Question, settings: DeepfoolSettings) -> Estimate:
    """Measure signed margins with DeepFool."""
    norm = settings.norm or question.threat_norm
    table = deepfool_margins(
        question.model,
        question.images,
        question.labels,
        norm=norm,
        max_iterations=settings.max_iterations,
        overshoot=settings.overshoot,
        bisection_steps=settings.bisection_steps,
        num_candidates=settings.num_candidates,
        batch_size=settings.batch_size,
        up_to=settings.up_to,
    )
    return from_margins(table, norm)

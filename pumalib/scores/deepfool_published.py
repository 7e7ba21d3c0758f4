"""How far DeepFool as published moves each row, as a score."""

from __future__ import annotations

from pumalib.attacks.deepfool_published import published_deepfool_margins
from pumalib.scores.estimates import Estimate, Question, from_margins
from pumalib.scores.settings import DeepfoolPublishedSettings


def score(question: Question, settings: DeepfoolPublishedSettings) -> Estimate:
    """Measure margins with DeepFool as published; 0 where a row is misclassified."""
    norm = settings.norm or question.threat_norm
    table = published_deepfool_margins(
        question.model,
        question.images,
        question.labels,
        norm=norm,
        max_iterations=settings.max_iterations,
        overshoot=settings.overshoot,
        num_candidates=settings.num_candidates,
        batch_size=settings.batch_size,
    )
    return from_margins(table, norm)

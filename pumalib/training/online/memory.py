"""Epsilons that are remembered from one draw of a row to the next."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from pumalib.training.losses import Step
from pumalib.training.online.start import Start

log = logging.getLogger(__name__)

FEWEST_VISITS = 0.5
"""Mean draws of a row in an epoch below which the log warns; a choice of ours."""


def own_epsilons(epsilons: Tensor, step: Step) -> Tensor:
    """Return the epsilons, [B], of the batch's rows that are this rank's, out of those of all selected rows, [K]."""
    positions = torch.from_numpy(step.positions).to(epsilons.device)
    return epsilons[positions[step.ranks.share(step.num_rows)]]


def warn_of_few_visits(policy: str, start: Start) -> None:
    """Warn where rows are drawn so rarely that their epsilons hardly move."""
    visits = start.draws_per_epoch / len(start.epsilons)
    if visits < FEWEST_VISITS:
        log.warning(
            "policy %s draws each row %.2g times an epoch on average; epsilons hardly move with fewer than %g: "
            "use a smaller pool, a larger samples_per_epoch or another policy",
            policy,
            visits,
            FEWEST_VISITS,
        )

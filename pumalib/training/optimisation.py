"""The optimiser and the schedule of the recipe."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from pumalib.training.length import num_steps
from pumalib.training.settings import RecipeSettings

_SHORTEST_RISE = 2


def make_optimizer(model: nn.Module, settings: RecipeSettings) -> Optimizer:
    """Return SGD with Nesterov momentum; biases and normalisation parameters undecayed where asked."""
    decayed = [weight for weight in model.parameters() if settings.decay_all or weight.ndim > 1]
    plain = [weight for weight in model.parameters() if not settings.decay_all and weight.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return SGD(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
    )


def make_schedule(optimizer: Optimizer, settings: RecipeSettings) -> LRScheduler:
    """Return the schedule, to be stepped once an epoch or once a step as the settings say.

    One-cycle needs a rise of at least two steps and as many to fall; a shorter training keeps the rate constant.
    """
    total = settings.epochs if settings.schedule_unit == "epoch" else num_steps(settings)
    if settings.schedule == "constant" or total < 2 * _SHORTEST_RISE:
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    rise = max(settings.warmup_fraction * total, _SHORTEST_RISE)
    return OneCycleLR(optimizer, settings.learning_rate, total_steps=total, pct_start=rise / total)

"""The optimiser and the schedule of the recipe."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR

from pumalib.training.length import num_steps
from pumalib.training.settings import RecipeSettings

_SHORTEST_RISE = 2

_NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
"""Of torch; its first one is what batch and instance normalisation derive from. timm has some that derive from none of
these (RmsNorm, SimpleNorm, EvoNorm, FilterResponseNorm): theirs decay."""


def make_optimizer(model: nn.Module, settings: RecipeSettings) -> Optimizer:
    """Return SGD with Nesterov momentum; the parameters that the settings exempt are not decayed."""
    exempt = _undecayed(model, settings)
    decayed = [parameter for parameter in model.parameters() if id(parameter) not in exempt]
    plain = [parameter for parameter in model.parameters() if id(parameter) in exempt]
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


def _undecayed(model: nn.Module, settings: RecipeSettings) -> set[int]:
    """Return the ids of the parameters that weight decay leaves alone."""
    if settings.decay_all is True:
        return set()
    if settings.decay_all == "but_normalisation":
        layers = (module for module in model.modules() if isinstance(module, _NORMALISATIONS))
        return {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}
    return {id(parameter) for parameter in model.parameters() if parameter.ndim <= 1}


def make_schedule(optimizer: Optimizer, settings: RecipeSettings) -> LRScheduler:
    """Return the schedule, to be stepped once an epoch or once a step as the settings say.

    One-cycle needs a rise of at least two steps and as many to fall; a shorter training keeps the rate constant.
    """
    total = settings.epochs if settings.schedule_unit == "epoch" else num_steps(settings)
    if settings.schedule == "constant" or total < 2 * _SHORTEST_RISE:
        return ConstantLR(optimizer, factor=1.0, total_iters=0)
    rise = max(settings.warmup_fraction * total, _SHORTEST_RISE)
    return OneCycleLR(optimizer, settings.learning_rate, total_steps=total, pct_start=rise / total)

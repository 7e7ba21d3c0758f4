"""What a model must be: finite to be kept; in eval mode, giving finite logits, parameters at rest to be attacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pumalib.errors import DataError


def check_finite_weights(model: nn.Module, where: str) -> None:
    """Refuse weights, or statistics of normalisations, with NaN or infinity: nothing good comes of going on from there.

    Other buffers may hold what they will, such as a mask of infinities.

    Args:
        model: in training.
        where: the place in the training, for the message.

    Raises:
        DataError: there are some.
    """
    statistics = (layer.buffers(recurse=False) for layer in model.modules() if isinstance(layer, _NormBase))
    if not all(bool(tensor.isfinite().all()) for tensor in chain(model.parameters(), *statistics)):
        raise DataError(f"expected finite weights, got others {where}; lower learning_rate")


@torch.no_grad()
def check_model(model: nn.Module, images: Tensor) -> int:
    """Refuse a model that an attack would silently mismeasure.

    Args:
        model: maps [B, C, H, W] (or [B, D]) float32 to logits [B, K].
        images: a few images to look at.

    Returns:
        The number of classes K.

    Raises:
        DataError: train mode, not [B, K], NaN or infinite outputs, or probabilities instead of logits.
    """
    if any(module.training for module in model.modules()):
        raise DataError("expected a model in eval mode, got one in train mode; call model.eval() first")
    logits = model(images)
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise DataError(f"expected logits of shape [{len(images)}, K] with K >= 2, got {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        raise DataError("expected finite logits, got NaN or infinity; the model has diverged")
    ones = torch.ones(len(logits), dtype=logits.dtype, device=logits.device)
    if (logits >= 0).all() and torch.allclose(logits.sum(1), ones, atol=1e-4):
        raise DataError("expected logits, got probabilities (rows sum to 1); remove the softmax from the model")
    return int(logits.shape[1])


@contextmanager
def frozen_parameters(model: nn.Module) -> Iterator[None]:
    """Take gradients of inputs only, even where the caller has switched gradients off.

    Parameters ask for none inside, and are as before afterwards.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in eval mode inside; every module is in its own mode again afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode

"""What a model must be: finite to be kept; in eval mode, giving finite logits, parameters at rest to be attacked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from pumalib.errors import DataError
from pumalib.models.network import Network

_MOST_AGAIN = 15
"""Images of the second look, beside one more."""

_LEAST_LOGIT = 1e-3
"""Differences of smaller logits are told relative to this."""


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
    are_finite = [tensor.isfinite().all() for tensor in chain(model.parameters(), *statistics)]
    if are_finite and not torch.stack(are_finite).all():  # one answer for all: each waits for the device
        raise DataError(f"expected finite weights, got others {where}; lower learning_rate")


def check_network(network: Network, images: Tensor, needs_gradient: bool = True) -> int:
    """Refuse a network that an attack would silently mismeasure; two passes, of these images and of half of them.

    Args:
        network: in eval mode.
        images: [B, ...] a few images to look at, B at least 1.
        needs_gradient: whether the attack follows gradients.

    Returns:
        The number of classes K.

    Raises:
        DataError: train mode; not one tensor [B, K]; NaN or infinite outputs; probabilities instead of logits; logits
            that carry no gradient; logits of an image that depend on chance or on the images beside it.
    """
    if any(module.training for module in network.modules()):
        raise DataError("expected a model in eval mode, got one in train mode; call model.eval() first")
    with frozen_parameters(network), torch.set_grad_enabled(needs_gradient):
        logits = network(images.detach().clone().requires_grad_(needs_gradient))
    if logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
        raise DataError(f"expected logits of shape [{len(images)}, K] with K >= 2, got {tuple(logits.shape)}")
    if needs_gradient and not logits.requires_grad:
        raise DataError(
            "expected logits that follow from the images, got some without a gradient; take detach() and no_grad() out "
            "of the network, or attack it with square"
        )
    logits = logits.detach()
    network.expect_finite(images)
    ones = torch.ones(len(logits), dtype=logits.dtype, device=logits.device)
    if (logits >= 0).all() and torch.allclose(logits.sum(1), ones, atol=1e-4):
        raise DataError("expected logits, got probabilities (rows sum to 1); remove the softmax from the model")
    _expect_function_of_the_image(network, images, logits)
    return int(logits.shape[1])


@torch.no_grad()
def _expect_function_of_the_image(network: Network, images: Tensor, logits: Tensor) -> None:
    """Look at half of the images once more, beside another one; refuse other logits than before, beyond rounding.

    Few images are looked at several times in that pass, so that chance shows.
    """
    half = images[: (len(images) + 1) // 2]
    copies = max(1, _MOST_AGAIN // len(half))
    ramp = torch.linspace(0, 1, half[0].numel(), dtype=half.dtype, device=half.device).reshape(half[:1].shape)
    before = logits[: len(half)].repeat(copies, 1)
    after = network.unnoted(torch.cat([half] * copies + [ramp]))[:-1]
    # The root of the precision: half of its digits. A choice of ours, far above rounding and far below chance.
    allowed = network.eps**0.5 * before.abs().amax().clamp_min(_LEAST_LOGIT)
    difference = (after - before).abs().amax()
    if not difference <= allowed:
        raise DataError(
            f"expected logits that depend on the image alone, got some that differ by {float(difference):.3g} when the "
            "same images are looked at again beside others; switch off dropout and other chance, and use running "
            "statistics in normalisation layers"
        )


@contextmanager
def frozen_parameters(model: nn.Module) -> Iterator[None]:
    """Take gradients of inputs only, even where the caller has switched gradients off or infers only.

    Parameters ask for none inside, and are as before afterwards.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode(False), torch.enable_grad():
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

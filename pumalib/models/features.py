"""What a network makes of an image just before its logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pumalib.models.network import Network


@torch.no_grad()
def features_and_logits(network: Network, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features and the logits of some images, by one forward pass.

    The features are what goes into the last linear layer that is called, where one number of each image goes in for
    each of its inputs, and as many come out as there are classes. A network without such a layer has its logits as
    features, a choice of ours.

    Args:
        network: in eval mode.
        points: [B, ...] of its precision, on its device.

    Returns:
        Features [B, D] float32 and logits [B, K].

    Raises:
        DataError: the network gives something else than one tensor.
    """
    with _inputs_of_linear_layers(network) as seen:
        logits = network(points)
    fits = bool(seen) and seen[0].ndim == 2 and len(seen[0]) == len(points) and seen[1].shape == logits.shape
    return (seen[0] if fits else logits).detach().float(), logits


@contextmanager
def _inputs_of_linear_layers(network: Network) -> Iterator[list[Tensor]]:
    """Keep what went into the linear layer called last inside, and what came out."""
    seen: list[Tensor] = []

    def keep(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        seen[:] = [inputs[0], output] if inputs else []

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, nn.Linear):
                hooks.callback(layer.register_forward_hook(keep).remove)
        yield seen

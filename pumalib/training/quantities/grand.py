"""GraNd: the norm of each row's gradient by all weights (Paul et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from pumalib.attacks.objectives import cross_entropy
from pumalib.errors import DataError
from pumalib.training.seen_batch import SeenBatch

_GRADIENT_NUMBERS = 2**28
"""Gradient entries held at once: 1 GiB of float32."""


def measure(batch: SeenBatch) -> Tensor:
    """Return ``||grad_w CE(f_w(x), y)||_2``, [B]; rows are taken in chunks that fit the memory.

    Raises:
        DataError: the network does what ``torch.func.vmap`` cannot follow, such as branching on a value.
    """
    weights = {name: weight.detach() for name, weight in batch.model.named_parameters()}
    buffers = dict(batch.model.named_buffers())

    def loss(weights: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        logits = functional_call(batch.model, (weights, buffers), (image[None],))
        return cross_entropy(logits, label[None]).sum()

    def norm(image: Tensor, label: Tensor) -> Tensor:
        gradients = grad(loss)(weights, image, label)
        return torch.stack([gradient.square().sum() for gradient in gradients.values()]).sum().sqrt()

    num_weights = sum(weight.numel() for weight in weights.values())
    rows_at_once = max(1, _GRADIENT_NUMBERS // num_weights)
    try:
        norms: Tensor = vmap(norm, chunk_size=rows_at_once)(batch.inputs, batch.labels)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise DataError(
            "expected a network that torch.func.vmap can follow, as the tracked quantity grand needs, got: "
            f"{str(error).splitlines()[0]} Leave grand out of `track`, or change the network."
        ) from error
    return norms

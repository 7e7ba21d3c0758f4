"""Do the unrolled steps fit into memory? Counted before anything is learned: a system that runs out kills silently."""

from __future__ import annotations

import psutil
import torch
from torch import Tensor, nn

from pumalib.errors import DataError
from pumalib.files.sizes import size_in_words
from pumalib.learning.unrolling import Recipe, Training, start_training, unroll


def check_memory(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, num_steps: int, recompute: bool
) -> None:
    """Refuse more unrolled steps than memory holds.

    Args:
        model: the network, in train mode.
        images: [B, C, H, W] float in [0, 1], one batch of a step.
        labels: [B] int64.
        recipe: how to train.
        num_steps: K.
        recompute: see `unrolling.unroll`.

    Raises:
        DataError: the steps keep more than is free where the images are. That they keep less is no promise.
    """
    needed = kept_bytes(model, images, labels, recipe, num_steps, recompute)
    free = free_bytes(images.device)
    if needed > free:
        ways = "lower unrolled_steps or batch_size" + ("" if recompute else ", or set recompute_steps: true")
        raise DataError(
            f"expected unrolled steps that fit into memory, got unrolled_steps {num_steps}, which keep at least "
            f"{size_in_words(needed)} where {size_in_words(free)} are free ({images.device}); {ways}"
        )


def kept_bytes(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, num_steps: int, recompute: bool
) -> int:
    """Return the bytes that unrolled steps keep for the way back, told from one step and two; see `check_memory`."""
    if num_steps == 0:
        return 0
    start = start_training(model)
    one, two = (_saved_bytes(model, start, images, labels, recipe, count) for count in (1, 2))
    if recompute:
        weights = sum(weight.nbytes for weight in start.weights.values())
        return two - one + num_steps * 2 * weights  # weights and velocity
    return one + (num_steps - 1) * (two - one)


def _saved_bytes(
    model: nn.Module, start: Training, images: Tensor, labels: Tensor, recipe: Recipe, num_steps: int
) -> int:
    """Return the bytes of all tensors that these steps save for the way back; storages in common count once."""
    saved: dict[int, torch.UntypedStorage] = {}  # held, or a place that is used again would count once

    def note(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    batch = torch.arange(len(images), device=images.device)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        unroll(model, start, images.detach().requires_grad_(), labels, [batch] * num_steps, recipe)
    return sum(storage.nbytes() for storage in saved.values())


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on a device, with what torch holds there without using it."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return int(psutil.virtual_memory().available)

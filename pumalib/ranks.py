"""The processes that share one training, each on a device of its own, numbered from 0: ranks.

Every rank goes through the same program with the same seeds: it knows the whole batch, computes its own share of the
rows, and learns what the others found. So all ranks hold the same weights, memory and history after each step, and
the first of them alone writes files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from pumalib.errors import ConfigError

_LONGEST_WAIT = timedelta(days=7)
"""For the others; torchrun, not a time limit, notices that one is dead."""


@dataclass(frozen=True)
class Ranks:
    """Which of the processes this is; alone, nothing is exchanged and every answer is one's own.

    Every rank must call the methods below in the same order.

    Attributes:
        rank: number of this process.
        count: processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is one process."""
        return self.count == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    @property
    def is_quiet(self) -> bool | None:
        """Whether this process shows no progress, as tqdm asks: True, or None for where there is no terminal."""
        return None if self.is_first else True

    def share(self, num_rows: int) -> slice:
        """Return the rows of a batch that are this rank's: neighbours, as many as the others have, or one more."""
        return slice(self.rank * num_rows // self.count, (self.rank + 1) * num_rows // self.count)

    def whole(self, values: Tensor, num_rows: int) -> Tensor:
        """Return [num_rows, ...] of the whole batch from the values of each rank's share, without a graph."""
        if self.is_alone:
            return values
        batch = values.new_zeros((num_rows, *values.shape[1:]))
        batch[self.share(num_rows)] = values.detach()
        return self.total(batch)

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over ranks, without a graph; of booleans, whether one rank has True."""
        if self.is_alone:
            return values
        summed = values.detach().to(torch.uint8 if values.dtype == torch.bool else values.dtype, copy=True)
        dist.all_reduce(summed)
        return summed.to(values.dtype)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return, of each flag, whether one rank has it; no rank goes on before all have come here."""
        if self.is_alone:
            return flags
        return tuple(self.total(torch.tensor(flags)).tolist())

    def sum_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by its sum over ranks."""
        if self.is_alone:
            return
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        summed = self.total(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(summed, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @contextmanager
    def without_random_numbers(self, device: torch.device) -> Iterator[None]:
        """Refuse work on a share that draws torch's global random numbers: each rank would draw the same.

        Raises:
            ConfigError: it did, as dropout does.
        """
        before = [] if self.is_alone else _random_numbers(device)
        yield
        if before and any(not torch.equal(*pair) for pair in zip(before, _random_numbers(device), strict=True)):
            raise ConfigError(
                f"expected a network that draws no random numbers with training.devices {self.count}, got one that "
                "does, such as with dropout; set devices: 1, or leave dropout out"
            )


ALONE = Ranks()
"""One process, as ever."""


def _random_numbers(device: torch.device) -> list[Tensor]:
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device.type == "cuda" else [])]


class SumOverRanks(torch.autograd.Function):
    """The sum over ranks, with the gradient of what all ranks do with it."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        """Return the sum."""
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        """Return the sum of the ranks' gradients."""
        summed = gradients[0].clone()
        dist.all_reduce(summed)
        return summed


@contextmanager
def joined_ranks(device: str) -> Iterator[Ranks]:
    """Join the other processes that torchrun started.

    Args:
        device: `cpu`, where gloo carries what is exchanged, or `cuda`, where NCCL does (gloo between the hosts).
    """
    dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=_LONGEST_WAIT)
    yield Ranks(dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()

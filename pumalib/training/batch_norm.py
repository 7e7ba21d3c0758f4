"""BatchNorm care in adversarial training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pumalib.errors import ConfigError
from pumalib.ranks import Ranks, SumOverRanks

FIRST_MOMENTUM, MOMENTUM = 1.0, 0.01


@contextmanager
def unrecorded_statistics(model: nn.Module) -> Iterator[None]:
    """Use batch statistics inside without updating the running ones: what the inner attack needs."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def set_momentum(model: nn.Module, is_first_step: bool) -> None:
    """Let the first step overwrite the running statistics, and later steps move them by 1 % (Wang et al. 2023)."""
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = FIRST_MOMENTUM if is_first_step else MOMENTUM


def share_statistics(model: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Let the BatchNorm layers of a model, in place, use the statistics of the whole batch that ranks share.

    On CUDA devices by torch's SyncBatchNorm, which passes over the activations hardly more often than BatchNorm does.

    Raises:
        ConfigError: a layer of another class that was made from BatchNorm, which may do more.
    """
    if ranks.is_alone:
        return
    shared: dict[nn.Module, _BatchNorm] = {}
    for parent in list(model.modules()):
        for name, layer in list(parent._modules.items()):  # `named_children` leaves out a layer's second name
            if not isinstance(layer, _BatchNorm):
                continue
            if type(layer) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                raise ConfigError(
                    f"expected BatchNorm layers of torch with training.devices {ranks.count}, got one of class "
                    f"{type(layer).__name__}; set devices: 1, or use another network"
                )
            if layer not in shared:
                shared[layer] = _synchronised(layer) if device.type == "cuda" else SharedBatchNorm(layer, ranks)
            setattr(parent, name, shared[layer])


def _synchronised(layer: _BatchNorm) -> nn.SyncBatchNorm:
    made = nn.SyncBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    made.load_state_dict(layer.state_dict())
    return made.train(layer.training)


class SharedBatchNorm(_BatchNorm):
    """BatchNorm of a batch that ranks share: in training, mean and variance are those of all its rows.

    torch's own SyncBatchNorm is for GPUs alone; this is the same arithmetic on a CPU, in plain operations.

    Args:
        layer: what it stands for; its weights and statistics are taken over.
        ranks: the processes that share the batch.
    """

    def __init__(self, layer: _BatchNorm, ranks: Ranks) -> None:
        super().__init__(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
        self.load_state_dict(layer.state_dict())
        self.train(layer.training)
        self._ranks = ranks

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [B, F, ...]."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        shape = (-1, *[1] * (values.ndim - 2))
        mean, variance, count = self._moments(values)
        if self.track_running_stats:
            self._record(mean, variance * count / (count - 1))
        normalised = (values - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    def _check_input_dim(self, input: Tensor) -> None:
        """Take inputs of any shape, as the layers it stands for check nothing that matters here."""

    def _moments(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean [F] and variance [F] over all ranks, and the numbers, [1], that each is taken over.

        The moments of the ranks are put together without cancellation (Chan, Golub & LeVeque 1979).
        """
        dimensions = [0, *range(2, values.ndim)]
        mean = values.mean(dimensions)
        squares = (values - mean.view(-1, *[1] * (values.ndim - 2))).square().sum(dimensions)
        own = torch.cat([mean, squares, mean.new_full((1,), values.numel() / values.shape[1])])
        table = F.pad(own[None], (0, 0, self._ranks.rank, self._ranks.count - self._ranks.rank - 1))
        table = SumOverRanks.apply(table)
        means, sums, counts = table.split([self.num_features, self.num_features, 1], 1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        return mean, (sums + counts * (means - mean).square()).sum(0) / count, count

    @torch.no_grad()
    def _record(self, mean: Tensor, variance: Tensor) -> None:
        momentum = cast(float, self.momentum)  # `set_momentum` gives one
        for kept, found in ((self.running_mean, mean), (self.running_var, variance)):
            if kept is not None:
                kept.lerp_(found, momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)

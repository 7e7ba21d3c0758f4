"""BatchNorm folded into the convolution before it, for as long as a model is attacked.

In eval mode BatchNorm is an affine map, which a convolution can do as well; up to rounding the network stays the same,
and passes forward and back become cheaper.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class _Pair:
    convolution: Convolution
    norm: BatchNorm

    @property
    def is_at_rest(self) -> bool:
        """Whether the layer uses its running statistics, and is not folded already."""
        return not self.norm.training and self.norm.track_running_stats and "forward" not in vars(self.norm)

    def fold(self, weight: nn.Parameter, bias: nn.Parameter) -> None:
        self.convolution.weight, self.convolution.bias = weight, bias
        vars(self.norm)["forward"] = _hand_on  # of this layer alone, on whatever way the model reaches it

    def unfold(self, weight: Tensor, bias: Tensor | None) -> None:
        self.convolution.weight, self.convolution.bias = weight, bias
        vars(self.norm).pop("forward", None)


class Folding:
    """The BatchNorm layers of a model that a convolution can take over.

    They are found by tracing the model (`torch.fx`): those that are fed by a convolution of torch's own alone, which
    feeds nothing else, both called once and without hooks. A model that cannot be traced has none, and runs as it is.

    Args:
        model: a copy of it is traced, which shares its parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._pairs = tuple(_find_pairs(model))

    def __len__(self) -> int:
        return len(self._pairs)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Fold the layers that are in eval mode, with the weights and statistics of this moment; unfold at the end."""
        pairs = [pair for pair in self._pairs if pair.is_at_rest]
        folded = [_folded_weights(pair) for pair in pairs]
        before = [(pair.convolution.weight, pair.convolution.bias) for pair in pairs]
        try:
            for pair, weights in zip(pairs, folded, strict=True):
                pair.fold(*weights)
            yield
        finally:
            for pair, own in zip(pairs, before, strict=True):
                pair.unfold(*own)


def _hand_on(features: Tensor) -> Tensor:
    return features


@torch.no_grad()
def _folded_weights(pair: _Pair) -> tuple[nn.Parameter, nn.Parameter]:
    norm, layer = pair.norm, pair.convolution
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    weight, bias = fuse_conv_bn_weights(layer.weight, layer.bias, mean, variance, norm.eps, norm.weight, norm.bias)
    if weight.ndim == 4 and weight.device.type != "cpu":  # as the images come there
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return weight, bias


def _find_pairs(model: nn.Module) -> Iterator[_Pair]:
    graph = _trace(model)
    if graph is None:
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    looked_into = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    for node in graph.nodes:
        feeders = node.all_input_nodes
        if node.op != "call_module" or len(feeders) != 1 or feeders[0].op != "call_module":
            continue
        targets = str(feeders[0].target), str(node.target)
        convolution, norm = layers = [model.get_submodule(target) for target in targets]
        if (
            type(convolution) in Convolution.__args__
            and type(norm) in BatchNorm.__args__
            and cast(BatchNorm, norm).running_mean is not None
            and len(feeders[0].users) == 1
            and all(calls[target] == 1 and target not in looked_into for target in targets)
            and not any(getattr(layer, hooks) for layer in layers for hooks in _HOOKS)
            and not any("forward" in vars(layer) for layer in layers)
        ):
            yield _Pair(cast(Convolution, convolution), cast(BatchNorm, norm))


def _trace(model: nn.Module) -> fx.Graph | None:
    """Return what the model calls in eval mode, or None where that depends on more than the model."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shared = {id(parameter): parameter for parameter in model.parameters()}
            return fx.Tracer().trace(copy.deepcopy(model, shared).eval())
    except Exception:  # the forward of any user's model runs here, on something that is no tensor
        return None

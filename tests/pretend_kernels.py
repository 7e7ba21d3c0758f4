"""Plain arithmetic for the operations that CUDA has and the CPU has not: those of torch's SyncBatchNorm.

What each of them computes is documented nowhere but in torch's own source (`native/cuda/Normalization.cu`); the tests
hold them against BatchNorm of the whole batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _dimensions(values: Tensor) -> list[int]:
    return [0, *range(2, values.ndim)]


def _over(channels: Tensor, like: Tensor) -> Tensor:
    return channels.view(-1, *[1] * (like.ndim - 2))


def batch_norm_stats(values: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the mean and one over the standard deviation of each channel."""
    values = values.float()
    variance, mean = torch.var_mean(values, _dimensions(values), correction=0)
    return mean, torch.rsqrt(variance + eps)


def batch_norm_gather_stats_with_counts(
    values: Tensor,
    means: Tensor,
    inverse_deviations: Tensor,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return mean and one over the deviation of all ranks' rows, and move the running statistics."""
    counts = counts.view(-1, 1).float()
    total = counts.sum()
    mean = (counts * means).sum(0) / total
    variances = inverse_deviations.pow(-2) - eps
    variance = (counts * (variances + (means - mean).square())).sum(0) / total
    if running_mean is not None:
        running_mean.lerp_(mean, momentum)
    if running_variance is not None:
        running_variance.lerp_(variance * total / (total - 1), momentum)
    return mean, torch.rsqrt(variance + eps)


def batch_norm_elemt(
    values: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_deviation: Tensor, eps: float
) -> Tensor:
    """Return normalised values, scaled and shifted."""
    out = (values.float() - _over(mean, values)) * _over(inverse_deviation, values)
    out = out if weight is None else out * _over(weight, values)
    out = out if bias is None else out + _over(bias, values)
    return out.to(values.dtype)


def batch_norm_backward_reduce(
    gradient: Tensor,
    values: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor | None,
    needs_input: bool,
    needs_weight: bool,
    needs_bias: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Return the sums of the gradient and of gradient times distance from the mean; gradients of weight and bias."""
    gradient, values = gradient.float(), values.float()
    total = gradient.sum(_dimensions(values))
    products = (gradient * (values - _over(mean, values))).sum(_dimensions(values))
    of_weight = products * inverse_deviation if needs_weight else None
    return total, products, of_weight, total.clone() if needs_bias else None


def batch_norm_backward_elemt(
    gradient: Tensor,
    values: Tensor,
    mean: Tensor,
    inverse_deviation: Tensor,
    weight: Tensor | None,
    total: Tensor,
    products: Tensor,
    counts: Tensor,
) -> Tensor:
    """Return the gradient by the values, from the sums over all ranks."""
    count = counts.sum().float()
    projected = (values.float() - _over(mean, values)) * _over(products / count * inverse_deviation.square(), values)
    out = (gradient.float() - _over(total / count, values) - projected) * _over(inverse_deviation, values)
    return (out if weight is None else out * _over(weight, values)).to(gradient.dtype)


KERNELS = {
    function.__name__: function
    for function in (
        batch_norm_stats,
        batch_norm_gather_stats_with_counts,
        batch_norm_elemt,
        batch_norm_backward_reduce,
        batch_norm_backward_elemt,
    )
}

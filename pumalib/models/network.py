"""A network as attacks ask it: points of one precision in, finite logits out, and one sentence where it gives none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pumalib.errors import DataError

_UNITS, _UNITS_OF_HALF, _UNITS_OF_TF32 = 16, 2, 4
"""Units of rounding of the largest logit: more than a gap changes by with the images that share the batch. Layers of
half precision add up in float32 and round once, so that less gathers. Of TF32, more than it mostly moves a logit."""
TF32_EPS = 2.0**-10
"""Precision of what the tensor cores of a CUDA device multiply where torch allows it to round float32 to TF32."""


class Network(nn.Module):
    """A user's network behind one face.

    Points are float32, or float64 for a network of float64, whatever it computes in; logits are of the same precision.
    So a perturbation of a network in half precision is measured, and held to its ball, in float32. What is not finite,
    logits or gradients by the points, is noted without waiting for the device; `expect_finite` asks for it.

    An accelerator gets images channels last, unless the network cannot take them so, and batches of few sizes, since
    cuDNN plans each new size anew: what is smaller than the largest batch so far is filled up with copies of an image.

    Args:
        module: maps [B, C, H, W] or [B, D] of its own precision to logits [B, K].

    Attributes:
        module: that network.
        device: where its parameters live; the CPU if it has none.
        dtype: of points and logits.
        eps: of the coarsest precision that the network was seen to compute in: what its logits are rounded to.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.training = module.training
        first = next((parameter for parameter in module.parameters() if parameter.is_floating_point()), None)
        self.device = torch.device("cpu") if first is None else first.device
        self._own = torch.float32 if first is None else first.dtype
        self.dtype = torch.float64 if self._own == torch.float64 else torch.float32
        self.eps = torch.finfo(self._own).eps
        self._noted: Tensor | None = None
        self._in_tf32 = False
        self._largest = 0
        self._takes_channels_last = True

    def forward(self, points: Tensor) -> Tensor:
        """Return logits [B, K] of points [B, ...].

        Raises:
            DataError: the network gives something else than one tensor.
        """
        self._largest = max(self._largest, len(points))
        logits = self.unnoted(points)
        self._note(logits.detach())
        if points.requires_grad:
            points.register_hook(self._note)  # type: ignore[no-untyped-call]
        return logits

    def unnoted(self, points: Tensor) -> Tensor:
        """Return logits of points that are nobody's: what is not finite there does not count."""
        points = points.to(self._own)
        logits = self.module(points) if self.device.type == "cpu" else self._on_accelerator(points)
        if not isinstance(logits, Tensor):
            raise DataError(
                f"expected logits as a tensor [B, K], got {_spelled(logits)} from the network; "
                "wrap it in a module whose forward returns the logits alone"
            )
        if logits.is_floating_point():
            self.eps = max(self.eps, torch.finfo(logits.dtype).eps)
        if self._own == torch.float32 and _rounds_to_tf32(self.device):
            self.eps, self._in_tf32 = max(self.eps, TF32_EPS), True
        return logits.to(self.dtype)

    def _on_accelerator(self, points: Tensor) -> object:
        filled = _filled_up(points, min(size_planned(len(points)), self._largest))
        logits = self._in_a_layout(filled)
        return logits[: len(points)] if isinstance(logits, Tensor) and len(filled) > len(points) else logits

    def _in_a_layout(self, points: Tensor) -> object:
        if points.ndim == 4 and self._takes_channels_last:
            try:
                return self.module(points.contiguous(memory_format=torch.channels_last))
            except RuntimeError as error:
                if "view size is not compatible" not in str(error):  # a view that only the other layout has
                    raise
                self._takes_channels_last = False
        return self.module(points.contiguous())

    @property
    def rounding(self) -> float:
        """Share of the largest logit by which a gap between logits can change with the images beside it."""
        if self.eps < TF32_EPS:
            return _UNITS * self.eps
        return max(_UNITS_OF_HALF * self.eps, _UNITS_OF_TF32 * TF32_EPS if self._in_tf32 else 0.0)

    def expect_finite(self, images: Tensor) -> None:
        """Refuse a network that gave NaN or infinity since it was last asked.

        Args:
            images: [B, ...] that the points since then belong to, to say at how many of them it does.

        Raises:
            DataError: with the number of images.
        """
        noted, self._noted = self._noted, None
        if noted is None or bool(noted == 0):
            return
        logits, gradients = self._count_others(images)
        self._noted = None
        if logits:
            what, count = "logits", logits
        elif gradients:
            what, count = "gradients", gradients
        else:
            raise DataError(
                f"expected finite logits and gradients, got NaN or infinity at points near {len(images)} images; "
                "does the network divide by what can be 0, or is it not finite for some inputs?"
            )
        hint = "has it diverged, or does it divide by what can be 0?"
        if what == "gradients":
            hint = "does it take the root of, or divide by, what can be 0, as the deviation of an image of one colour?"
        raise DataError(f"expected finite {what}, got NaN or infinity at {count} of {len(images)} images; {hint}")

    def _note(self, values: Tensor) -> None:
        """Keep 0, or NaN from the first value on that is not finite."""
        noted = values.sum(dtype=self.dtype) * 0
        self._noted = noted if self._noted is None else self._noted + noted

    def _count_others(self, images: Tensor) -> tuple[int, int]:
        """Return at how many images logits are not finite, and gradients by the pixels."""
        points = images.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            logits = self(points)
            if not logits.requires_grad:
                return _rows_with_others(logits), 0
            weights = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
            (gradient,) = torch.autograd.grad((logits * weights).sum(), points)
        return _rows_with_others(logits), _rows_with_others(gradient)


def size_planned(count: int) -> int:
    """Return the batch size that an accelerator gets for so many images: four sizes an octave, multiples of 8."""
    step = 1 << max(3, count.bit_length() - 3)
    return -(-count // step) * step


def _filled_up(points: Tensor, count: int) -> Tensor:
    missing = count - len(points)
    if missing <= 0 or len(points) == 0:
        return points
    return torch.cat([points, points.detach()[:1].expand(missing, *points.shape[1:])])


def _rounds_to_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)


def _rows_with_others(values: Tensor) -> int:
    return int((~values.detach().flatten(1).isfinite()).any(1).sum())


def _spelled(value: object) -> str:
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"

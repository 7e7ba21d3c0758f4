"""A network as attacks ask it: points of one precision in, finite logits out, and one sentence where it gives none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pumalib.errors import DataError

_UNITS, _UNITS_OF_HALF = 16, 2
"""Units of float rounding of the largest logit: more than a gap changes by with the images that share the batch. Layers
of half precision add up in float32 and round once, so that less gathers."""


class Network(nn.Module):
    """A user's network behind one face.

    Points are float32, or float64 for a network of float64, whatever it computes in; logits are of the same precision.
    So a perturbation of a network in half precision is measured, and held to its ball, in float32. What is not finite,
    logits or gradients by the points, is noted without waiting for the device; `expect_finite` asks for it.

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

    def forward(self, points: Tensor) -> Tensor:
        """Return logits [B, K] of points [B, ...].

        Raises:
            DataError: the network gives something else than one tensor.
        """
        logits = self.unnoted(points)
        self._note(logits.detach())
        if points.requires_grad:
            points.register_hook(self._note)  # type: ignore[no-untyped-call]
        return logits

    def unnoted(self, points: Tensor) -> Tensor:
        """Return logits of points that are nobody's: what is not finite there does not count."""
        logits = self.module(points.to(self._own))
        if not isinstance(logits, Tensor):
            raise DataError(
                f"expected logits as a tensor [B, K], got {_spelled(logits)} from the network; "
                "wrap it in a module whose forward returns the logits alone"
            )
        if logits.is_floating_point():
            self.eps = max(self.eps, torch.finfo(logits.dtype).eps)
        return logits.to(self.dtype)

    @property
    def rounding(self) -> float:
        """Share of the largest logit by which a gap between logits can change with the images beside it."""
        return (_UNITS if self.eps < torch.finfo(torch.float16).eps else _UNITS_OF_HALF) * self.eps

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


def _rows_with_others(values: Tensor) -> int:
    return int((~values.detach().flatten(1).isfinite()).any(1).sum())


def _spelled(value: object) -> str:
    if isinstance(value, dict):
        return f"a dict with {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"

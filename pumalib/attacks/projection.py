"""Norm balls, one radius per row: distances, projections, steps and random starts."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.threat_settings import Norm

_TINY = 1e-12
_NEARLY_ONE = 1 - 2**-24


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """Reshape [B] values so that they broadcast over [B, ...]."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def norms(perturbation: Tensor, norm: Norm) -> Tensor:
    """Return the norm of each row.

    Args:
        perturbation: [B, ...] float.
        norm: `linf` or `l2`.

    Returns:
        [B] float.
    """
    flat = perturbation.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def project(perturbation: Tensor, radii: Tensor, norm: Norm) -> Tensor:
    """Project each row onto the ball of its own radius around 0.

    Args:
        perturbation: [B, ...] float.
        radii: [B] float, at least 0.
        norm: `linf` or `l2`.

    Raises:
        ValueError: a negative radius (it would shift every pixel by a constant). An accelerator is not asked: to wait
            for its answer would cost a training more than the projection.
    """
    if radii.device.type == "cpu" and (radii < 0).any():
        raise ValueError(f"expected radii of at least 0, got {float(radii.min())}; give |epsilon|")
    return project_(perturbation.clone(), radii, norm)


def project_(perturbation: Tensor, radii: Tensor, norm: Norm) -> Tensor:
    """Project in place, and take the radii [B] for checked."""
    bounds = per_row(radii, perturbation)
    if norm == "linf":
        return perturbation.clamp_(-bounds, bounds)
    lengths = per_row(norms(perturbation, "l2"), perturbation)
    return perturbation.mul_((bounds / lengths.clamp_min(_TINY)).clamp_max(1.0))


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the unit step along which a linear function grows fastest, row by row."""
    if norm == "linf":
        return gradient.sign()
    return gradient / per_row(norms(gradient, "l2").clamp_min(_TINY), gradient)


def start_in_ball(noise: Tensor, radii: Tensor, norm: Norm) -> Tensor:
    """Turn noise uniform in [-1, 1) into a start inside each row's own ball.

    The start is uniform in the ball. L2: the noise, turned into a normal vector, gives the direction, and the
    chi-square distribution of that vector's length, which does not depend on the direction, gives the radius.

    Args:
        noise: [B, ...] float in [-1, 1).
        radii: [B] float, at least 0.
        norm: `linf` or `l2`.
    """
    if norm == "linf":
        return noise * per_row(radii, noise)
    num_pixels = noise[0].numel()
    normal = torch.erfinv(noise.clamp(-_NEARLY_ONE, _NEARLY_ONE))
    half_chi_square = norms(normal, "l2").double().square()
    shares = torch.special.gammainc(torch.full_like(half_chi_square, num_pixels / 2), half_chi_square)
    return steepest(normal, "l2") * per_row(radii * shares.pow(1 / num_pixels).to(noise), noise)

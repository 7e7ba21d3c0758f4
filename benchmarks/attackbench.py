"""Our margins as attacks with AttackBench's contract (Cina et al. 2025): a configuration and a getter each.

Put beside AttackBench's own libraries of attacks, as `attack_evaluation/attacks/puma/configs.py`. Its environment must
be one in which pumalib installs (Python 3.11 or newer). An attack maps (model, inputs, labels, targets, targeted) to
adversarial inputs; ours are untargeted. A row that did not cross comes back as it went in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pumalib import deepfool_margins, refined_margins
from pumalib.attacks.margins import MarginTable

Attack = Callable[..., Tensor]


def puma_deepfool() -> None:
    name = "deepfool"  # noqa: F841
    source = "puma"  # noqa: F841
    threat_model = "linf"  # noqa: F841
    max_iterations = 50  # noqa: F841


def get_puma_deepfool(threat_model: Literal["linf", "l2"], max_iterations: int) -> Attack:
    return partial(_attack, estimate=partial(deepfool_margins, norm=threat_model, max_iterations=max_iterations))


def puma_refined() -> None:
    name = "refined"  # noqa: F841
    source = "puma"  # noqa: F841
    threat_model = "linf"  # noqa: F841
    refinement_steps = 8  # noqa: F841
    restarts = 2  # noqa: F841


def get_puma_refined(threat_model: str, refinement_steps: int, restarts: int) -> Attack:
    options: dict[str, Any] = {"norm": threat_model, "refinement_steps": refinement_steps, "restarts": restarts}
    return partial(_attack, estimate=partial(refined_margins, **options))


def _attack(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    targets: Tensor | None = None,
    targeted: bool = False,
    *,
    estimate: Callable[..., MarginTable],
) -> Tensor:
    """Return points just across the boundary, [N, C, H, W] on the device of the inputs."""
    if targeted:
        raise NotImplementedError("expected targeted=False, got True: margins are distances to any other class")
    table = estimate(model, inputs, labels, keep_adversarial=True)
    assert table.adversarial_images is not None
    points = torch.from_numpy(table.adversarial_images).to(inputs)
    # A misclassified input is its own adversarial example: what the margin finds for it is its label.
    fooled = torch.from_numpy(table.converged & (table.prediction == labels.cpu().numpy())).to(inputs.device)
    return torch.where(fooled[:, None, None, None], points, inputs)

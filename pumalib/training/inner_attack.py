"""The inner attack of adversarial training, with a signed epsilon for each row.

For a negative epsilon PUMA asks for a perturbation that minimises the loss. The KL term of TRADES is smallest at the
image itself, which would make that void; so those rows descend the cross-entropy inside |epsilon_i|, the loss that
PUMA's Algorithm 1 uses (a choice of ours).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import ascend, ascend_each
from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.projection import start_in_ball
from pumalib.attacks.threat_settings import Norm
from pumalib.models.checks import frozen_parameters, in_eval_mode
from pumalib.models.folding import Folding
from pumalib.training.batch_norm import unrecorded_statistics
from pumalib.training.settings import AttackedRecipeSettings, RecipeSettings

_STEP_SHARE = 2 / 8


@dataclass(frozen=True)
class InnerAttack:
    """PGD inside each row's own ball.

    Attributes:
        norm: `linf` or `l2`.
        num_steps: gradient steps.
        step_size: fixed step, pixel scale; None: 2 |epsilon_i| / 8.
        in_bfloat16: whether passes through the network are in bfloat16 (autocast). What they give, and all else, has
            the images' type.
        in_eval_mode: whether the network is attacked in eval mode, with BatchNorm's running statistics, as TRADES'
            authors do; else in train mode, with those of the batch, unrecorded (Wang et al. 2023).
        folding: of the network's BatchNorm layers, for passes in eval mode; None: they stand as they are.
    """

    norm: Norm
    num_steps: int
    step_size: float | None = None
    in_bfloat16: bool = False
    in_eval_mode: bool = False
    folding: Folding | None = None

    @contextmanager
    def looking_at(self, model: nn.Module) -> Iterator[None]:
        """Let the model be as the attack looks at it, and so do those who judge the attack."""
        if not self.in_eval_mode:
            with unrecorded_statistics(model):
                yield
        else:
            with in_eval_mode(model), nullcontext() if self.folding is None else self.folding.applied():
                yield

    def perturb(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        epsilons: Tensor,
        objective: Callable[[Tensor], Tensor],
        generator: torch.Generator,
        rows: tuple[int, slice] | None = None,
        num_steps: Tensor | None = None,
        some_are_negative: bool | None = None,
    ) -> Tensor:
        """Return perturbed images, detached; the model's parameters and running statistics stay as they are.

        Args:
            model: in train mode; its running statistics stay as they are.
            images: [B, C, H, W] float in [0, 1].
            labels: [B] int64.
            epsilons: [B] float, signed radii.
            objective: maps logits [B, K] to [B] values to maximise for rows with epsilon of at least 0.
            generator: source of the random start, on the images' device.
            rows: where the images are a share of a batch, how many rows that has and which are the share; the random
                start is drawn for all. None: the images are all.
            num_steps: [B] int64, gradient steps of each row, and a row of none is not perturbed at all; None: all take
                those of the attack. Rows that are done leave the batch, so that this is for passes in eval mode.
            some_are_negative: whether one of the epsilons is below 0; None: the device is asked, which waits for it.
        """
        count, share = (len(images), slice(None)) if rows is None else rows
        radii = epsilons.abs()
        steps = radii * _STEP_SHARE if self.step_size is None else torch.full_like(radii, self.step_size)
        noise = torch.rand((count, *images.shape[1:]), generator=generator, device=images.device)[share] * 2 - 1
        is_negative = epsilons < 0
        is_signed = bool(is_negative.any()) if some_are_negative is None else some_are_negative

        def signed(inputs: Tensor, places: Tensor | None = None) -> Tensor:
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.in_bfloat16):
                logits = model(inputs)
            logits = logits.to(inputs.dtype)
            if places is not None:  # objectives are of the whole batch: logits of the other rows count for nothing
                logits = logits.new_zeros(len(images), logits.shape[1]).index_copy(0, places, logits)
            values = objective(logits)
            if is_signed:
                values = torch.where(is_negative, -cross_entropy(logits, labels), values)
            return values if places is None else values[places]

        start = start_in_ball(noise, radii, self.norm)
        with self.looking_at(model), frozen_parameters(model):
            if num_steps is None:
                return ascend(signed, images, start, radii, steps, self.num_steps, self.norm)
            return ascend_each(signed, images, start, radii, steps, num_steps, self.norm)


def make_attack(settings: RecipeSettings, norm: Norm, model: nn.Module) -> InnerAttack:
    """Return the inner attack of a training; of a method without one, an attack of no steps."""
    if not isinstance(settings, AttackedRecipeSettings):
        return InnerAttack(norm, 0)
    in_eval_mode = settings.attack_statistics == "running"
    return InnerAttack(
        norm,
        settings.attack_steps,
        settings.attack_step_size,
        settings.attack_precision == "bfloat16",
        in_eval_mode,
        Folding(model) if in_eval_mode and not settings.compile else None,  # untried in a compiled network
    )


def plain_attack(settings: RecipeSettings, norm: Norm) -> InnerAttack:
    """Return the inner attack of a training in float32, on a network in whatever mode it is."""
    if not isinstance(settings, AttackedRecipeSettings):
        return InnerAttack(norm, 0)
    return InnerAttack(norm, settings.attack_steps, settings.attack_step_size)

"""Settings of the policies that find epsilons during training. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from pumalib.settings import PixelAmount, Settings


class OnlineMarginEpsilon(Settings):
    """Online PUMA (Sec. 5): epsilons and pruning from each batch's own attack, during training.

    Source: PUMA, section 5.

    Example:
        >>> from pumalib import TrainOptions
        >>> TrainOptions(online=OnlineMarginEpsilon(prune_above="12/255", warmup_epochs=20)).online.policy
        'online_margin'
    """

    policy: Literal["online_margin"] = "online_margin"
    cap: PixelAmount | None = None
    """Radius of the one attack, and bound on |epsilon|, pixel scale; none: the threat's epsilon."""
    prune_above: PixelAmount | None = None
    """Drop a row from its batch if it is still right this far along its perturbation, pixel scale; none: drop none."""
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs before rows are dropped: a fresh model that drops from the start may not converge (PUMA Table 6)."""
    bisection_steps: int = Field(default=8, gt=0)
    """Halvings of [-cap, cap] in the search for a row's epsilon; each costs a forward."""
    attack: Literal["cross_entropy", "objective"] = "cross_entropy"
    """What the one attack ascends: the cross-entropy, or what the training method's own does (TRADES: the KL)."""


class IaatEpsilon(Settings):
    """Instance adaptive adversarial training (Balaji et al. 2019): a row's epsilon moves each time it is drawn.

    Source: Balaji et al. 2019.

    Example:
        >>> from pumalib import TrainOptions
        >>> TrainOptions(online=IaatEpsilon(step="1.9/255")).online.warmup_epochs
        5
    """

    policy: Literal["iaat"] = "iaat"
    step: PixelAmount | None = None
    """Distance between candidate epsilons, pixel scale; none: 1.9/8 of the threat's epsilon (1.9/255 at 8/255)."""
    smoothing: float = Field(default=0.1, gt=0, le=1)
    """Weight of the candidate chosen against the row's epsilon so far."""
    warmup_epochs: int = Field(default=5, ge=0)
    """Epochs at the starting epsilon: the threat's, or the cap where that is lower."""
    cap: PixelAmount | None = None
    """Bound on a row's epsilon, pixel scale; none: unbounded, as in the paper."""


class CatEpsilon(Settings):
    """Customized adversarial training (Cheng et al. 2020): a row's epsilon grows while attacks at it fail.

    Source: Cheng et al. 2020.

    Example:
        >>> from pumalib import TrainOptions
        >>> TrainOptions(online=CatEpsilon(softening=0)).online.toward
        'dirichlet'
    """

    policy: Literal["cat"] = "cat"
    step: PixelAmount | None = None
    """What a row's epsilon grows by, pixel scale; none: 0.16 of the threat's epsilon (0.005 at 8/255)."""
    cap: PixelAmount | None = None
    """Bound on a row's epsilon, pixel scale; none: the threat's epsilon."""
    softening: float = Field(default=80 / 255, ge=0, le=1)
    """Share of its label that a row at the cap gives away, in proportion below; default: the paper's 10 x 8/255."""
    toward: Literal["dirichlet", "uniform"] = "dirichlet"
    """What is given away goes to classes drawn from Dirichlet(1, ..., 1), or to all alike."""
    attack: Literal["cross_entropy", "cw"] = "cross_entropy"
    """What the inner attack ascends: the cross-entropy toward the softened label, or the margin loss."""


OnlineEpsilonSettings = OnlineMarginEpsilon | IaatEpsilon | CatEpsilon
"""Policies that find epsilons during training; the selection holds where they start."""


def online_module(policy: str) -> str:
    """Return the module of such a policy, by convention."""
    return f"pumalib.training.online.{policy}"


def read_online(settings: Mapping[str, Any]) -> OnlineEpsilonSettings | None:
    """Read the settings of such a policy; of nothing, None."""
    if not settings:
        return None
    tagged = Annotated[OnlineEpsilonSettings, Field(discriminator="policy")]
    adapter: TypeAdapter[OnlineEpsilonSettings] = TypeAdapter(tagged)
    return adapter.validate_python(settings)

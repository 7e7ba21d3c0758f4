"""Settings of the attacks that evaluate a model. Imports no torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from pumalib.attacks.threat_settings import Norm
from pumalib.errors import ConfigError
from pumalib.settings import Name, PixelAmount, Settings, refuse_repeats


class _EvaluatedSettings(Settings):
    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    """Norms that the attack is made for."""

    runs: tuple[Name, ...] | None = None
    """Runs whose models are attacked so; none: all; `[]`: no model, only kept epochs that a report asks for. No part of
    the attack itself."""
    norm: Norm | None = None
    """Must be the threat's norm; none: the threat's."""
    epsilon: PixelAmount | None = None
    """Radius on the pixel scale; none: the threat's."""
    split: Literal["test", "validation"] = "test"
    """Which images are attacked. Choose settings on `validation`; look at `test` once."""
    num_images: int | None = Field(default=None, ge=2)
    """Attack only this many images of the split, drawn in proportion to the classes, the same for every run and attack;
    none: all. One image has no interval."""
    keep_points: bool = False
    """Keep the point behind each prediction in the table, so that the model can be asked again (`puma recheck`). Takes
    4 bytes for each number of an image."""


class _AttackSettings(_EvaluatedSettings):
    batch_size: int | None = Field(default=None, gt=0)
    """Images per batch, none: 500, and fewer of images larger than 32 x 32 x 3; changes the speed, not the result."""


class _PgdSettings(_AttackSettings):
    steps: int = Field(default=40, gt=0)
    """Gradient steps."""
    step_size: PixelAmount | None = None
    """Step on the pixel scale; none: a quarter of epsilon (2/255 at 8/255)."""
    restarts: int = Field(default=1, gt=0)
    """Random starts; an image is robust if none of them fools the model."""
    random_start: bool = True
    """Start uniformly inside the ball rather than at the image."""
    screening: Literal["bfloat16"] | None = None
    """Attack with the network's passes in bfloat16 first. Images that float32 confirms to be fooled are done; all
    others are attacked again in float32, so that robust accuracy is no higher. None: float32 alone."""


class CwPgdSettings(_PgdSettings):
    """PGD on the Carlini-Wagner margin loss: the "C&W" of PUMA's tables.

    Source: Carlini and Wagner 2017 for the loss, Madry et al. 2018 for PGD.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> from pumalib import ThreatSettings, evaluate
        >>> images, threat = [[0.9, 0.3], [0.6, 0.5]], ThreatSettings(epsilon=0.1)
        >>> evaluate(model, images, [0, 0], CwPgdSettings(steps=10), threat=threat).robust_accuracy
        0.5
    """

    method: Literal["cw_pgd"] = "cw_pgd"


class PgdSettings(_PgdSettings):
    """PGD on the cross-entropy.

    Source: Madry et al. 2018.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> from pumalib import ThreatSettings, evaluate
        >>> images, threat = [[0.9, 0.3], [0.6, 0.5]], ThreatSettings(norm="l2", epsilon=0.1)
        >>> evaluate(model, images, [0, 0], PgdSettings(steps=10, restarts=2), threat=threat).robust_accuracy
        0.5
    """

    method: Literal["pgd"] = "pgd"


class SquareSettings(_AttackSettings):
    """The Square attack (Andriushchenko et al. 2020), L-inf; needs no gradient, so masking does not stop it.

    Source: Andriushchenko et al. 2020.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> from pumalib import ThreatSettings, evaluate
        >>> images, threat = [[0.9, 0.3], [0.6, 0.5]], ThreatSettings(epsilon=0.1)
        >>> evaluate(model, images, [0, 0], SquareSettings(queries=100), threat=threat).success.tolist()
        [False, True]
    """

    norms = ("linf",)
    method: Literal["square"] = "square"
    queries: int = Field(default=5000, gt=0)
    """Most forward passes per image. 5,000, as AutoAttack takes; the paper takes 10,000 or more."""
    initial_share: float = Field(default=0.8, gt=0, le=1)
    """Share of the pixels that the first squares cover. 0.8 as in AutoAttack, for robust models; the paper has 0.05
    for others."""


class DeepfoolOptions(Settings):
    """How DeepFool searches."""

    max_iterations: int = Field(default=50, gt=0)
    """Gradient iterations per sample."""
    overshoot: float = Field(default=0.02, ge=0)
    """Share by which each perturbation is stretched to cross."""
    num_candidates: int = Field(default=10, gt=0)
    """Other classes looked at, the most likely ones."""


class MinimumNormSettings(_AttackSettings, DeepfoolOptions):
    """The shortest perturbation that DeepFool finds: an image is robust if that is at least epsilon long.

    Source: Moosavi-Dezfooli et al. 2016.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> from pumalib import ThreatSettings, evaluate
        >>> images, threat = [[0.9, 0.3], [0.6, 0.5]], ThreatSettings(epsilon=0.1)
        >>> evaluate(model, images, [0, 0], MinimumNormSettings(), threat=threat).success.tolist()
        [False, True]
    """

    method: Literal["minimum_norm"] = "minimum_norm"
    bisection_steps: int = Field(default=10, ge=0)
    """The crossing is enclosed as narrowly as by so many halvings of the segment from the image to the point found."""


class AutoattackSettings(_AttackSettings):
    """AutoAttack (Croce & Hein 2020) from the optional package `pyautoattack`; from 10 classes on the standard version.

    APGD on the cross-entropy, targeted APGD, targeted FAB, then Square with 5,000 queries, each on what withstood the
    ones before. With fewer classes, the nearest that is defined; the table names it. It has no parameters. Here
    `batch_size` does change the result: the package draws random numbers by batch.

    Source: Croce and Hein 2020.
    """

    method: Literal["autoattack"] = "autoattack"


class CleanSettings(_AttackSettings):
    """No perturbation: clean accuracy alone."""

    method: Literal["clean"] = "clean"


AttackSettings = Annotated[
    CwPgdSettings | PgdSettings | SquareSettings | MinimumNormSettings | AutoattackSettings | CleanSettings,
    Field(discriminator="method"),
]
"""The attacks that `evaluate` takes."""


class WorstOfSettings(_EvaluatedSettings):
    """The worst case over other attacks, image by image: an image is robust if none of them fools the model.

    It runs no attack itself. `split`, `num_images`, `epsilon` and `norm` are those of its attacks. It keeps points only
    if each of its attacks does.
    """

    method: Literal["worst_of"]
    runs: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """Runs that it covers; none: all. Each of its attacks must be on all of them."""
    attacks: Annotated[tuple[Name, ...], Field(min_length=2), AfterValidator(refuse_repeats)]
    """Names of two or more attacks of the same study, on the same images at the same threat. Where several fool an
    image, the first of them is shown."""


NamedAttackSettings = Annotated[AttackSettings | WorstOfSettings, Field(discriminator="method")]
"""What a study may name under `attacks`: an attack, or a worst case over some."""


SAME_IN_A_WORST_OF = ("split", "num_images", "epsilon", "norm")
"""Settings that the attacks of a worst case share: they say which images are attacked, and how far."""


def like_their_attacks(attacks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attacks of a study file, in which each worst case is on the images and at the threat of its attacks.

    Args:
        attacks: as the file spells them, by name. What is no mapping stays as it is, and is refused later.
    """
    return {name: _like_its_attacks(attack, attacks) for name, attack in attacks.items()}


def _like_its_attacks(attack: Any, attacks: Mapping[str, Any]) -> Any:
    """Fill in what a worst case leaves out, from the first of its attacks."""
    named = attack.get("attacks") if isinstance(attack, dict) and attack.get("method") == "worst_of" else None
    first = attacks.get(str(named[0])) if isinstance(named, list | tuple) and named else None
    if not isinstance(first, dict):
        return attack
    return {key: first[key] for key in SAME_IN_A_WORST_OF if key in first} | attack


NOT_THE_ATTACK = frozenset({"runs"})
"""Settings that change no number of an attack: another value makes no table again."""


WITHOUT_GRADIENTS = frozenset({"square", "clean"})
"""Attacks that ask a network for logits alone."""


_PACKAGES = {"autoattack": "pyautoattack"}
"""Attacks that are taken from an optional package; the extra of ours that installs it is named after the attack."""


def attack_packages(method: str) -> tuple[str, ...]:
    """Return the packages, beside torch, that an attack's numbers come from."""
    return (_PACKAGES[method],) if method in _PACKAGES else ()


def expect_attack_packages(method: str, where: str) -> None:
    """Refuse an attack whose package is not installed.

    Args:
        method: of the attack.
        where: what asks for it, for the message.

    Raises:
        ConfigError: with the command that installs it.
    """
    for package in attack_packages(method):
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"expected the package {package} for method {method}, found none, at {where}; "
                f'pip install "pumalib[{method}]"'
            )


def attack_module(method: str) -> str:
    """Return the module of an attack, by convention."""
    return f"pumalib.attacks.{method}"

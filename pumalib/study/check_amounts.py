"""Checks of amounts on the pixel scale: none is larger than the farthest that two images can be apart.

Whoever writes 8 for 8/255 would otherwise see every model fail, and no error. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pumalib.attacks.threat_settings import Norm
from pumalib.errors import ConfigError
from pumalib.settings import PixelScale
from pumalib.study.check_pools import Shapes
from pumalib.study.study import Study


def check_amounts(study: Study, shapes: Shapes) -> None:
    """Refuse amounts that no two images are apart.

    Raises:
        ConfigError: the first one found.
    """
    farthest = _farthest(study.settings.threat.norm, shapes)
    settings = study.settings.model_copy(update={"defaults": None, "runs": study.runs})
    for where, amount in amounts_of(settings):
        norm_of_its_own = _norm_at(study, where)
        most = farthest if norm_of_its_own is None else _farthest(norm_of_its_own, shapes)
        if amount > most:
            raise ConfigError(
                f"expected an amount on the pixel scale [0, 1], where images are at most {most:.4g} apart, got "
                f'{amount:g} at {where}; divide by 255, as in "8/255"'
            )


def large_amounts(study: Study, shapes: Shapes) -> list[str]:
    """Return a sentence for each amount that can be, but is above half of what images can be apart."""
    farthest = _farthest(study.settings.threat.norm, shapes)
    settings = study.settings.model_copy(update={"defaults": None, "runs": study.runs})
    return [
        f"{where} is {amount:g}, more than half of the range that images have: is it meant for another scale?"
        for where, amount in amounts_of(settings)
        if _norm_at(study, where) is None and farthest / 2 < amount <= farthest
    ]


def amounts_of(settings: BaseModel, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield the place and value of each amount on the pixel scale that is set, however deep."""
    for name, field in type(settings).model_fields.items():
        place = f"{where}.{name}" if where else name
        yield from _amounts_in(getattr(settings, name), place, _is_on_pixel_scale(field))


def _amounts_in(value: Any, where: str, is_amount: bool) -> Iterator[tuple[str, float]]:
    if isinstance(value, BaseModel):
        yield from amounts_of(value, where)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _amounts_in(each, f"{where}.{key}", is_amount)
    elif isinstance(value, tuple | list):
        for index, each in enumerate(value):
            yield from _amounts_in(each, f"{where}[{index}]", is_amount)
    elif is_amount and isinstance(value, int | float):
        yield where, float(value)


def _is_on_pixel_scale(field: FieldInfo) -> bool:
    return any(isinstance(each, PixelScale) for each in [*field.metadata, *_metadata_in(field.annotation)])


def _metadata_in(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield from _metadata_in(argument)


def _farthest(norm: Norm, shapes: Shapes) -> float:
    """Return how far two images can be apart."""
    return 1.0 if norm == "linf" else max(math.sqrt(math.prod(shape.image_shape)) for shape in shapes.values())


def _norm_at(study: Study, where: str) -> Norm | None:
    """Return the norm of a score of its own; None: the threat's."""
    group, _, name = where.partition(".")
    score = study.settings.scores.get(name.rpartition(".")[0]) if group == "scores" else None
    norm: Norm | None = getattr(score, "norm", None)
    return norm

"""The base of every settings model, and the value types a study file is written in."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from pumalib.errors import ConfigError
from pumalib.setting_errors import NAME_PATTERN, describe

_FRACTION = re.compile(r"^\s*[+-]?\d+(\.\d+)?\s*/\s*\d+(\.\d+)?\s*$")


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # which pydantic does not name in public


class _SettingsClass(ModelMetaclass):
    """Tells Python code that makes settings by their class in one sentence where they are refused."""

    def __call__(cls, *args: Any, **values: Any) -> Any:  # noqa: N805 a class of classes
        """Make settings.

        Raises:
            ConfigError: they are refused.
        """
        try:
            return super().__call__(*args, **values)
        except ValidationError as error:
            model = cast(type[BaseModel], cls)
            raise ConfigError(describe(error, model, (), model.__name__)) from None


_LARGEST = 2**63 - 1


class Settings(BaseModel, metaclass=_SettingsClass):
    """A frozen, strict group of settings: unknown keys, wrong types, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_odd_numbers(cls, values: Any) -> Any:
        """Refuse `epochs: yes`, which YAML reads as true and Python as 1, and numbers that no file holds."""
        for key, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, int) and abs(value) > _LARGEST:
                raise ValueError(
                    f"expected a number of at most {_LARGEST} for {key}, got one of {len(str(abs(value)))} digits"
                )
            is_boolean = any(isinstance(item, bool) for item in (value if isinstance(value, list) else [value]))
            if is_boolean and key in cls.model_fields and bool not in _types_in(cls.model_fields[key].annotation):
                raise ValueError(f"expected another value than true or false for {key}, got {value}")
        return values


def _types_in(annotation: Any) -> set[Any]:
    """Return a type and every type inside it."""
    return {annotation}.union(*[_types_in(argument) for argument in get_args(annotation)])


def _parse_amount(value: Any) -> Any:
    """Turn "8/255", and "1e-3" that YAML leaves as text, into a float; leave everything else to pydantic."""
    if not isinstance(value, str):
        return value
    if _FRACTION.match(value):
        numerator, denominator = (Fraction(part.strip()) for part in value.split("/"))
        if denominator == 0:
            raise ValueError(f'expected a fraction with a denominator other than 0, got "{value}"')
        return float(numerator / denominator)
    try:
        return float(value)
    except ValueError:
        raise ValueError(f'expected a number or a fraction such as "8/255", got "{value}"') from None


_AMOUNT_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _FRACTION.pattern}]}

Amount = Annotated[float, BeforeValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
"""An amount on the pixel scale [0, 1]: a number, or a fraction such as "8/255"."""


class PixelScale:
    """Marks an amount that perturbs a pixel, so that nothing can be farther than white is from black."""


PositiveAmount = Annotated[
    float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)
]
"""An amount above 0."""

PixelAmount = Annotated[PositiveAmount, PixelScale()]
"""A distance between images above 0, on the pixel scale [0, 1]; `study.check_amounts` holds it to what can be."""

PixelAmountOrZero = Annotated[Amount, Field(ge=0), PixelScale()]
"""The same, or 0."""

LONGEST_NAME = 100
"""Characters that a name may have."""

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=LONGEST_NAME)]
"""A name that can stand in a path: at most 100 letters, digits and + . _ = -, beginning with a letter or digit."""

UserObject = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""A function or class of a user's own, `module:name`."""


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_NAME_SCHEMA = {"pattern": NAME_PATTERN, "type": "string"}

NameOrNames = Annotated[
    tuple[Name, ...],
    Field(min_length=1),
    BeforeValidator(_as_list),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, {"items": _NAME_SCHEMA, "minItems": 1, "type": "array"}]}),
]
"""One name, or a list of them."""


def _refuse_repeated_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(f"expected distinct seeds of at least 0, got {list(seeds)}")
    if max(seeds) > _LARGEST:
        raise ValueError(f"expected seeds of at most {_LARGEST}, which files hold, got {max(seeds)}")
    return seeds


def refuse_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse values of which one stands twice."""
    if len(set(values)) != len(values):
        raise ValueError(f"expected each value once, got {list(values)}")
    return values


Seeds = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_refuse_repeated_seeds)]
"""Distinct seeds of at least 0."""


class TheoryStudySettings(Settings):
    """The keys that every study of a theory has."""

    study: Name
    """Name of the study and of its results folder."""
    seeds: Seeds
    """Independent repetitions: of all that is drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where jobs compute; `auto` takes CUDA where there is one."""
    threads: int = Field(default=1, gt=0)
    """Torch threads of a job; on a CPU they are part of the result."""


def members(union: Any) -> tuple[type[Settings], ...]:
    """Return the classes of a union of settings, in its order, whatever is annotated about them."""
    if isinstance(union, type):
        return (union,)
    parts = get_args(union)[:1] if get_origin(union) is Annotated else get_args(union)
    return tuple(member for part in parts for member in members(part))


def by_kind(union: Any, key: str) -> dict[str, type[Settings]]:
    """Return the classes of a union by the names that `key` may have in them; one without names is left out."""
    return {str(name): each for each in members(union) for name in get_args(each.model_fields[key].annotation)}


def is_none(value: object) -> bool:
    """Say whether a value is left out of params and files, which are then those of before there was such a setting."""
    return value is None

"""The base of every settings model, and the value types a study file is written in."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9+._=-]*$"
_FRACTION = re.compile(r"^\s*[+-]?\d+(\.\d+)?\s*/\s*\d+(\.\d+)?\s*$")


class Settings(BaseModel):
    """A frozen, strict group of settings: unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _parse_amount(value: Any) -> Any:
    """Turn "8/255" into a float; leave everything else to pydantic."""
    if isinstance(value, str) and _FRACTION.match(value):
        numerator, denominator = value.split("/")
        if Fraction(denominator.strip()) == 0:
            raise ValueError("expected a fraction with a denominator other than 0")
        return float(Fraction(numerator.strip()) / Fraction(denominator.strip()))
    if isinstance(value, str):
        raise ValueError('expected a number or a fraction such as "8/255"')
    return value


_AMOUNT_SCHEMA = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _FRACTION.pattern}]}

Amount = Annotated[float, BeforeValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
"""An amount on the pixel scale [0, 1]: a number, or a fraction such as "8/255"."""

PositiveAmount = Annotated[
    float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)
]
"""An amount above 0."""

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A name that can stand in a path: letters, digits and + . _ = -, not starting with a sign."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean "trades"?`` or, with no near name, the valid ones."""
    candidates = [str(candidate) for candidate in names]
    close = difflib.get_close_matches(str(name), candidates, n=1, cutoff=0.5)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; valid: {', '.join(sorted(candidates))}" if candidates else ""

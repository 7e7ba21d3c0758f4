"""What values a key of a study may have, in words: its type, its range and its choices. Imports no torch."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from pumalib.setting_errors import NAME_PATTERN
from pumalib.settings import Amount, UserObject

_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "none"}
_PARSE_AMOUNT = next(mark.func for mark in get_args(Amount) if isinstance(mark, BeforeValidator))
_USER_PATTERN = next(mark for mark in get_args(UserObject) if isinstance(mark, FieldInfo)).metadata


def values_of(field: FieldInfo) -> str:
    """Return what a key may be, such as `number in [0, 1)`."""
    return _values(field.annotation, tuple(_flat(field.metadata)))


def _values(annotation: Any, marks: tuple[Any, ...] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], (*_flat(arguments[1:]), *marks))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        parts = dict.fromkeys(_values(part, marks) for part in arguments if part is not type(None))
        return " or ".join(parts)
    if origin is tuple:
        least = next((f" of at least {mark.min_length}" for mark in marks if isinstance(mark, MinLen)), "")
        pair = len(arguments) > 1 and arguments[1] is not Ellipsis
        return f"list{f' of {len(arguments)}' if pair else least}: {_values(arguments[0])}"
    if origin is dict:
        return f"mapping: {_values(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _kind(annotation, marks) + _range(annotation, marks)


def _flat(marks: Iterable[Any]) -> Iterator[Any]:
    """Yield what is annotated, out of the fields that hold it."""
    for mark in marks:
        yield from _flat(mark.metadata) if isinstance(mark, FieldInfo) else (mark,)


def _kind(annotation: Any, marks: tuple[Any, ...]) -> str:
    if annotation is float and any(getattr(mark, "func", None) is _PARSE_AMOUNT for mark in marks):
        return "amount"
    patterns = {getattr(mark, "pattern", None) for mark in marks}
    if NAME_PATTERN in patterns:
        return "name"
    if patterns & {getattr(mark, "pattern", "") for mark in _USER_PATTERN}:
        return "`module:name`"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _range(annotation: Any, marks: tuple[Any, ...]) -> str:
    """Return the range of a number, with a space before it; nothing where there is none."""
    if annotation not in (int, float):
        return ""
    low = next((f"[{mark.ge:g}" for mark in marks if isinstance(mark, Ge)), "")
    low = low or next((f"({mark.gt:g}" for mark in marks if isinstance(mark, Gt)), "")
    high = next((f"{mark.le:,.10g}]" for mark in marks if isinstance(mark, Le)), "")
    high = high or next((f"{mark.lt:,.10g})" for mark in marks if isinstance(mark, Lt)), "")
    if low and high:
        return f" in {low}, {high}"
    if low:
        return f" of at least {low[1:]}" if low.startswith("[") else f" above {low[1:]}"
    return f" of at most {high[:-1]}" if high.endswith("]") else f" below {high[:-1]}" if high else ""

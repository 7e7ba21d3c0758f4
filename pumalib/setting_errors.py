"""Turning a validation error into one sentence: expected, came, where, what to do."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9+._=-]*$"
"""Of names that can stand in a path."""

Location = tuple[str | int, ...]
_KEY = "[key]"
_NAME_RULE = "letters, digits and + . _ = -, beginning with a letter or digit"
_WORDS = {
    "Input should be": "to be",
    "Input should": "to",
    "a valid dictionary": "a mapping",
    "a valid tuple": "a list",
    "a valid string": "text",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
}


def describe(error: ValidationError, model: type[BaseModel], prefix: Location, origin: str) -> str:
    """Describe the first problem of a validation error; unknown keys come first, since they cause others.

    Args:
        error: from pydantic.
        model: the model that was validated.
        prefix: where the validated mapping stands in the file.
        origin: name of the file.
    """
    details = error.errors(include_url=False)
    first, *others = sorted(details, key=lambda item: item["type"] != "extra_forbidden")
    told = [_told(item, model, prefix) for item in others[:_NUM_TOLD]]
    count = f"and {len(others)} more problem{'s' if len(others) > 1 else ''}: "
    more = f" ({count}{'; '.join(told)})" if others else ""
    return f"{_told(first, model, prefix)} ({origin}){more}"


_NUM_TOLD = 3
"""Problems beside the first that a message tells."""


def _told(item: ErrorDetails, model: type[BaseModel], prefix: Location) -> str:
    path, models = _walk(item["loc"], model)
    where = _spell((*prefix, *path, *_tag_key(item))) or "the top"
    return f"{_sentence(item, path, models)} at {where}"


def _sentence(item: ErrorDetails, path: Location, models: list[type[BaseModel]]) -> str:
    key = _spell(path[-2:] if path and isinstance(path[-1], int) else path[-1:]) or "the study"
    context = item.get("ctx", {})
    if item["loc"][-1:] == (_KEY,):
        return _bad_name(item)
    match item["type"]:
        case "extra_forbidden":
            names = sorted({name for candidate in models for name in candidate.model_fields})
            return f'expected a known key, got "{key}"{nearest(key, names)}'
        case "missing":
            return f"expected a value for {key}, got none"
        case "value_error" | "assertion_error":
            return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        case "union_tag_invalid" | "union_tag_not_found":
            return _bad_tag(item, models)
        case "literal_error":
            options = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ", ").split(",")]
            return f"expected {key} {_listed(options)}, got {item['input']!r}" + _hint(str(item["input"]), options)
        case "string_pattern_mismatch":
            rule = _NAME_RULE if context["pattern"] == NAME_PATTERN else f"a match of {context['pattern']}"
            return f"expected {key} of {rule}, got {item['input']!r}"
        case "too_short":
            return f"expected at least {context['min_length']} under {key}, got {context['actual_length'] or 'none'}"
    return f"expected {key} {_requirement(str(item['msg']))}, got {item['input']!r}"


def _requirement(message: str) -> str:
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    for detail in (" or instance of ", " or object to ", ", unable to "):
        message = message.partition(detail)[0]
    return message


def _bad_name(item: ErrorDetails) -> str:
    if item["type"] == "string_type":
        return f"expected a name that is text, got {item['input']!r}; put it in quotes"
    return f"expected a name of {_NAME_RULE}, got {item['input']!r}"


def _tag_key(item: ErrorDetails) -> Location:
    """Return the key of an unknown tag, at which pydantic's location stops short; (): there is none to point to."""
    if item["type"] != "union_tag_invalid" or not isinstance(item["input"], dict):
        return ()
    name = _tag_name(item)
    return (name,) if name in item["input"] else ()


def _tag_name(item: ErrorDetails) -> str:
    name = str(item["ctx"]["discriminator"]).strip("'")
    return "method" if name.endswith("()") else name


def _bad_tag(item: ErrorDetails, models: list[type[BaseModel]]) -> str:
    name = _tag_name(item)
    given = item["input"].get(name) if isinstance(item["input"], dict) else None
    options = [option for model in models for option in _options(model.model_fields[name].annotation)]
    if given is None:
        return f"expected {name} {_listed(options)}, got none"
    return f"expected {name} {_listed(options)}, got {given!r}{_hint(str(given), options)}"


def _options(annotation: Any) -> Sequence[str]:
    is_literal = typing.get_origin(annotation) is Literal
    return [str(option) for option in typing.get_args(annotation)] if is_literal else ["<module>:<function>"]


def _listed(options: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(options[:-1]), options[-1]) if part)


def _hint(name: str, options: Sequence[str]) -> str:
    hint = nearest(name, options)
    return hint if hint.startswith("; did") else ""


def _spell(path: Location) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else str(part)
    return text


def _walk(location: Location, model: type[BaseModel]) -> tuple[Location, list[type[BaseModel]]]:
    """Follow an error's location; return it as the file spells it, and the models it may stand in.

    Where a value may be one of several models, pydantic puts the tag of the model it took into the location;
    the file does not have it. A bad name of a mapping stands at the mapping.
    """
    path: list[str | int] = []
    models, containers = [model], 0
    is_tagged = False
    for part in location[:-2] if location[-1:] == (_KEY,) else location:
        if containers > 0:
            path.append(part)
            containers -= 1
        elif is_tagged:
            models = [candidate for candidate in models if _has_tag(candidate, str(part))] or models
            is_tagged = False
        elif models:
            path.append(part)
            fields = [candidate.model_fields[str(part)] for candidate in models if str(part) in candidate.model_fields]
            found = [reached for field in fields for reached in _models_in(field.annotation)]
            containers = max((_num_containers(field.annotation) for field in fields), default=0)
            models, is_tagged = (found, len(found) > 1) if fields else (models, False)
    return tuple(path), models


def _num_containers(annotation: Any) -> int:
    """Count the mappings and lists around a value."""
    inner = max((_num_containers(argument) for argument in typing.get_args(annotation)), default=0)
    return inner + (typing.get_origin(annotation) in (dict, tuple, list))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (Union, types.UnionType, dict, tuple, list, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    return any(tag in typing.get_args(field.annotation) for field in model.model_fields.values())


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean "trades"?`` or, with no near name, the valid ones."""
    candidates = [str(candidate) for candidate in names]
    close = difflib.get_close_matches(str(name), candidates, n=1, cutoff=0.5)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; valid: {', '.join(sorted(candidates))}" if candidates else ""

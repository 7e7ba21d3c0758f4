"""Turning a validation error into one sentence: expected, came, where, what to do."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pumalib.settings import nearest

Location = tuple[str | int, ...]


def describe(error: ValidationError, model: type[BaseModel], prefix: Location, origin: str) -> str:
    """Describe the first problem of a validation error.

    Args:
        error: from pydantic.
        model: the model that was validated.
        prefix: where the validated mapping stands in the file.
        origin: name of the file.
    """
    details = error.errors(include_url=False)
    first = min(details, key=lambda item: item["type"] != "extra_forbidden")
    path, models = _walk(first["loc"], model)
    where = f"at {_spell((*prefix, *path)) or 'the top'} ({origin})"
    more = f" (and {len(details) - 1} more problems)" if len(details) > 1 else ""
    return f"{_sentence(first, path, models)} {where}{more}"


def _sentence(item: ErrorDetails, path: Location, models: list[type[BaseModel]]) -> str:
    key = str(path[-1]) if path else "the study"
    context = item.get("ctx", {})
    match item["type"]:
        case "extra_forbidden":
            names = sorted({name for candidate in models for name in candidate.model_fields})
            return f'expected a known key, got "{key}"{nearest(key, names)}'
        case "missing":
            return f"expected a value for {key}, got none"
        case "value_error" | "assertion_error":
            return str(item["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        case "union_tag_invalid":
            tags = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            return f"expected {_discriminator(context)} {' or '.join(tags)}, got {context['tag']}" + _hint(
                str(context["tag"]), tags
            )
        case "union_tag_not_found":
            return f"expected {_discriminator(context)} in {key}, got none"
        case "literal_error":
            options = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ", ").split(",")]
            return f"expected {key} {context['expected']}, got {item['input']!r}" + _hint(str(item["input"]), options)
        case "string_pattern_mismatch":
            return f"expected {key} to match {context['pattern']}, got {item['input']!r}"
    requirement = str(item["msg"]).replace("Input should be", "to be").replace("Input should", "to")
    return f"expected {key} {requirement}, got {item['input']!r}"


def _discriminator(context: dict[str, Any]) -> str:
    name = str(context.get("discriminator", "method")).strip("'")
    return "method" if name.endswith("()") else name


def _hint(name: str, options: list[str]) -> str:
    hint = nearest(name, options)
    return hint if hint.startswith("; did") else ""


def _spell(path: Location) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else str(part)
    return text


def _walk(location: Location, model: type[BaseModel]) -> tuple[Location, list[type[BaseModel]]]:
    """Follow an error's location; drop the tags pydantic puts in for unions; return the models reached."""
    path: list[str | int] = []
    models: list[type[BaseModel]] = [model]
    in_mapping = False
    for index, part in enumerate(location):
        is_last = index + 1 == len(location)
        fields = [candidate.model_fields[str(part)] for candidate in models if str(part) in candidate.model_fields]
        if in_mapping or isinstance(part, int):
            path.append(part)
            in_mapping = False
        elif fields:
            path.append(part)
            annotations = [field.annotation for field in fields]
            in_mapping = any(_is_mapping(annotation) for annotation in annotations)
            models = [found for annotation in annotations for found in _models_in(annotation)]
        elif is_last and part != "[key]":
            path.append(part)
        else:
            tagged = [candidate for candidate in models if _has_tag(candidate, str(part))]
            models = tagged or models
    return tuple(path), models


def _is_mapping(annotation: Any) -> bool:
    return typing.get_origin(annotation) is dict


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) in (Union, types.UnionType, dict, tuple, list, typing.Annotated):
        for argument in typing.get_args(annotation):
            yield from _models_in(argument)


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    literals = [typing.get_args(field.annotation) for field in model.model_fields.values()]
    return model.__name__ == tag or any(tag in options for options in literals)

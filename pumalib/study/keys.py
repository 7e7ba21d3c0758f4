"""Every key of a study with its values, its default and what it means, read off the settings.

`python -m pumalib.study.keys` prints it as docs/keys.md. Imports no torch.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pumalib.abstraction.study import AbstractionStudySettings
from pumalib.perceptron.study import PerceptronStudySettings
from pumalib.settings import Settings
from pumalib.study.reports import report_kinds
from pumalib.study.study import StudySettings

STUDIES: dict[str, type[Settings]] = {
    "A study": StudySettings,
    "A study of the perceptron theory": PerceptronStudySettings,
    "A study of the abstraction model": AbstractionStudySettings,
}
_WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "none"}


def as_page() -> str:
    """Return every key as a page of Markdown."""
    lines = [
        "# Every key of a study",
        "",
        "`make keys` writes this page from the settings, and a test holds it to them.",
        "An amount is a number or a fraction such as `8/255`; a name has letters, digits and `+ . _ = -`.",
        "How to use them: [studies.md](studies.md).",
    ]
    seen: set[type[BaseModel]] = set()
    for title, study in STUDIES.items():
        lines += ["", f"## {title}", "", *_table(study)]
        for place, model in _models_in(study, ""):
            if model not in seen:
                seen.add(model)
                lines += ["", f"### {_heading(place, model)}", "", *_about(model), *_table(model)]
    return "\n".join(lines) + "\n"


def _heading(place: str, model: type[BaseModel]) -> str:
    kind = next((name for name in ("method", "source", "policy", "kind") if name in model.model_fields), None)
    values = get_args(model.model_fields[kind].annotation) if kind else ()
    chosen = " or ".join(f"`{kind}: {value}`" for value in values if isinstance(value, str))
    return f"`{place}`" + (f", {chosen}" if chosen else "")


def _about(model: type[BaseModel]) -> list[str]:
    text = " ".join((model.__doc__ or "").split())
    return [text, ""] if text else []


def _table(model: type[BaseModel]) -> list[str]:
    rows = [
        f"| `{name}` | {_values(field.annotation)} | {_default(field)} | {_described(field)} |"
        for name, field in model.model_fields.items()
        if not (name in ("method", "source", "policy", "kind") and len(get_args(field.annotation)) == 1)
    ]
    return ["| key | value | default | |", "|:--|:--|:--|:--|", *rows]


def _described(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, BaseModel):
        return "the defaults below"
    if value in ((), {}, []):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(map(_spelled, value))
    return _spelled(value)


def _spelled(value: Any) -> str:
    return f"`{value:.6g}`" if isinstance(value, float) else f"`{value}`"


def _values(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        parts = dict.fromkeys(_values(part) for part in arguments if part is not type(None))
        return " or ".join(parts)
    if origin is tuple:
        return f"list: {_values(arguments[0])}"
    if origin is dict:
        return f"mapping: {_values(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _models_in(model: type[BaseModel], place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the place and class of each group of settings below one, in the order of its keys."""
    for name, field in model.model_fields.items():
        inside = f"{place}.{name}" if place else name
        reports = tuple(report_kinds().values()) if (model, name) == (StudySettings, "reports") else ()
        for path, each in [*_classes_in(field.annotation, inside), *((f"{inside}.<name>", each) for each in reports)]:
            yield path, each
            yield from _models_in(each, path)


def _classes_in(annotation: Any, place: str) -> Iterator[tuple[str, type[BaseModel]]]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not getattr(annotation, "__abstractmethods__", None):
            yield place, annotation
        return
    if origin is dict:
        yield from _classes_in(arguments[1], f"{place}.<name>")
        return
    for argument in arguments[:1] if origin is Annotated else arguments:
        yield from _classes_in(argument, f"{place}[]" if origin is tuple else place)


if __name__ == "__main__":
    print(as_page(), end="")

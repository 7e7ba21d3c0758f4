"""Every key of a study with its values, its default and what it means, read off the settings.

`python -m pumalib.study.keys` prints it as docs/keys.md. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pumalib.abstraction.study import AbstractionStudySettings
from pumalib.perceptron.study import PerceptronStudySettings
from pumalib.settings import Settings
from pumalib.study.docstrings import as_line, described
from pumalib.study.key_values import values_of
from pumalib.study.reports import report_kinds
from pumalib.study.study import StudySettings

STUDIES: dict[str, type[Settings]] = {
    "A study": StudySettings,
    "A study of the perceptron theory": PerceptronStudySettings,
    "A study of the abstraction model": AbstractionStudySettings,
}
_KINDS = ("method", "source", "policy", "kind")
"""Keys that say which group of keys it is."""


def as_page() -> str:
    """Return every key as a page of Markdown."""
    lines = [
        "# Every key of a study",
        "",
        "This page lists each key that a study may have, with its range, its default and its meaning. How to use them:",
        "[studies.md](studies.md). `make keys` writes the page from the settings, and a test keeps it up to date.",
        "",
        "* An **amount** is a number or a fraction such as `8/255`. A **name** has letters, digits and `+ . _ = -`.",
        "* In a range, `[` and `]` include the end, `(` and `)` leave it out.",
        "* Default **needed**: you must give the key. **none**: you may leave it out; its meaning says what that does.",
        "* A heading names the place: `<name>` stands for a name of yours, `[]` for each item of a list.",
        "* A paper stands with the key or the group that comes from it. Other values are our choice.",
    ]
    seen: set[type[BaseModel]] = set()
    for title, study in STUDIES.items():
        lines += ["", f"## {title}", *key_table(study)]
        for model, (place, *others) in _places_in(study).items():
            if model not in seen:
                seen.add(model)
                lines += ["", f"### {_heading(place, model)}", *_about(model), *_also(others), *key_table(model)]
    return "\n".join(lines) + "\n"


def _places_in(study: type[BaseModel]) -> dict[type[BaseModel], list[str]]:
    """Return where each group of keys stands in a study, in the order of the keys."""
    places: dict[type[BaseModel], list[str]] = {}
    for place, model in _models_in(study, ""):
        known = places.setdefault(model, [])
        known += [place] if place not in known else []
    return places


def _also(others: list[str]) -> list[str]:
    """Return the other places of a group of keys."""
    return ["", f"Also at {', '.join(f'`{place}`' for place in others)}."] if others else []


def _heading(place: str, model: type[BaseModel]) -> str:
    kind = next((name for name in _KINDS if name in model.model_fields), None)
    values = get_args(model.model_fields[kind].annotation) if kind else ()
    chosen = " or ".join(f"`{kind}: {value}`" for value in values if isinstance(value, str))
    return f"`{place}`" + (f", {chosen}" if chosen else "")


def _about(model: type[BaseModel]) -> list[str]:
    """Return what a group of keys is, and where it comes from."""
    text = described(model.__doc__ or "")
    return ["", as_line(text)] if text else []


def key_table(model: type[BaseModel], but_those_of: type[BaseModel] | None = None) -> list[str]:
    """Return the keys of a group as a table of Markdown, after a blank line.

    Args:
        model: the group.
        but_those_of: leave out keys that are the same in this group.
    """
    known = {} if but_those_of is None else but_those_of.model_fields
    rows = [
        _row(name, field)
        for name, field in model.model_fields.items()
        if not (name in _KINDS and len(get_args(field.annotation)) == 1)
        and not (name in known and _row(name, known[name]) == _row(name, field))
    ]
    return ["", "| key | value | default | meaning |", "|:--|:--|:--|:--|", *rows] if rows else []


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {values_of(field)} | {_default(field)} | {_described(field)} |"


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

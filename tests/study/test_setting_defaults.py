"""Every default is a value that the setting would take from a study: pydantic itself does not look at defaults."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated

import pytest
from pydantic import TypeAdapter

import pumalib
from pumalib.settings import Settings


def every_settings_class() -> Iterator[type[Settings]]:
    for found in pkgutil.walk_packages(pumalib.__path__, "pumalib."):
        if "settings" in found.name or found.name.startswith("pumalib.study."):
            import_module(found.name)
    waiting = [Settings]
    while waiting:
        waiting += waiting.pop().__subclasses__()
        if waiting:
            yield waiting[-1]


DEFAULTS = [
    pytest.param(cls, name, id=f"{cls.__name__}.{name}")
    for cls in dict.fromkeys(every_settings_class())
    if cls.__module__.startswith("pumalib.")
    for name, field in cls.model_fields.items()
    if not field.is_required()
]


def test_there_are_defaults_to_look_at() -> None:
    assert len(DEFAULTS) > 300


@pytest.mark.parametrize(("cls", "name"), DEFAULTS)
def test_default_is_a_value_that_the_setting_takes(cls: type[Settings], name: str) -> None:
    field = cls.model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data={})
    allowed = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter = TypeAdapter(allowed)
    assert adapter.validate_python(default) == default

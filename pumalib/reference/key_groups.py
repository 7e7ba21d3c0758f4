"""Which definitions are settings, whose fields are keys of a study with ranges and defaults."""

from __future__ import annotations

from importlib import import_module

from pumalib.reference.definitions import Definition
from pumalib.settings import Settings


def settings_class(found: Definition) -> type[Settings] | None:
    """Return the settings that a definition is; None: it is something else."""
    if not found.is_class or not found.module.endswith("settings"):
        return None
    known = getattr(import_module(found.module), found.name)
    return known if issubclass(known, Settings) else None


def is_settings(found: Definition) -> bool:
    """Return whether a definition is a class of settings."""
    return settings_class(found) is not None

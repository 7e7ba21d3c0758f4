"""Code of a user's own, named `module:name`: found below the folder that the workflow runs in, and nowhere else."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from pumalib.errors import ConfigError
from pumalib.files.provenance import find_in
from pumalib.setting_errors import nearest

PATTERN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""Of a name in a module."""


def load_user_object(name: str, what: str) -> Any:
    """Import a function or class of a user's own.

    Args:
        name: "<module>:<name>".
        what: it is, with its article, for the message.

    Raises:
        ConfigError: not such a name, no such module below the current folder, one that an installed one hides or that
            fails, or nothing in it that can be called by that name.
    """
    if not PATTERN.fullmatch(name):
        raise ConfigError(f'expected {what} as "<module>:<name>", got "{name}"')
    module_name, _, attribute = name.partition(":")
    module = _load_module(module_name, name, what)
    found = getattr(module, attribute, None)
    if not callable(found) or attribute not in vars(module):
        got = "none" if found is None else f"a {type(found).__name__}"
        hint = nearest(attribute, [key for key, value in vars(module).items() if callable(value) and key[0] != "_"])
        raise ConfigError(f"expected {what} {attribute} in module {module_name}, got {got}{hint}")
    return found


def _load_module(module_name: str, name: str, what: str) -> ModuleType:
    folder = Path.cwd().resolve()
    path = find_in(folder, tuple(module_name.split(".")))
    if path is None:
        raise ConfigError(
            f"expected {what} {name} in a module {module_name} of your own, found no "
            f"{module_name.replace('.', '/')}.py in the folder you run from"
        )
    if not _comes_first(module_name, folder):
        raise ConfigError(
            f"expected {what} {name} in {path.relative_to(folder)}, got another module of that name, which Python "
            "takes first; rename your file"
        )
    loaded = sys.modules.get(module_name)
    if loaded is not None and Path(loaded.__file__ or "").resolve() != path.resolve():  # of another folder, before
        del sys.modules[module_name]
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises, the message says where from
        raise ConfigError(
            f"expected {what} {name} in {path.relative_to(folder)}, importing it failed with {type(error).__name__}: "
            f"{error}"
        ) from error


def _comes_first(module_name: str, folder: Path) -> bool:
    """Return whether Python finds the module's outermost package in this folder, before anything installed."""
    top = module_name.partition(".")[0]
    if top in sys.builtin_module_names:
        return False
    spec = PathFinder.find_spec(top, [*sys.path, str(folder)])
    places = [] if spec is None else [*(spec.submodule_search_locations or []), *([spec.origin] if spec.origin else [])]
    return any(Path(place).resolve() in (folder / top, folder / f"{top}.py") for place in places)

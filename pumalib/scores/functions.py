"""A user's own score function, found by its name. Imports no torch."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from pumalib.errors import ConfigError
from pumalib.scores.settings import CustomScoreSettings
from pumalib.settings import nearest


def load_function(settings: CustomScoreSettings) -> Callable[..., Any]:
    """Import `module:function`.

    Raises:
        ConfigError: no such module or function, a module that fails when imported, or a function that cannot be
            called with model, images, labels and the options.
    """
    module_name, _, name = settings.method.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises, the message says where from
        raise ConfigError(
            f"expected a function {name} in a module {module_name} for score method {settings.method}, "
            f"got {type(error).__name__}: {error}; is {module_name}.py in the folder you run from?"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        got = "none" if found is None else f"a {type(found).__name__}"
        functions = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(f"expected a function {name} in module {module_name}, got {got}{nearest(name, functions)}")
    function: Callable[..., Any] = found
    _expect_arguments(function, settings)
    return function


def _expect_arguments(function: Callable[..., Any], settings: CustomScoreSettings) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins tell none
        return
    try:
        signature.bind(None, None, None, **settings.options)
    except TypeError as error:
        given = ", ".join(("model", "images", "labels", *settings.options))
        raise ConfigError(
            f"expected {settings.method} to be called with {given}, got {signature}: {error}; "
            "change the function or `options`"
        ) from None

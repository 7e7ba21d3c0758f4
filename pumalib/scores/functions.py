"""A user's own score function, found by its name. Imports no torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pumalib.errors import ConfigError
from pumalib.files.user_modules import load_user_object
from pumalib.scores.settings import CustomScoreSettings


def load_function(settings: CustomScoreSettings) -> Callable[..., Any]:
    """Import `module:function`.

    Raises:
        ConfigError: no such module or function, a module that fails when imported, or a function that cannot be
            called with model, images, labels and the options.
    """
    function: Callable[..., Any] = load_user_object(settings.method, "a score function")
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

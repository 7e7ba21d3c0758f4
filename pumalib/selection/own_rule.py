"""Pruning rules of a user's own, found by their names and called. Imports no torch."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

from pumalib.errors import ConfigError, DataError
from pumalib.files.user_modules import load_user_object
from pumalib.selection.rule import RuleRows
from pumalib.selection.settings import OwnRuleSettings


def load_rule(settings: OwnRuleSettings) -> Callable[..., Any]:
    """Import `module:function`; whatever it raises when it is called, the message says where.

    Raises:
        ConfigError: no such module or function, a module that fails when imported, or a function that cannot be
            called with rows and the options.
    """
    function: Callable[..., Any] = load_user_object(settings.rule, "a pruning rule")
    _expect_arguments(function, settings)

    def keep(rows: RuleRows, **options: Any) -> Any:
        try:
            return function(rows, **options)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[:2][-1]  # the function itself, if it was entered
            raise DataError(
                f"expected rows to keep from {settings.rule}, it raised {type(error).__name__}: {error} "
                f"({place.filename}, line {place.lineno})"
            ) from error

    return keep


def _expect_arguments(function: Callable[..., Any], settings: OwnRuleSettings) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some builtins tell none
        return
    try:
        signature.bind(None, **settings.options)
    except TypeError as error:
        given = ", ".join(("rows", *settings.options))
        raise ConfigError(
            f"expected {settings.rule} to be called with {given}, got {signature}: {error}; change the function or "
            "`options`"
        ) from None

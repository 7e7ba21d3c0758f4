"""Which functions of the library take a device or a network, and which of them were called."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).parents[2]
TYPES = ("nn.Module", "Network", "CountedModel", "torch.device", "Look")
NAMES = ("device", "network")


def device_functions() -> dict[tuple[str, str], str]:
    """Return, by module file and qualified name, the argument for which a function is listed."""
    found: dict[tuple[str, str], str] = {}
    for path in sorted((ROOT / "pumalib").rglob("*.py")):
        for name, function in _functions(ast.parse(path.read_text(encoding="utf-8")), ""):
            for argument in _arguments(function):
                found.setdefault((path.relative_to(ROOT).as_posix(), name), argument)
    return found


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield f"{prefix}{child.name}", child
            yield from _functions(child, f"{prefix}{child.name}.<locals>.")


def _arguments(function: ast.FunctionDef) -> Iterator[str]:
    of = function.args
    for argument in (*of.posonlyargs, *of.args, *of.kwonlyargs):
        kind = "" if argument.annotation is None else ast.unparse(argument.annotation).partition(" |")[0]
        if kind in TYPES or (argument.arg in NAMES and kind in ("", "str")):
            yield argument.arg


@contextmanager
def noting_calls(called: set[tuple[str, str]]) -> Iterator[None]:
    """Note which functions of the library are called inside."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code not in seen:
            seen.add(code)
            if "/pumalib/" in code.co_filename:
                called.add((f"pumalib/{code.co_filename.rpartition('/pumalib/')[2]}", code.co_qualname))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)

"""What a public name is: its definition in the source, its signature, and the types that the signature names.

All of it is read from the source. A signature at run time has lost its aliases: `Norm` would be a list of words.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parents[1]
_WIDTH = 100
"""Characters of a signature on one line, at most. A choice of ours."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Arguments = list[tuple[str, ast.expr | None, ast.expr | None]]
"""Name, annotation and default of each; a name may have its stars, and ``*`` alone stands before keyword arguments."""


@dataclass(frozen=True)
class Definition:
    """A function, a class or an alias of a type.

    Attributes:
        module: where it is defined.
        name: of it.
        node: its syntax.
        text: its docstring; "": it has none.
    """

    module: str
    name: str
    node: ast.stmt
    text: str

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return isinstance(self.node, ast.ClassDef)


def face() -> dict[str, str]:
    """Return the module of each name that the library itself offers."""
    tree = ast.parse((LIBRARY / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: f"pumalib.{node.module}" for node in imports for alias in node.names}


def find(module: str, name: str) -> Definition | None:
    """Return the definition of a name that a module of this library knows; None: it is from elsewhere."""
    body = _body(module)
    for place, node in enumerate(body):
        if isinstance(node, Function | ast.ClassDef) and node.name == name:
            return Definition(module, name, node, ast.get_docstring(node) or "")
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return Definition(module, name, node, _text_after(body, place))
    for node in _imports(body):
        if (node.module or "").startswith("pumalib.") and name in [alias.name for alias in node.names]:
            return find(str(node.module), name)
    return None


@cache
def _body(module: str) -> list[ast.stmt]:
    path = LIBRARY.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8")).body


def _imports(body: list[ast.stmt]) -> Iterator[ast.ImportFrom]:
    for node in body:
        if isinstance(node, ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):  # TYPE_CHECKING
            yield from _imports(node.body)


def _text_after(body: list[ast.stmt], place: int) -> str:
    following = body[place + 1] if place + 1 < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return str(following.value.value)
    return ""


def arguments(function: Function) -> Arguments:
    """Return what a function takes, in order, without `self`."""
    given = function.args
    names = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(names) - len(given.defaults)), *given.defaults]
    found: Arguments = [
        (each.arg, each.annotation, default)
        for each, default in zip(names, defaults, strict=True)
        if each.arg != "self"
    ]
    if given.vararg is not None:
        found.append((f"*{given.vararg.arg}", given.vararg.annotation, None))
    elif given.kwonlyargs:
        found.append(("*", None, None))
    for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found.append((each.arg, each.annotation, value))
    return found


def fields(node: ast.ClassDef) -> Arguments:
    """Return the public fields of a dataclass or a named tuple."""
    found = [each for each in node.body if isinstance(each, ast.AnnAssign)]
    named = [(ast.unparse(each.target), each.annotation, each.value) for each in found]
    return [each for each in named if not each[0].startswith("_")]


def methods(node: ast.ClassDef) -> list[Function]:
    """Return the public methods and properties of a class."""
    return [each for each in node.body if isinstance(each, Function) and not each.name.startswith("_")]


def is_property(function: Function) -> bool:
    """Return whether a method is read as an attribute."""
    return "property" in map(ast.unparse, function.decorator_list)


def signature(name: str, taken: Arguments, returns: ast.expr | None, module: str) -> str:
    """Return a signature as Python, on a line or with a line for each argument."""
    parts = [_spelled(*each, module) for each in taken]
    end = "" if returns is None else f" -> {as_python(returns)}"
    line = f"{name}({', '.join(parts)}){end}"
    return line if len(line) <= _WIDTH else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def as_python(node: ast.AST) -> str:
    """Return syntax as text, with the quotes of this library."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _spelled(name: str, annotation: ast.expr | None, default: ast.expr | None, module: str) -> str:
    kind = "" if annotation is None else f": {as_python(annotation)}"
    value = "" if default is None else _value(default, module)
    return f"{name}{kind}" + (f" = {value}" if value else "")


def _value(default: ast.expr, module: str) -> str:
    """Return a default as Python, "" where there is none; a constant of the library is spelled out."""
    if isinstance(default, ast.Call) and ast.unparse(default.func) == "field":
        given = {each.arg: as_python(each.value) for each in default.keywords}
        return given.get("default") or (f"{given['default_factory']}()" if "default_factory" in given else "")
    known = find(module, default.id) if isinstance(default, ast.Name) else None
    return as_python(known.node.value if known is not None and isinstance(known.node, ast.Assign) else default)


def named_types(found: Definition) -> Iterator[Definition]:
    """Yield the public types of this library that a definition names, in order."""
    for expression in _expressions(found.node):
        for part in ast.walk(expression):
            if isinstance(part, ast.Name) and not part.id.startswith("_"):
                known = find(found.module, part.id)
                if known is not None and not isinstance(known.node, Function):
                    yield known


def _expressions(node: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(node, Function):
        yield from (each for _, each, _ in arguments(node) if each is not None)
        yield from [node.returns] if node.returns is not None else []
    elif isinstance(node, ast.ClassDef):
        yield from (each for _, each, _ in fields(node) if each is not None)
        for method in methods(node):
            yield from _expressions(method)
    elif isinstance(node, ast.Assign):
        yield node.value

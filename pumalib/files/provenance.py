"""What made a file: fingerprints of the code a stage reaches, and the versions of the libraries under it.

A code fingerprint hashes each module's syntax tree without docstrings, so comments, docstrings and formatting
do not count. The closure follows static imports of ``pumalib`` modules only; a module that a config names is
handed in as a root (method ``x`` lives in ``x.py``), because no import statement mentions it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

PACKAGE = "pumalib"


def code_fingerprint(script: str | Path, *modules: str | None) -> dict[str, str]:
    """Fingerprint a workflow script, the pumalib modules it reaches, and the modules a config names.

    Args:
        script: path of the script.
        modules: dotted names of further roots; None is skipped. A module outside pumalib (a user's own) is
            fingerprinted itself, without what it imports.

    Returns:
        Module name (or the script's file name) to a 16-digit hash, sorted by name; and the Python version,
        since syntax trees differ between minor versions.
    """
    path = Path(script)
    named = {module for module in modules if module is not None}
    reached = _closure(frozenset(_imports(path) | {name for name in named if _is_ours(name)}))
    fingerprints = {name: _tree_hash(_find(name)) for name in reached}
    for name in named - reached:
        source = _find(name)
        if source is not None:
            fingerprints[name] = _tree_hash(source)
    fingerprints[path.name] = _tree_hash(path)
    fingerprints["python"] = _python()
    return dict(sorted(fingerprints.items()))


def changed_since(fingerprints: Mapping[str, str]) -> list[str]:
    """Return what differs today from a code fingerprint: names of modules and scripts, ascending.

    Modules of a user's package are left out, because finding them would import the package; so are scripts where the
    workflow is not beside the library.

    Args:
        fingerprints: of `code_fingerprint`; of another minor version of Python nothing can be told, and `python` is
            returned alone.
    """
    if fingerprints.get("python") != _python():
        return ["python"]
    scripts = Path(__file__).parents[2] / "workflow_scripts"
    today = {name: _hash_today(name, scripts) for name in fingerprints if name != "python"}
    return sorted(name for name, digest in today.items() if digest not in (None, fingerprints[name]))


def _hash_today(name: str, scripts: Path) -> str | None:
    """Return the hash of a module or script; None: it is not to be told."""
    if name.endswith(".py"):
        path = scripts / Path(name).name
        return _tree_hash(path if path.is_file() else None) if scripts.is_dir() else None
    return _tree_hash(_find(name)) if _is_ours(name) or "." not in name else None


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def loaded_outside(fingerprints: Iterable[str]) -> list[str]:
    """Return the pumalib modules that are loaded but not in a code fingerprint: holes in the closure."""
    known = {*fingerprints, PACKAGE}
    return sorted(name for name in sys.modules if _is_ours(name) and not _is_package(name) and name not in known)


def library_versions(*packages: str) -> dict[str, str]:
    """Return the versions of the libraries whose change can change a number, and of these packages."""
    names = ("pumalib", "torch", "torchvision", "numpy", "h5py", *packages)
    return {name: _version(name) for name in names}


@cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _is_ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _is_package(name: str) -> bool:
    path = _find(name)
    return path is not None and path.name == "__init__.py"


def _closure(roots: frozenset[str]) -> set[str]:
    reached: set[str] = set()
    waiting = sorted(roots)
    while waiting:
        name = waiting.pop()
        path = _find(name)
        if name in reached or path is None or path.name == "__init__.py":
            continue
        reached.add(name)
        waiting.extend(_imports(path) - reached)
    return reached


def _find(name: str) -> Path | None:
    if _is_ours(name):
        base = Path(__file__).parents[1].joinpath(*name.split(".")[1:])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    is_source = spec is not None and spec.origin is not None and spec.origin.endswith(".py")
    return Path(spec.origin) if is_source and spec is not None and spec.origin is not None else None


def _imports(path: Path) -> set[str]:
    """Return the pumalib modules that a file imports anywhere, in functions and under conditions too."""
    return _imports_of(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@cache
def _imports_of(path: Path, stamp: tuple[int, int]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if _is_ours(name) and _find(name) is not None}


def _tree_hash(path: Path | None) -> str:
    if path is None:
        return "missing"
    return _tree_hash_of(path, _stamp(path))


@cache
def _tree_hash_of(path: Path, stamp: tuple[int, int]) -> str:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [child for child in node.body if not _is_docstring(child)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

"""What made a file: fingerprints of the code a stage reaches, and the versions of the libraries under it.

A code fingerprint hashes each module's syntax tree without docstrings, so comments, docstrings and formatting
do not count. The closure follows static imports; a module that a config names is handed in as a root (method ``x``
lives in ``x.py``), because no import statement mentions it. Of pumalib, packages' ``__init__`` files do not count, and
neither do the modules of `LEFT_OUT` and all settings: none of them changes a number. Of a user's own code, everything
counts that lies below the folder the workflow runs in.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

PACKAGE = "pumalib"

LEFT_OUT = {
    "pumalib.errors": "exceptions without behaviour",
    "pumalib.setting_errors": "turns a refused setting into a sentence; nothing is made from what is refused",
    "pumalib.files.sizes": "spells numbers of bytes for messages",
    "pumalib.files.plain_text": "shows text from elsewhere without what commands a terminal",
    "pumalib.files.user_modules": "finds a user's own code, which is in fingerprints itself",
    "pumalib.files.provenance": "writes down what made a file; a new form of fingerprints shows in the fingerprints",
    "pumalib.jobs.device_locks": "makes jobs wait for a device; which one it is changes no number",
    "pumalib.jobs.driver": "what the run does before its first job and after its last",
    "pumalib.jobs.frame": "log, errors and order of a job; threads and device are settings of their own",
    "pumalib.jobs.meeting": "where the machines of a training find each other",
    "pumalib.jobs.node_address": "which address and network interface machines find each other by",
    "pumalib.jobs.node_offer": "refuses machines that would compute otherwise",
    "pumalib.jobs.node_watch": "notices machines that are gone; nothing is made by what is left",
    "pumalib.jobs.nodes": "starts and watches the machines of a training; what their processes share is `ranks`",
    "pumalib.jobs.progress": "tells how far a job is",
    "pumalib.jobs.slurm": "starts the other machines of a job of SLURM",
    "pumalib.jobs.termination": "ends a job at SIGTERM; the state that it leaves is `jobs.states`",
    "pumalib.jobs.torchrun": "starts and watches the processes of a job; what they share is `ranks`",
    "pumalib.reporting.checks": "refuses reports of a study; nothing is made from what is refused",
    "pumalib.reporting.needs": "lists what a report reads, which stands in the input and params of its rule",
    "pumalib.reporting.study_view": "types of a study and its files, without behaviour",
    "pumalib.trackers.listener": "tells a tracker what a training logs; the training does not know of it",
    "pumalib.trackers.tensorboard": "writes event files that no job reads",
    "pumalib.trackers.tracker": "finds the tracker that a study names, which makes no file of a result",
}
"""Modules that change no number, each with the reason; an edit reruns nothing."""


def changes_no_number(module: str) -> bool:
    """Return whether a module of pumalib is left out of fingerprints.

    Settings are: their resolved values stand in the params of rules, so that another value reruns what it must.
    """
    *packages, name = module.split(".")
    return module in LEFT_OUT or name.endswith("settings") or "settings" in packages


def workflow_folder() -> Path:
    """Return where Snakefile, rules, scripts and profiles lie: beside the library, or in it where it is installed."""
    library = Path(__file__).parents[1]
    installed = library / "_workflow"
    return installed if installed.is_dir() else library.parent


def code_fingerprint(script: str | Path, *modules: str | None, folder: str | Path = ".") -> dict[str, str]:
    """Fingerprint a workflow script, the modules it reaches, and the modules a config names.

    Args:
        script: path of the script.
        modules: dotted names of further roots; None is skipped.
        folder: that the workflow runs in; code below it is a user's own, and is followed as ours is.

    Returns:
        Module name (or the script's file name) to a 16-digit hash, sorted by name; and the Python version,
        since syntax trees differ between minor versions.
    """
    path, below = Path(script), Path(folder).resolve()
    roots = _imports(path, below) | {module for module in modules if module is not None}
    fingerprints = {name: _tree_hash(source) for name, source in _closure(roots, below)}
    fingerprints[path.name] = _tree_hash(path)
    fingerprints["python"] = _python()
    return dict(sorted(fingerprints.items()))


def changed_since(fingerprints: Mapping[str, str], folder: str | Path = ".") -> list[str]:
    """Return what differs today from a code fingerprint: names of modules and scripts, ascending.

    Scripts are left out where the workflow is not beside the library, and so is a user's own code in another folder
    than that of the run.

    Args:
        fingerprints: of `code_fingerprint`; of another minor version of Python nothing can be told, and `python` is
            returned alone.
        folder: that the workflow ran in.
    """
    if fingerprints.get("python") != _python():
        return ["python"]
    scripts, below = workflow_folder() / "workflow_scripts", Path(folder).resolve()
    today = {name: _hash_today(name, scripts, below) for name in fingerprints if name != "python"}
    return sorted(name for name, digest in today.items() if digest not in (None, fingerprints[name]))


def _hash_today(name: str, scripts: Path, below: Path) -> str | None:
    """Return the hash of a module or script; None: it is not to be told."""
    if name.endswith(".py"):
        path = scripts / Path(name).name
        return _tree_hash(path if path.is_file() else None) if scripts.is_dir() else None
    found = _find(name, below)
    return None if found is None and not _is_ours(name) else _tree_hash(found)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def loaded_outside(fingerprints: Iterable[str]) -> list[str]:
    """Return the pumalib modules that are loaded but not in a code fingerprint: holes in the closure."""
    known = {*fingerprints, PACKAGE}
    loaded = [name for name in sys.modules if _is_ours(name) and name not in known]
    return sorted(name for name in loaded if not _is_package(name) and not changes_no_number(name))


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
    path = _find_ours(name)
    return path is not None and path.name == "__init__.py"


def _closure(roots: Iterable[str], below: Path) -> Iterator[tuple[str, Path | None]]:
    """Yield the modules that roots reach, each once, with their files; None: a root that is nowhere."""
    reached: set[str] = set()
    waiting = sorted(roots)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        path = _find(name, below) if _is_ours(name) or _find_below(name, below) else _find_installed(name)
        if _is_ours(name) and (path is None or path.name == "__init__.py" or changes_no_number(name)):
            continue
        yield name, path
        if path is not None and (_is_ours(name) or path.is_relative_to(below)):
            waiting.extend(_imports(path, below, name) - reached)


def _find(name: str, below: Path) -> Path | None:
    return _find_ours(name) if _is_ours(name) else _find_below(name, below)


@cache
def _find_ours(name: str) -> Path | None:
    return find_in(Path(__file__).parents[1], tuple(name.split(".")[1:]))


@cache
def _find_below(name: str, below: Path) -> Path | None:
    """Return the file of a user's module without importing anything, or None where the folder has none."""
    return None if _is_ours(name) else find_in(below, tuple(name.split(".")))


def find_in(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """Return the file of the module with these names in a folder, without importing anything; None: there is none."""
    base = folder.joinpath(*parts)
    candidates = (base / "__init__.py",) if not parts else (base.with_suffix(".py"), base / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _find_installed(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _imports(path: Path, below: Path, name: str = "") -> frozenset[str]:
    """Return the modules, ours and the user's, that a file imports anywhere: in functions and under conditions too.

    Args:
        path: of the file.
        below: the folder that a user's own code lies in.
        name: of the module in the file, for relative imports; "": a script.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _modules_imported(path, _stamp(path), package, below)


@cache
def _modules_imported(path: Path, stamp: tuple[int, int], package: str, below: Path) -> frozenset[str]:
    written = _imports_of(path, package)
    found = {module for module in written if _find(module, below) is not None}
    parents = {parent for module in found if not _is_ours(module) for parent in _packages_of(module, below)}
    return frozenset(found | parents)


def _packages_of(module: str, below: Path) -> Iterator[str]:
    """Yield the packages that Python runs before a user's module."""
    parts = module.split(".")
    for depth in range(1, len(parts)):
        parent = ".".join(parts[:depth])
        if _find_below(parent, below) is not None:
            yield parent


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _imports_of(path: Path, package: str) -> set[str]:
    """Return every name that a file imports and that may be a module."""
    names: set[str] = set()
    faces: set[str] = set()
    nodes = list(_executed(_parsed(path)))
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            faces.update(alias.asname or PACKAGE for alias in node.names if alias.name == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            names.add(base)
            names.update(_home(f"{base}.{alias.name}") for alias in node.names)
    names.update(_home(f"{PACKAGE}.{name}") for name in _taken_from(nodes, faces))
    return names - {""}


def _taken_from(nodes: Iterable[ast.AST], faces: Collection[str]) -> Iterator[str]:
    """Yield what a file takes from the library's face, known to it by these names: `train` of `pumalib.train`."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in faces:
            yield node.attr


def _home(name: str) -> str:
    """Return the module behind a name of the library's face, which hides it from an import statement."""
    home = _homes().get(name.removeprefix(f"{PACKAGE}."))
    return name if home is None else f"{PACKAGE}.{home}"


@cache
def _homes() -> dict[str, str]:
    """Return the module of each name of the library's face."""
    face = ast.parse((Path(__file__).parents[1] / "__init__.pyi").read_bytes())
    return {
        alias.name: str(node.module) for node in face.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one, but for what stands under `if TYPE_CHECKING`, which never runs; its `else` does."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            yield from _executed(ast.Module(child.orelse, []))
            continue
        yield child
        yield from _executed(child)


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # a user's own; the job that imports it tells of it
        return ast.Module([], [])


def _tree_hash(path: Path | None) -> str:
    if path is None:
        return "missing"
    return _tree_hash_of(path, _stamp(path))


@cache
def _tree_hash_of(path: Path, stamp: tuple[int, int]) -> str:
    tree = _parsed(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [child for child in node.body if not _is_docstring(child)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)

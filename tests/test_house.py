"""The structure of the library, as docs/architecture.md shows it."""

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "pumalib"
LONGEST_FUNCTION, MOST_ON_TOP = 50, 9
"""Lines of a function, without its docstring; and files at the top of the library."""


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs/images/draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_import_one_another_without_a_circle(draw: ModuleType) -> None:
    house = draw.house()
    floors = draw.floors(house)
    assert {"data", "training", "selection", "study", "files", "jobs", "tracks"} <= set(house)
    assert all(floors[room] > floors[below] for room, imported in house.items() for below in imported)


def test_a_circle_is_found(draw: ModuleType) -> None:
    with pytest.raises(ValueError, match="expected a graph without a circle, got one among"):
        draw.floors({"a": {"b"}, "b": {"a"}})


def test_training_knows_nothing_of_selecting_and_scores() -> None:
    for path in (LIBRARY / "training").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "pumalib.selection" not in text, path
        assert "pumalib.scores" not in text, path


def test_few_files_stand_on_top() -> None:
    files = sorted(path.name for path in LIBRARY.iterdir() if path.is_file())
    assert len(files) <= MOST_ON_TOP, files
    assert not {"core", "common", "utils", "helpers", "misc"} & {path.name for path in LIBRARY.rglob("*")}


def test_no_function_is_a_wall() -> None:
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = node.body[0] if ast.get_docstring(node) else None
                told = 0 if text is None else (text.end_lineno or 0) - text.lineno + 1
                lines = (node.end_lineno or 0) - node.lineno + 1 - told
                assert lines <= LONGEST_FUNCTION, f"{path.relative_to(ROOT)}: {node.name} has {lines} lines"


def test_imports_under_type_checking_are_drawn_too_so_that_no_circle_hides_there(
    draw: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "module.py").write_text("if TYPE_CHECKING:\n    from pumalib.scores.table import ScoreTable\n")
    assert draw._imports(tmp_path / "module.py") == ["pumalib.scores.table"]

"""Every progress line says what of, and is quiet where there is no terminal."""

import ast
from collections.abc import Iterator
from pathlib import Path

LIBRARY = Path(__file__).parents[2] / "pumalib"


def progress_lines() -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Yield the place and the keywords of each call of tqdm."""
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tqdm":
                yield f"{path.name}:{node.lineno}", {str(each.arg): each.value for each in node.keywords}


def test_progress_lines_are_named_and_quiet_without_a_terminal() -> None:
    lines = dict(progress_lines())
    assert len(lines) >= 10
    for place, keywords in lines.items():
        assert {"desc", "unit", "disable"} <= set(keywords), place
        assert ast.unparse(keywords["disable"]) in ("None", "where.ranks.is_quiet"), place

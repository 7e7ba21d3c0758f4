"""Draw the house (who imports whom) and the rule graph of the default study, for docs/architecture.md.

    python docs/images/draw.py          (or: make pictures)

Both are read off the code as it stands: imports of pumalib's packages, and what Snakemake itself says of the rules.
An arrow that follows from two others is left out.
"""

from __future__ import annotations

import ast
from pathlib import Path

from pumalib.reporting.graphs import Graph, draw, floors, reduced, without_returns
from pumalib.running.rule_graph import rule_graph
from pumalib.study.file import load_study
from pumalib.study.reruns import NAMED

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
__all__ = ["floors", "house", "main"]


def house() -> Graph:
    """Return the packages and top modules of the library with what they import."""
    rooms = {path: _room(path) for path in (ROOT / "pumalib").rglob("*.py") if path.name != "__init__.py"}
    graph: Graph = {room: set() for room in rooms.values()}
    for path, room in rooms.items():
        for module in _imports(path):
            target = _room(ROOT / Path(*module.split(".")).with_suffix(".py"))
            if target in graph and target != room:
                graph[room].add(target)
    return graph


def _room(path: Path) -> str:
    parts = path.relative_to(ROOT / "pumalib").with_suffix("").parts
    return parts[0]


def _imports(path: Path) -> list[str]:
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return [str(node.module) for node in nodes if str(node.module).startswith("pumalib.")]


def main() -> None:
    """Draw both."""
    print(draw(reduced(house()), IMAGES / "house.svg"))
    study = ROOT / "config.yaml"
    rules, returns = without_returns(rule_graph(str(study), load_study(study).settings.reports), tuple(NAMED))
    print(draw(reduced(rules), IMAGES / "rule-graph.svg", returns))


if __name__ == "__main__":
    main()

"""Draw the house (who imports whom) and the rule graph of the default study, for docs/architecture.md.

    python docs/images/draw.py          (or: make pictures)

Both are read off the code as it stands: imports of pumalib's packages, and what Snakemake itself says of the rules.
An arrow that follows from two others is left out.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from pumalib.study.file import load_study

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs/images"
Graph = dict[str, set[str]]
"""Each node with the nodes that its arrows point to."""

INK, FILL, LINE = "#1f2933", "#eef3f8", "#7b8794"
COLUMN, ROW, WIDTH, HEIGHT = 2.15, 0.95, 1.9, 0.46
SWEEPS = 24


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


def rule_graph() -> Graph:
    """Return the rules of the default study, each with the rules that read its files."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--cores", "1"]
    dot = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    reports = set(load_study(ROOT / "config.yaml").settings.reports)
    labels = dict(re.findall(r'(\d+)\[label = "([^"\\]+)', dot))
    names = {number: "reports" if label in reports else label for number, label in labels.items()}
    graph: Graph = {name: set() for name in names.values() if name != "all"}
    for source, target in re.findall(r"(\d+) -> (\d+)", dot):
        if {names[source], names[target]} <= set(graph):
            graph[names[source]].add(names[target])
    return graph


def reduced(graph: Graph) -> Graph:
    """Leave out each arrow that follows from others."""
    below = {node: _reach(graph, node) for node in graph}
    return {
        node: {target for target in targets if not any(target in below[other] for other in targets - {target})}
        for node, targets in graph.items()
    }


def _reach(graph: Graph, node: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[node])
    while waiting:
        reached = waiting.pop()
        if reached not in found:
            found.add(reached)
            waiting.extend(graph[reached])
    return found


def floors(graph: Graph) -> dict[str, int]:
    """Return the floor of each node: one above the highest that its arrows point to."""
    known: dict[str, int] = {}
    while len(known) < len(graph):
        ready = [node for node in graph if node not in known and graph[node] <= set(known)]
        if not ready:
            raise ValueError(f"expected a graph without a circle, got one among {sorted(set(graph) - set(known))}")
        known |= {node: 1 + max((known[target] for target in graph[node]), default=-1) for node in ready}
    return known


def places(graph: Graph) -> dict[str, tuple[float, float]]:
    """Place nodes on their floors, each near the mean place of its neighbours."""
    level = floors(graph)
    rows: dict[int, list[str]] = {}
    for node in sorted(graph):
        rows.setdefault(level[node], []).append(node)
    near = {node: [other for other in graph if other in graph[node] or node in graph[other]] for node in graph}
    place = {node: float(index) for row in rows.values() for index, node in enumerate(row)}
    for _ in range(SWEEPS):
        for row in rows.values():
            row.sort(key=lambda node: (sum(place[other] for other in near[node]) / max(len(near[node]), 1), node))
            place |= {node: index - (len(row) - 1) / 2 for index, node in enumerate(row)}
    return {node: (COLUMN * place[node], ROW * level[node]) for node in graph}


def draw(graph: Graph, name: str, back: tuple[str, str] | None = None) -> Path:
    """Draw a graph, arrows pointing down; `back`: one more arrow, which closes a circle and is drawn dashed."""
    place = places(graph)
    xs, ys = zip(*place.values(), strict=True)
    size = (max(xs) - min(xs) + WIDTH + 0.5, max(ys) - min(ys) + HEIGHT + 0.5)
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(min(xs) - WIDTH / 2 - 0.25, max(xs) + WIDTH / 2 + 0.25)
    axes.set_ylim(min(ys) - HEIGHT / 2 - 0.25, max(ys) + HEIGHT / 2 + 0.25)
    axes.axis("off")
    for node, targets in graph.items():
        for target in sorted(targets):
            _draw_arrow(axes, place[node], place[target])
    if back is not None:
        _draw_back(axes, place[back[0]], place[back[1]])
    for node, (x, y) in place.items():
        corner = (x - WIDTH / 2, y - HEIGHT / 2)
        axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.09", fc=FILL, ec=INK, lw=0.9))
        axes.text(x, y, node, ha="center", va="center", color=INK, fontsize=10)
    path = IMAGES / f"{name}.svg"
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        figure.savefig(path, metadata={"Date": None})
    return path


def _draw_arrow(axes: Axes, upper: tuple[float, float], lower: tuple[float, float]) -> None:
    start, end = (upper[0], upper[1] - HEIGHT / 2), (lower[0], lower[1] + HEIGHT / 2)
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=LINE, lw=0.9, zorder=0))


def _draw_back(axes: Axes, lower: tuple[float, float], upper: tuple[float, float]) -> None:
    start, end = (lower[0] - WIDTH / 2, lower[1]), (upper[0] - WIDTH / 2, upper[1])
    style = {"arrowstyle": "-|>", "mutation_scale": 9, "color": LINE, "lw": 0.9, "ls": (0, (4, 2))}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle="arc3,rad=-0.35", zorder=0, **style))


def main() -> None:
    """Draw both."""
    IMAGES.mkdir(exist_ok=True)
    print(draw(reduced(house()), "house"))
    rules = rule_graph()
    rules["score"].discard("selection")  # a score looks at the pool through an already trained model
    print(draw(reduced(rules), "rule-graph", back=("score", "selection")))


if __name__ == "__main__":
    main()

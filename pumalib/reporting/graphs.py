"""Drawings of graphs: boxes on floors, with arrows down, and dashed ones back up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

Graph = dict[str, set[str]]
"""Each node with the nodes that its arrows point to."""

Arrow = tuple[str, str]

INK, FILL, LINE = "#1f2933", "#eef3f8", "#7b8794"
COLUMN, ROW, WIDTH, HEIGHT = 2.15, 0.95, 1.9, 0.46
SWEEPS = 24


def without_returns(graph: Graph, order: Sequence[str]) -> tuple[Graph, list[Arrow]]:
    """Take the arrows out that close a circle; return the others and these.

    Args:
        graph: that may have circles.
        order: names of nodes; an arrow of a circle to an earlier node closes it. A name that is missing goes by the
            longest one that it begins with, else last.
    """
    places = {node: _place_in(order, node) for node in graph}
    below = {node: _reach(graph, node) for node in graph}
    returns = [
        (node, target)
        for node in sorted(graph)
        for target in sorted(graph[node])
        if node in below[target] and places[target] <= places[node]
    ]
    forward = {node: {target for target in graph[node] if (node, target) not in returns} for node in graph}
    return forward, returns


def _place_in(order: Sequence[str], node: str) -> tuple[int, str]:
    begun = [name for name in order if node == name or node.startswith(f"{name}_")]
    return (list(order).index(max(begun, key=len)) if begun else len(order), node)


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
    """Return the floor of each node: one above the highest that its arrows point to.

    Raises:
        ValueError: a circle.
    """
    known: dict[str, int] = {}
    while len(known) < len(graph):
        ready = [node for node in graph if node not in known and graph[node] <= set(known)]
        if not ready:
            raise ValueError(f"expected a graph without a circle, got one among {sorted(set(graph) - set(known))}")
        known |= {node: 1 + max((known[target] for target in graph[node]), default=-1) for node in ready}
    return known


def places(graph: Graph) -> dict[str, tuple[float, float]]:
    """Place nodes on their floors, each near the mean place of its neighbours; x and y in inches."""
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


def draw(graph: Graph, path: Path, returns: Sequence[Arrow] = ()) -> Path:
    """Draw a graph without circles, arrows pointing down, and write it; the same graph gives the same bytes.

    Args:
        graph: what to draw.
        path: file to write; its name says in which form.
        returns: more arrows, which close circles and are drawn dashed.
    """
    place = places(graph)
    xs, ys = zip(*place.values(), strict=True)
    figure = Figure(figsize=(max(xs) - min(xs) + WIDTH + 0.5, max(ys) - min(ys) + HEIGHT + 0.5))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(min(xs) - WIDTH / 2 - 0.25, max(xs) + WIDTH / 2 + 0.25)
    axes.set_ylim(min(ys) - HEIGHT / 2 - 0.25, max(ys) + HEIGHT / 2 + 0.25)
    axes.axis("off")
    for node, targets in graph.items():
        for target in sorted(targets):
            _draw_arrow(axes, place[node], place[target])
    for node, target in returns:
        _draw_return(axes, place[node], place[target])
    for node, (x, y) in place.items():
        _draw_box(axes, node, x, y)
    metadata = {"Date": None} if path.suffix == ".svg" else {"CreationDate": None} if path.suffix == ".pdf" else None
    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        figure.savefig(path, metadata=metadata)
    return path


def _draw_box(axes: Axes, node: str, x: float, y: float) -> None:
    corner = (x - WIDTH / 2, y - HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, WIDTH, HEIGHT, "round,pad=0,rounding_size=0.09", fc=FILL, ec=INK, lw=0.9))
    axes.text(x, y, node, ha="center", va="center", color=INK, fontsize=10)


def _draw_arrow(axes: Axes, upper: tuple[float, float], lower: tuple[float, float]) -> None:
    start, end = (upper[0], upper[1] - HEIGHT / 2), (lower[0], lower[1] + HEIGHT / 2)
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=LINE, lw=0.9, zorder=0))


def _draw_return(axes: Axes, lower: tuple[float, float], upper: tuple[float, float]) -> None:
    start, end = (lower[0] - WIDTH / 2, lower[1]), (upper[0] - WIDTH / 2, upper[1])
    curve = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=LINE, lw=0.9, zorder=0)
    curve.set_connectionstyle("arc3,rad=-0.35")
    curve.set_linestyle((0, (4, 2)))
    axes.add_patch(curve)

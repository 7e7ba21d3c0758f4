"""Colours and markers of runs: fixed per family of names, told apart by colour-blind readers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class PointStyle(NamedTuple):
    """How the points of a run are drawn: a colour as #rrggbb and a matplotlib marker."""

    colour: str
    marker: str


_FAMILIES = (
    (r"trades", PointStyle("#000000", "s")),
    (r"random", PointStyle("#7f7f7f", "o")),
    (r"control", PointStyle("#009e73", "D")),
    (r"puma", PointStyle("#d55e00", "*")),
    (r"pe\+pd", PointStyle("#0072b2", "P")),
    (r"pe(?![a-z])", PointStyle("#56b4e9", "^")),
    (r"pd(?![a-z])", PointStyle("#e69f00", "v")),
)
"""Start of a run's name, and its style; the first that fits counts. Colours of Okabe and Ito (2008)."""

_OTHERS = tuple(
    PointStyle(colour, marker) for marker in ("X", "p", "h") for colour in ("#cc79a7", "#882255", "#332288", "#999933")
)

Dashes = str | tuple[int, tuple[float, ...]]
"""A line style of matplotlib."""

SOLID: Dashes = "-"
BASELINE_DASHES: Dashes = (0, (4, 2))
BASELINE_COLOUR = "#4d4d4d"
"""Of a baseline among lines of runs: darker than the grey of random cuts."""

DASHES: tuple[Dashes, ...] = (SOLID, (0, (1, 1)), (0, (3, 1, 1, 1)), (0, (7, 1.5)))
"""Line styles of lines that share a colour, in order."""

_GROUPS = tuple(
    PointStyle(colour, marker)
    for colour, marker in (
        ("#0072b2", "o"),
        ("#d55e00", "s"),
        ("#009e73", "^"),
        ("#cc79a7", "D"),
        ("#e69f00", "v"),
        ("#56b4e9", "P"),
    )
)
"""Groups of runs, in order. Colours of Okabe and Ito (2008)."""

SOURCE_COLOURS = {"real": "#0072b2", "synthetic": "#d55e00", "held-out": "#0072b2"}
"""Colours of the two sources of a pool, and of rows that are in no pool."""


def point_styles(runs: Sequence[str]) -> dict[str, PointStyle]:
    """Return the style of each run: its family's, or for other names the next of a cycle, in order."""
    styles: dict[str, PointStyle] = {}
    num_others = 0
    for run in runs:
        style = _family_style(run)
        if style is None:
            style = _OTHERS[num_others % len(_OTHERS)]
            num_others += 1
        styles[run] = style
    return styles


def _family_style(run: str) -> PointStyle | None:
    for pattern, style in _FAMILIES:
        if re.match(pattern, run, re.IGNORECASE):
            return style
    return None


class LineStyle(NamedTuple):
    """How the line of a run or of a group is drawn: colour, matplotlib marker and dashes."""

    colour: str
    marker: str
    dashes: Dashes


def run_line_styles(runs: Sequence[str]) -> dict[str, LineStyle]:
    """Return the line of each run: the colour and marker of its points, dashed anew for each run of one style."""
    points = point_styles(runs)
    used = dict.fromkeys(points.values(), 0)
    styles = {}
    for run, point in points.items():
        styles[run] = LineStyle(*point, DASHES[used[point] % len(DASHES)])
        used[point] += 1
    return styles


def group_line_styles(labels: Sequence[str]) -> dict[str, LineStyle]:
    """Return the line of each group of runs, told apart by colour and marker, and from the seventh on by dashes."""
    return {
        label: LineStyle(*_GROUPS[index % len(_GROUPS)], DASHES[index // len(_GROUPS) % len(DASHES)])
        for index, label in enumerate(labels)
    }

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

"""Colours and markers of runs: fixed per family of names, the same in every figure of a study, told apart by
colour-blind readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class PointStyle(NamedTuple):
    """How the points of a run are drawn: a colour as #rrggbb and a matplotlib marker."""

    colour: str
    marker: str


RunStyles = Mapping[str, PointStyle]
"""The style of each run of a study."""

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
    PointStyle(colour, marker)
    for colour, marker in (
        ("#0072b2", "p"),
        ("#cc79a7", "<"),
        ("#882255", "X"),
        ("#999933", "h"),
        ("#56b4e9", "d"),
        ("#332288", ">"),
        ("#e69f00", "H"),
        ("#44aa99", "8"),
    )
)
"""Styles for other methods, in order, but for the colours of families that the study has: colours of Okabe and Ito
(2008) and of Tol's muted scheme (2021). None has PUMA's vermilion or the controls' green, which mean these alone."""

_AMOUNT = re.compile(r"[-_][a-z]*[-_]?\d[\d.]*$", re.IGNORECASE)
"""What a name ends on where it tells how much of a method: `-20`, `-keep30`, `-eps-6`."""

Dashes = str | tuple[int, tuple[float, ...]]
"""A line style of matplotlib."""

BASELINE_DASHES: Dashes = (0, (4, 2))

DASHES: tuple[Dashes, ...] = ("-", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2.5)))
"""Line styles of lines that share a colour, in order."""

_LINE_MARKERS = ("", "o", "s", "^", "D", "v", "P", "X")
"""Markers of lines that share a colour, in order: dashes alone are not told apart at the size of print."""
_LINE_DASHES: tuple[Dashes, ...] = ("-", (0, (1, 1.2)))
"""Dashes of lines that share a colour, the next one once all markers are taken."""

_GROUP_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

SOURCE_COLOURS = {"real": "#0072b2", "synthetic": "#cc79a7", "held-out": "#0072b2"}
"""Colours of the two sources of a pool, and of rows that are in no pool."""

CUT_COLOUR, THREAT_COLOUR, ZERO_COLOUR = "#000000", "#404040", "#808080"
"""Colours of the lines at the cuts of a run, at the threat's epsilon and at 0."""

CYCLE = ("#0072b2", "#882255", "#999933", "#cc79a7", "#56b4e9", "#332288", "#e69f00", "#44aa99")
"""Colours of lines that nothing else gives one, in order."""


def run_styles(runs: Sequence[str]) -> dict[str, PointStyle]:
    """Return the style of each run of a study: its family's, or for other names one per method, in order.

    Runs whose names differ in an amount at the end alone, such as `el2n-10` and `el2n-30`, are of one method. A name
    added at the end changes the style of none before it, unless it is the first of its family.

    Args:
        runs: all runs of the study, so that each looks the same in every figure.
    """
    families = {run: _family_style(run) for run in runs}
    taken = {style.colour for style in families.values() if style is not None}
    free = [style for style in _OTHERS if style.colour not in taken]
    methods = dict.fromkeys(_AMOUNT.sub("", run) for run, style in families.items() if style is None)
    others = {method: free[place % len(free)] for place, method in enumerate(methods)}
    return {run: style or others[_AMOUNT.sub("", run)] for run, style in families.items()}


def _family_style(run: str) -> PointStyle | None:
    for pattern, style in _FAMILIES:
        if re.match(pattern, run, re.IGNORECASE):
            return style
    return None


class LineStyle(NamedTuple):
    """How the line of a run or of a group is drawn: colour, matplotlib marker (none: empty) and dashes."""

    colour: str
    marker: str
    dashes: Dashes


def run_line_styles(runs: Sequence[str], styles: RunStyles, baseline: str | None = None) -> dict[str, LineStyle]:
    """Return the lines of a figure: the colours of the runs, told apart by markers, beyond eight a colour by dashes.

    Args:
        runs: of the figure, in order; the baseline may be among them.
        styles: of the runs.
        baseline: run whose dashes no other has; None: none.
    """
    lines, used = {}, dict.fromkeys((styles[run].colour for run in runs), 0)
    for run in runs:
        colour = styles[run].colour
        if run == baseline:
            lines[run] = LineStyle(colour, "", BASELINE_DASHES)
            continue
        turn, place = divmod(used[colour], len(_LINE_MARKERS))
        lines[run] = LineStyle(colour, _LINE_MARKERS[place], _LINE_DASHES[turn % len(_LINE_DASHES)])
        used[colour] += 1
    return lines


def group_line_styles(groups: Mapping[str, Sequence[str]], styles: RunStyles) -> dict[str, LineStyle]:
    """Return the line of each group of runs: their colour where they share one, else that of its label as a name.

    Groups of one colour are told apart by dashes and by markers, which change with each group, up to 28 of a colour.

    Args:
        groups: runs of each group, by label.
        styles: of the runs.
    """
    named = run_styles(list(groups))
    colours = {}
    for label, runs in groups.items():
        own = {styles[run].colour for run in runs}
        colours[label] = own.pop() if len(own) == 1 else named[label].colour
    lines: dict[str, LineStyle] = {}
    for place, (label, colour) in enumerate(colours.items()):
        alike = [line for line in lines.values() if line.colour == colour]
        dashes = DASHES[len(alike) % len(DASHES)]
        markers = [_GROUP_MARKERS[(place + shift) % len(_GROUP_MARKERS)] for shift in range(len(_GROUP_MARKERS))]
        looks = [LineStyle(colour, marker, dashes) for marker in markers]
        lines[label] = next((look for look in looks if look not in alike), looks[0])
    return lines

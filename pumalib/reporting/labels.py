"""Placing the names of points beside them, so that they collide with as little as possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from numpy.typing import NDArray

from pumalib.reporting.label_costs import crossings, lengths_inside, outside_areas, shared_areas

Array = NDArray[np.float64]

_ANGLES = tuple(math.pi / 8 * step for step in (0, 8, 2, 6, 14, 10, 4, 12, 1, 7, 15, 9, 3, 5, 13, 11))
"""Directions from a point to its label, the best loved first: right, left, then the diagonals."""
_DISTANCES = (6.0, 10.0, 16.0, 23.0, 31.0, 40.0, 50.0)
"""Gaps between a point and its label, in typographic points."""
_TIED_BEYOND = 9.0
"""Gap from which a thin line ties the label to its point."""
_ROOM = np.array([1.0, 0.5])
"""Room around a label, across and up, in typographic points."""
_NUM_ROUNDS = 8
_TEXT_COLOUR = "#222222"
"""Names are dark: the light colours of points cannot be read as text."""
_HALF_MARKER, _HALF_DOT = 5.0, 1.5
"""Half the side of what a run's marker and a small dot cover, in typographic points."""
_OUTSIDE, _ON_LABEL, _ON_MARKER, _ON_DOT = 20.0, 10.0, 5.0, 1.0
"""Price per covered area (square points); a step to a less loved place costs 1, a gap wider by a point 2."""
_ON_LINE, _ON_FAINT_LINE = 5.0, 0.8
"""Price per point of a line under a label."""
_TIE_ON_LABEL, _TIE_ON_MARKER, _TIES_CROSS = 20.0, 6.0, 60.0
"""Price per point of a tie on a label or a marker, and of two ties that cross."""

_NEARER_TO_ANOTHER = 15.0
"""Price of a place that is nearer to another point than to its own."""

Line = Sequence[tuple[float, float]]
"""Corners of a line in data coordinates."""


class LabelledPoint(NamedTuple):
    """A point in data coordinates with its name, colour and the half lengths of its error bars."""

    text: str
    colour: str
    x: float
    y: float
    x_error: float = 0.0
    y_error: float = 0.0


class _Places(NamedTuple):
    """The places where one label may stand, in typographic points from the corner of the figure."""

    boxes: Array
    """[C, 4]: left, bottom, right, top."""
    ties: Array
    """[C, 4]: from the point to the nearest place of the label's box; nan: near enough without one."""
    offsets: Array
    """[C, 2]: from the point to the middle of the label."""
    gaps: Array
    """[C]: between the point and the label."""
    prices: Array
    """[C]: what a place costs whatever the other labels do."""


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[LabelledPoint],
    obstacles: Iterable[tuple[float, float]] = (),
    lines: Iterable[Line] = (),
    faint_lines: Iterable[Line] = (),
) -> None:
    """Write each point's name at the place around it that covers least, in a few rounds over all points.

    The limits of the axes must be set before and stay as they are.

    Args:
        figure: Figure on an Agg canvas.
        axes: Axes that hold the points.
        points: Points to label; their markers and error bars are kept clear.
        obstacles: Further data coordinates to keep clear, such as small points.
        lines: Lines to keep clear of.
        faint_lines: Lines that a label may stand on if there is no other place.
    """
    if not points:
        return
    figure.canvas.draw()
    scale = 72 / figure.dpi
    labels = [_write_label(axes, point) for point in points]
    marks = _Marks.of(axes, points, obstacles, lines, faint_lines, scale)
    places = [_priced_places(axes, place, label, marks, scale) for place, label in enumerate(labels)]
    for label, point, options, chosen in zip(labels, points, places, _choose(places), strict=True):
        _move_label(axes, label, point, options, chosen)


class _Marks(NamedTuple):
    """What labels keep clear of, in typographic points."""

    points: Array
    """[N, 2] middles of the markers."""
    dots: Array
    """[D, 4] boxes."""
    lines: Array
    """[L, 4] pieces of lines and of error bars."""
    faint_lines: Array

    @classmethod
    def of(
        cls,
        axes: Axes,
        points: Sequence[LabelledPoint],
        obstacles: Iterable[tuple[float, float]],
        lines: Iterable[Line],
        faint_lines: Iterable[Line],
        scale: float,
    ) -> _Marks:
        bars = [
            bar
            for point in points
            for bar in (
                [(point.x - point.x_error, point.y), (point.x + point.x_error, point.y)],
                [(point.x, point.y - point.y_error), (point.x, point.y + point.y_error)],
            )
        ]
        middles = _in_points(axes, [(point.x, point.y) for point in points], scale)
        dots = _in_points(axes, list(obstacles), scale)
        pieces = [_pieces(axes, line, scale) for line in [*bars, *lines]]
        faint = [_pieces(axes, line, scale) for line in faint_lines]
        return cls(
            middles, _squares(dots, _HALF_DOT), np.concatenate(pieces), np.concatenate([np.empty((0, 4)), *faint])
        )


def _in_points(axes: Axes, places: Sequence[tuple[float, float]], scale: float) -> Array:
    """Return data coordinates [N, 2] in typographic points."""
    if not places:
        return np.empty((0, 2))
    return np.asarray(axes.transData.transform(np.asarray(places, np.float64)) * scale)


def _pieces(axes: Axes, line: Line, scale: float) -> Array:
    corners = _in_points(axes, line, scale)
    return np.hstack([corners[:-1], corners[1:]])


def _squares(middles: Array, half: float) -> Array:
    return np.hstack([middles - half, middles + half])


def _choose(places: Sequence[_Places]) -> list[int]:
    """Return the place of each label, given the places of the others: the best of several orders of deciding."""
    order = list(range(len(places)))
    middles = [options.boxes[0, :2] for options in places]
    across, up = (sorted(order, key=[float(middle[side]) for middle in middles].__getitem__) for side in (0, 1))
    found = [_settle(places, each) for each in (order, order[::-1], across, up)]
    return min(found, key=lambda each: each[0])[1]


def _settle(places: Sequence[_Places], order: Sequence[int]) -> tuple[float, list[int]]:
    """Let the labels decide one after the other, until none moves any more; return what it costs, and the places."""
    chosen: dict[int, int] = {}
    for _ in range(_NUM_ROUNDS):
        before = dict(chosen)
        for at in order:
            others = {key: place for key, place in chosen.items() if key != at}
            chosen[at] = int(np.argmin(places[at].prices + _costs_beside(places, at, others)))
        if chosen == before:
            break
    alone = sum(float(places[at].prices[place]) for at, place in chosen.items())
    shared = sum(
        float(_costs_beside(places, at, {key: each for key, each in chosen.items() if key < at})[place])
        for at, place in chosen.items()
    )
    return alone + shared, [chosen[at] for at in range(len(places))]


def _costs_beside(places: Sequence[_Places], at: int, others: dict[int, int]) -> Array:
    """Return what each place of a label [C] costs beside the chosen places of other labels."""
    own = places[at]
    if not others:
        return np.zeros(len(own.prices))
    boxes = np.stack([places[key].boxes[place] for key, place in others.items()])
    ties = np.stack([places[key].ties[place] for key, place in others.items()])
    costs = _ON_LABEL * shared_areas(own.boxes, boxes).sum(1)
    costs += _TIE_ON_LABEL * (lengths_inside(own.ties, boxes).sum(1) + lengths_inside(ties, own.boxes).sum(0))
    return np.asarray(costs + _TIES_CROSS * crossings(own.ties, ties).sum(1))


def _priced_places(axes: Axes, at: int, label: Annotation, marks: _Marks, scale: float) -> _Places:
    """Return the places of a label, each priced with what it covers besides other labels."""
    size = label.get_window_extent()
    places = _places(marks.points[at], size.width * scale / 2, size.height * scale / 2)
    frame = np.asarray(axes.bbox.extents) * scale
    markers = _squares(marks.points, _HALF_MARKER)
    others = np.delete(markers, at, axis=0)
    prices = places.prices + _OUTSIDE * outside_areas(places.boxes, frame)
    prices += _ON_MARKER * shared_areas(places.boxes, markers).sum(1)
    prices += _NEARER_TO_ANOTHER * (_nearest(places.boxes, np.delete(marks.points, at, axis=0)) < places.gaps)
    prices += _ON_DOT * shared_areas(places.boxes, marks.dots).sum(1)
    prices += _ON_LINE * lengths_inside(marks.lines, places.boxes).sum(0)
    prices += _ON_FAINT_LINE * lengths_inside(marks.faint_lines, places.boxes).sum(0)
    prices += _TIE_ON_MARKER * lengths_inside(places.ties, others).sum(1)
    return places._replace(prices=prices)


def _nearest(boxes: Array, points: Array) -> Array:
    """Return the distance [B] of each box to the nearest of some points [P, 2]; inf without any."""
    away = np.maximum(boxes[:, None, :2] - points, points - boxes[:, None, 2:]).clip(0)
    return np.asarray(np.hypot(away[..., 0], away[..., 1]).min(1, initial=np.inf))


def _write_label(axes: Axes, point: LabelledPoint) -> Annotation:
    label = axes.annotate(
        point.text,
        (point.x, point.y),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=7,
        color=_TEXT_COLOUR,
        zorder=5,
    )
    label.set_path_effects([withStroke(linewidth=1.5, foreground="white")])
    label.set_in_layout(False)
    return label


def _places(middle: Array, half_width: float, half_height: float) -> _Places:
    """Return the places around a point, priced by how far and how well loved they are."""
    gaps, angles = (each.ravel() for each in np.meshgrid(_DISTANCES, _ANGLES, indexing="ij"))
    ranks = np.tile(np.arange(len(_ANGLES)), len(_DISTANCES))
    halves = np.array([half_width, half_height])
    offsets = np.stack([np.cos(angles), np.sin(angles)], 1) * (gaps[:, None] + halves)
    ends = middle + offsets - np.clip(offsets, -halves, halves)
    ties = np.hstack([np.broadcast_to(middle, ends.shape), ends])
    ties[gaps <= _TIED_BEYOND] = np.nan
    boxes = np.hstack([middle + offsets - halves - _ROOM, middle + offsets + halves + _ROOM])
    return _Places(boxes, ties, offsets, gaps, ranks + 2 * gaps)


def _move_label(axes: Axes, label: Annotation, point: LabelledPoint, places: _Places, chosen: int) -> None:
    across, up = places.offsets[chosen]
    label.set_position((float(across), float(up)))
    left, bottom, right, top = places.ties[chosen]
    if math.isnan(left):
        return
    tie = axes.annotate(
        "",
        (point.x, point.y),
        xytext=(float(right - left), float(top - bottom)),
        textcoords="offset points",
        arrowprops={"arrowstyle": "-", "color": point.colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 3},
    )
    tie.set_in_layout(False)

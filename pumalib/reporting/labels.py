"""Placing the names of points beside them, so that they collide with as little as possible."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

_ANGLES = tuple(math.pi / 8 * step for step in (0, 8, 2, 6, 14, 10, 4, 12, 1, 7, 15, 9, 3, 5, 13, 11))
"""Directions from a point to its label, the best loved first: right, left, then the diagonals."""
_DISTANCES = (6.0, 10.0, 16.0, 23.0, 31.0)
"""Gaps between a point and its label, in typographic points."""
_TIED_BEYOND = 9.0
"""Gap from which a thin line ties the label to its point."""
_NUM_ROUNDS = 4
_TEXT_COLOUR = "#222222"
"""Names are dark: the light colours of points cannot be read as text."""
_OUTSIDE_WEIGHT, _LABEL_WEIGHT, _MARK_WEIGHT, _OBSTACLE_WEIGHT = 20.0, 10.0, 5.0, 1.0
"""Price per covered area; a step to a less loved place costs 1, a gap wider by a point 2."""


class LabelledPoint(NamedTuple):
    """A point in data coordinates with its name, colour and the half lengths of its error bars."""

    text: str
    colour: str
    x: float
    y: float
    x_error: float = 0.0
    y_error: float = 0.0


class _Place(NamedTuple):
    box: Bbox
    """Box of the label in display units."""
    offset: tuple[float, float]
    """From the point to the middle of the label, in typographic points."""
    near_edge: tuple[float, float]
    """From the point to the place of the label's box that is nearest to it, in typographic points."""
    gap: float
    price: float
    """What this place costs; lower is better."""


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[LabelledPoint],
    obstacles: Iterable[tuple[float, float]] = (),
) -> None:
    """Write each point's name at the place around it that covers least, in a few rounds over all points.

    The limits of the axes must be set before and stay as they are.

    Args:
        figure: Figure on an Agg canvas.
        axes: Axes that hold the points.
        points: Points to label; their markers and error bars are kept clear.
        obstacles: Further data coordinates to keep clear, such as small points.
    """
    figure.canvas.draw()
    marks = [(box, _MARK_WEIGHT) for point in points for box in _mark_boxes(axes, point)]
    marks += [(_box_around(axes, x, y, 2.0, 2.0), _OBSTACLE_WEIGHT) for x, y in obstacles]
    labels = [_write_label(axes, point) for point in points]
    choices = [
        _priced_places(axes, point, label, marks, figure.dpi / 72) for point, label in zip(points, labels, strict=True)
    ]
    chosen = _choose(choices)
    for point, label, place in zip(points, labels, chosen, strict=True):
        _move_label(axes, label, point, place)


def _choose(choices: Sequence[Sequence[_Place]]) -> list[_Place]:
    """Return the cheapest place of each label, given the places that the other labels have by then."""
    chosen: dict[int, _Place] = {}
    for _ in range(_NUM_ROUNDS):
        for index, places in enumerate(choices):
            others = [(place.box, _LABEL_WEIGHT) for key, place in chosen.items() if key != index]
            costs = [place.price + _covering_cost(place.box, others) for place in places]
            chosen[index] = places[costs.index(min(costs))]
    return [chosen[index] for index in range(len(choices))]


def _priced_places(
    axes: Axes, point: LabelledPoint, label: Annotation, marks: Sequence[tuple[Bbox, float]], scale: float
) -> list[_Place]:
    """Return the places of a label, each priced with what it covers besides other labels."""
    size = label.get_window_extent()
    middle_x, middle_y = axes.transData.transform((point.x, point.y))
    return [
        place._replace(price=place.price + _outside_cost(place.box, axes.bbox) + _covering_cost(place.box, marks))
        for place in _places((middle_x, middle_y), size.width / 2, size.height / 2, scale)
    ]


def _box_around(axes: Axes, x: float, y: float, half_width: float, half_height: float) -> Bbox:
    """Return a box in display units around a point in data units."""
    middle_x, middle_y = axes.transData.transform((x, y))
    return Bbox.from_extents(
        middle_x - half_width, middle_y - half_height, middle_x + half_width, middle_y + half_height
    )


def _mark_boxes(axes: Axes, point: LabelledPoint) -> list[Bbox]:
    """Return the boxes of the marker and of the two error bars."""
    right, top = axes.transData.transform((point.x + point.x_error, point.y + point.y_error))
    middle = axes.transData.transform((point.x, point.y))
    return [
        _box_around(axes, point.x, point.y, 8.0, 8.0),
        _box_around(axes, point.x, point.y, right - middle[0], 1.5),
        _box_around(axes, point.x, point.y, 1.5, top - middle[1]),
    ]


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


def _places(middle: tuple[float, float], half_width: float, half_height: float, scale: float) -> Iterator[_Place]:
    """Yield the places around a point in display units; `scale` is display units per typographic point."""
    for gap in _DISTANCES:
        for rank, angle in enumerate(_ANGLES):
            x = math.cos(angle) * (gap * scale + half_width)
            y = math.sin(angle) * (gap * scale + half_height)
            left, bottom = middle[0] + x - half_width, middle[1] + y - half_height
            box = Bbox.from_bounds(left, bottom, 2 * half_width, 2 * half_height)
            edge_x = x - max(-half_width, min(half_width, x))
            edge_y = y - max(-half_height, min(half_height, y))
            offset, near_edge = (x / scale, y / scale), (edge_x / scale, edge_y / scale)
            yield _Place(box, offset, near_edge, gap, rank + 2 * gap)


def _outside_cost(box: Bbox, frame: Bbox) -> float:
    return _OUTSIDE_WEIGHT * (float(box.width * box.height) - _shared_area(box, frame))


def _covering_cost(box: Bbox, covered: Sequence[tuple[Bbox, float]]) -> float:
    return sum(weight * _shared_area(box, other) for other, weight in covered)


def _shared_area(first: Bbox, second: Bbox) -> float:
    width = min(first.x1, second.x1) - max(first.x0, second.x0)
    height = min(first.y1, second.y1) - max(first.y0, second.y0)
    return float(max(0.0, width) * max(0.0, height))


def _move_label(axes: Axes, label: Annotation, point: LabelledPoint, place: _Place) -> None:
    label.set_position(place.offset)
    if place.gap > _TIED_BEYOND:
        tie = axes.annotate(
            "",
            (point.x, point.y),
            xytext=place.near_edge,
            textcoords="offset points",
            arrowprops={
                "arrowstyle": "-",
                "color": point.colour,
                "linewidth": 0.4,
                "shrinkA": 0,
                "shrinkB": 3,
            },
        )
        tie.set_in_layout(False)

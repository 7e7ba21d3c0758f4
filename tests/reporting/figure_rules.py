"""What holds of every figure: text that is read at the size of print, stays inside and covers no other text."""

from collections.abc import Iterator
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, LEAST_POINTS, PAGE_WIDTH_INCHES, figure_style

COLUMN_INCHES, PAGE_INCHES = 8.5 / 2.54, 17 / 2.54
"""Widths of print: of one column, and of two."""
_TOUCHING = 0.7
"""Pixels by which boxes of text may overlap: they have a little room around their letters."""


def broken_rules(figure: Figure) -> list[str]:
    """Return what is wrong with a figure, a sentence each; nothing: fit to print."""
    with figure_style():
        figure.canvas.draw()
        boxes = [(text, text.get_window_extent()) for text in written(figure)]
        # An annotation's extent holds its arrow too; ties and arrows without words are no text.
        boxes = [(text, Text.get_window_extent(text) if isinstance(text, Annotation) else box) for text, box in boxes]
    return [*_small(figure, [text for text, _ in boxes]), *_outside(figure, boxes), *_covered(boxes), *_tall(figure)]


def written(figure: Figure) -> list[Text]:
    """Return every text that is seen: no empty ones, and no ticks beyond the ends of their axis."""
    hidden = {id(label) for axes in figure.findobj(Axes) for label in _unseen_ticks(axes)}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and id(text) not in hidden
    ]


def _unseen_ticks(axes: Axes) -> Iterator[Text]:
    for axis, ends in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        low, high = sorted(ends)
        room = 1e-9 * (high - low)
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            is_seen = axes.axison and axes.get_visible() and low - room <= tick.get_loc() <= high + room
            if not is_seen:
                yield from (tick.label1, tick.label2)
            else:
                yield from (label for label in (tick.label1, tick.label2) if not label.get_visible())
    if not axes.axison:
        yield from (axes.xaxis.label, axes.yaxis.label)


def _small(figure: Figure, texts: list[Text]) -> Iterator[str]:
    width = figure.get_figwidth()
    assert width <= PAGE_WIDTH_INCHES + 0.01, f"{width} inches: wider than a page"
    shrinks = min(1.0, (COLUMN_INCHES if width <= COLUMN_WIDTH_INCHES else PAGE_INCHES) / width)
    for text in texts:
        size = float(text.get_fontsize()) * shrinks * (0.7 if "^" in text.get_text() else 1)
        if size < 0.94 * LEAST_POINTS:
            yield f"{text.get_text()!r} is {size:.1f} points tall in print"


def _outside(figure: Figure, boxes: list[tuple[Text, Bbox]]) -> Iterator[str]:
    for text, box in boxes:
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
            yield f"{text.get_text()!r} leaves the figure"


def _covered(boxes: list[tuple[Text, Bbox]]) -> Iterator[str]:
    for (one, box), (other, beside) in combinations(boxes, 2):
        across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        up = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        if across > _TOUCHING and up > _TOUCHING:
            yield f"{one.get_text()!r} and {other.get_text()!r} cover each other"


def _tall(figure: Figure) -> Iterator[str]:
    if figure.get_figheight() > 1.35 * PAGE_WIDTH_INCHES:
        yield f"{figure.get_figheight():.1f} inches do not fit a page below a title"

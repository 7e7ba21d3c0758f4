"""Contact sheets: rows of a file as small images, each with what is known of it, on a sheet that fits a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.browsing.moved import as_pictures, differences
from pumalib.inspection.samples import Samples
from pumalib.reporting.figures import LEAST_POINTS, PAGE_WIDTH_INCHES, as_label, figure_style, new_sheet, save_png
from pumalib.reporting.tile_texts import TileText, tile_texts

_TALLEST = 1.3
"""Height of a sheet over its width: a page has room for it below a title and above a caption."""
_LARGEST_TILE_INCHES, _SMALLEST_TILE_INCHES = 0.9, 0.42
_GAP_INCHES = 0.16
_BESIDE_INCHES = 0.03
"""Between the images of one row of an attack."""
_BLOCK_GAP_INCHES = 0.2
"""Between blocks side by side."""
_HEADING_INCHES = 0.26
_LINE_INCHES = 0.115
_WRONG = "#b2182b"
"""Colour of a prediction that is not the label."""
_LEAST_WIDTH_INCHES = 3.6
_ROUNDING = 1e-6
"""Largest change of an image that was not attacked: its point is kept in float32."""
_TRIED = 3
"""Numbers of columns among which one is preferred that leaves no place empty."""


@dataclass(frozen=True)
class Block:
    """Images under one heading, for `draw_contact_sheet`.

    Attributes:
        heading: what they have in common.
        positions: [K] integers in the samples, in the order of drawing.
        names_groups: whether each tile says its group, because the heading does not.

    Example:
        >>> import numpy as np
        >>> Block("hardest", np.array([4, 2, 7])).names_groups
        False
    """

    heading: str
    positions: NDArray[np.int64]
    names_groups: bool = False


@dataclass(frozen=True)
class _Layout:
    """Where tiles go: blocks side by side, columns of a block, and the width of an image."""

    across: int
    columns: int
    tile: float
    images: int
    """Images of a tile: one, or the clean and the perturbed one and their difference."""

    @property
    def pitch(self) -> float:
        """Inches from a tile to the next one."""
        return self.images * self.tile + (self.images - 1) * _BESIDE_INCHES + _GAP_INCHES

    @property
    def block_width(self) -> float:
        return self.columns * self.pitch

    @property
    def width(self) -> float:
        own = self.across * self.block_width + (self.across - 1) * _BLOCK_GAP_INCHES
        return max(own, _LEAST_WIDTH_INCHES)


def draw_contact_sheet(samples: Samples, blocks: Sequence[Block], title: str, across: int = 1) -> Figure:
    """Draw rows as images: row number and label, predictions (red if one is wrong), source and values.

    A row of an attack that kept its points is three images: clean, adversarial, and their difference, magnified.
    Images are as large as a sheet of the width of a page has room for that is at most 1.3 times as tall as wide.

    Args:
        samples: the rows.
        blocks: what to draw, none empty.
        title: above all.
        across: blocks that stand side by side.

    Returns:
        A figure of matplotlib. `figure.savefig("sheet.png")` writes it.

    Example:
        >>> from pumalib.inspection.files import read_samples
        >>> from pumalib.inspection.samples import ordered
        >>> samples = read_samples("results/digits/scores/margin/seed0.h5")
        >>> from pumalib.reporting.contact_sheet import Block
        >>> hardest = Block("hardest", ordered(samples, "hardest", count=8))
        >>> figure = draw_contact_sheet(samples, [hardest], "margins")
        >>> len(figure.axes) >= 8
        True
    """
    images = 1 if samples.points is None else 3
    sides = min(across, len(blocks))
    sheet = _fitting(samples, blocks, sides, images)
    with figure_style():
        sheet.write(title, 0, 0.06, size=9)
        sheet.write(_legend(samples, sheet.texts), 0, 0.06 + _HEADING_INCHES, size=LEAST_POINTS)
        for place, block in enumerate(blocks):
            sheet.draw_block(samples, block, place)
    return sheet.figure


def _fitting(samples: Samples, blocks: Sequence[Block], across: int, images: int) -> _Sheet:
    """Return an empty sheet with the fewest, largest columns that a page has room for."""
    most = max(len(block.positions) for block in blocks)
    room = (PAGE_WIDTH_INCHES - (across - 1) * _BLOCK_GAP_INCHES) / across
    fewest = max(1, int(room / (images * _LARGEST_TILE_INCHES + _GAP_INCHES)))
    last = max(fewest, int(room / (images * _SMALLEST_TILE_INCHES + _GAP_INCHES)))
    sheets = []
    for columns in range(fewest, last + 1):
        tile = min((room / columns - _GAP_INCHES - (images - 1) * _BESIDE_INCHES) / images, _LARGEST_TILE_INCHES)
        sheets.append(_Sheet.of(samples, blocks, _Layout(across, min(columns, most), tile, images)))
    fitting = [sheet for sheet in sheets if sheet.height <= _TALLEST * sheet.width][:_TRIED] or sheets[-1:]
    return next((each for each in fitting if most % each.layout.columns == 0), fitting[0]).with_figure()


@dataclass(frozen=True)
class _Sheet:
    """A figure addressed in inches from its upper left corner."""

    layout: _Layout
    texts: TileText
    captions: tuple[float, ...]
    """Height of the text above the images of each line of blocks."""
    tops: tuple[float, ...]
    """Upper end of each line of blocks, and of what is below the last."""
    drawn: Figure | None = None

    @classmethod
    def of(cls, samples: Samples, blocks: Sequence[Block], layout: _Layout) -> _Sheet:
        texts = tile_texts(samples, [block.positions for block in blocks], layout.pitch)
        tops, captions = [2 * _HEADING_INCHES], []
        for start in range(0, len(blocks), layout.across):
            side_by_side = blocks[start : start + layout.across]
            named = [(int(at), block.names_groups) for block in side_by_side for at in block.positions]
            captions.append(_LINE_INCHES * max(len(texts.lines(samples, *each)) for each in named) + 0.05)
            lines = -(-max(len(block.positions) for block in side_by_side) // layout.columns)
            tops.append(tops[-1] + _HEADING_INCHES + lines * (layout.tile + captions[-1] + _GAP_INCHES / 2))
        return cls(layout, texts, tuple(captions), tuple(tops))

    def with_figure(self) -> _Sheet:
        with figure_style():
            return _Sheet(self.layout, self.texts, self.captions, self.tops, new_sheet(self.width, self.height))

    @property
    def figure(self) -> Figure:
        assert self.drawn is not None
        return self.drawn

    @property
    def width(self) -> float:
        return self.layout.width

    @property
    def height(self) -> float:
        return self.tops[-1]

    def write(self, text: str, left: float, top: float, size: float, weight: str = "normal") -> None:
        place = ((left + _GAP_INCHES / 2) / self.width, 1 - top / self.height)
        self.figure.text(*place, as_label(text), fontsize=size, fontweight=weight, ha="left", va="top")

    def draw_block(self, samples: Samples, block: Block, place: int) -> None:
        down, right = divmod(place, self.layout.across)
        left, top = right * (self.layout.block_width + _BLOCK_GAP_INCHES), self.tops[down]
        self.write(block.heading, left, top + 0.06, size=8, weight="bold")
        pictures = _pictures(samples, block.positions)
        line = self.layout.tile + self.captions[down] + _GAP_INCHES / 2
        for index, (at, images) in enumerate(zip(block.positions, pictures, strict=True)):
            below, beside = divmod(index, self.layout.columns)
            upper = top + _HEADING_INCHES + self.captions[down] + below * line
            for number, image in enumerate(images):
                axes = self.axes(
                    left + beside * self.layout.pitch + number * (self.layout.tile + _BESIDE_INCHES), upper
                )
                _show(axes, image)
                if number == 0:
                    self.write_above(axes, samples, int(at), block.names_groups, len(images) / 2)

    def axes(self, left: float, top: float) -> Axes:
        """Return square axes of one image."""
        tile = self.layout.tile
        corner = ((left + _GAP_INCHES / 2) / self.width, 1 - (top + tile) / self.height)
        axes = self.figure.add_axes((*corner, tile / self.width, tile / self.height))
        axes.set_axis_off()
        return axes

    def write_above(self, axes: Axes, samples: Samples, at: int, names_group: bool, middle: float) -> None:
        """Write what is known of a row above the middle of its images, in widths of one."""
        label, told = int(samples.labels[at]), [int(column[at]) for column in samples.predictions.values()]
        is_wrong = any(each not in (label, -1) for each in told)
        axes.set_title(
            as_label("\n".join(self.texts.lines(samples, at, names_group))),
            x=middle,
            fontsize=LEAST_POINTS,
            pad=2,
            color=_WRONG if is_wrong else "black",
            linespacing=1.1,
        )


def _pictures(samples: Samples, positions: NDArray[np.int64]) -> list[list[NDArray[np.uint8]]]:
    """Return the images of each row: the clean one, and where it was attacked the perturbed one and the difference."""
    clean = samples.images(positions)
    if samples.points is None:
        return [[image] for image in clean]
    points = samples.points(positions)
    changes, largest = differences(points, clean)
    return [
        [image, moved, change] if change_size > _ROUNDING else [image]
        for image, moved, change, change_size in zip(clean, as_pictures(points), changes, largest, strict=True)
    ]


def _show(axes: Axes, image: NDArray[np.uint8]) -> None:
    is_grey = image.shape[-1] == 1
    axes.imshow(image[..., 0] if is_grey else image, cmap="gray" if is_grey else None, vmin=0, vmax=255)


def _legend(samples: Samples, texts: TileText) -> str:
    """Say what stands above an image, and which images a row has."""
    parts = [" → ".join(["row: label", *samples.predictions])]
    parts[0] += ", in red where that is not the label" if samples.predictions else ""
    parts += [] if texts.has_names or not samples.values else ["then " + ", ".join(samples.values)]
    parts += [] if samples.points is None else ["images: clean, adversarial, difference (magnified)"]
    return "; ".join(parts)


def write_contact_sheet(samples: Samples, blocks: Sequence[Block], title: str, path: Path) -> None:
    """Write a contact sheet as PNG (200 dpi); equal content gives equal bytes."""
    save_png(draw_contact_sheet(samples, blocks, title), path)

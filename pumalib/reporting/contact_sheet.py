"""Contact sheets: rows of a file as small images, each with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.inspection.samples import Samples
from pumalib.reporting.figures import as_label, figure_style, new_sheet, save_png

_COLUMNS = 8
"""Images a line, where nothing else is asked for."""
_TILE_INCHES = 0.9
_GAP_INCHES = 0.16
_HEADING_INCHES = 0.26
_LINE_INCHES = 0.115
_WIDEST = 20
"""Characters of a line that fit above an image."""
_WRONG = "#b2182b"
"""Colour of a prediction that is not the label."""


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


def draw_contact_sheet(samples: Samples, blocks: Sequence[Block], title: str, columns: int = _COLUMNS) -> Figure:
    """Draw rows as images: row number and label, predictions (red if one is wrong), and values.

    Args:
        samples: the rows.
        blocks: what to draw, none empty.
        title: above all.
        columns: images in a line, at most.

    Returns:
        A figure of matplotlib. `figure.savefig("sheet.png")` writes it.

    Example:
        >>> from pumalib.inspection.files import read_samples
        >>> from pumalib.inspection.samples import ordered
        >>> samples = read_samples("results/digits/scores/margin/seed0.h5")
        >>> from pumalib.reporting.contact_sheet import Block
        >>> hardest = Block("hardest", ordered(samples, "hardest", count=8))
        >>> figure = draw_contact_sheet(samples, [hardest], "margins", columns=4)
        >>> len(figure.axes) >= 8
        True
    """
    columns = min(columns, max(len(block.positions) for block in blocks))
    tiles = [[_Tile.of(samples, int(at), block.names_groups) for at in block.positions] for block in blocks]
    caption = _LINE_INCHES * max(len(tile.lines) for block in tiles for tile in block) + 0.05
    line = _TILE_INCHES + caption + _GAP_INCHES / 2
    heights = [_HEADING_INCHES + line * -(-len(block) // columns) for block in tiles]
    head = 2 * _HEADING_INCHES
    with figure_style():
        sheet = _Sheet.of_size(max(columns * (_TILE_INCHES + _GAP_INCHES), 3.6), head + sum(heights))
        sheet.write(title, _GAP_INCHES / 2, 0.06, size=9)
        sheet.write(_legend(samples), _GAP_INCHES / 2, 0.06 + _HEADING_INCHES, size=6)
        top = head
        for block, block_tiles, height in zip(blocks, tiles, heights, strict=True):
            sheet.write(block.heading, _GAP_INCHES / 2, top + 0.06, size=8, weight="bold")
            for index, (tile, image) in enumerate(zip(block_tiles, samples.images(block.positions), strict=True)):
                down, right = divmod(index, columns)
                left = _GAP_INCHES / 2 + right * (_TILE_INCHES + _GAP_INCHES)
                tile.draw(sheet.axes(left, top + _HEADING_INCHES + caption + down * line), image)
            top += height
    return sheet.figure


@dataclass(frozen=True)
class _Sheet:
    """A figure addressed in inches from its upper left corner."""

    figure: Figure
    width: float
    height: float

    @classmethod
    def of_size(cls, width: float, height: float) -> _Sheet:
        return cls(new_sheet(width, height), width, height)

    def write(self, text: str, left: float, top: float, size: float, weight: str = "normal") -> None:
        place = (left / self.width, 1 - top / self.height)
        self.figure.text(*place, as_label(text), fontsize=size, fontweight=weight, ha="left", va="top")

    def axes(self, left: float, top: float) -> Axes:
        """Return square axes of one tile."""
        bottom = 1 - (top + _TILE_INCHES) / self.height
        size = (_TILE_INCHES / self.width, _TILE_INCHES / self.height)
        axes = self.figure.add_axes((left / self.width, bottom, *size))
        axes.set_axis_off()
        return axes


@dataclass(frozen=True)
class _Tile:
    """What stands above an image."""

    lines: tuple[str, ...]
    is_wrong: bool

    @classmethod
    def of(cls, samples: Samples, position: int, names_group: bool) -> _Tile:
        label = int(samples.labels[position])
        told = [int(column[position]) for column in samples.predictions.values()]
        names = [samples.class_name(each) for each in (label, *told)]
        first = [f"{samples.rows[position]}: " + " → ".join(names)]
        if len(first[0]) > _WIDEST:
            first = [f"{samples.rows[position]}: {names[0]}", *(f"→ {name}" for name in names[1:])]
        values = [f"{name} {column[position]:.3g}" for name, column in samples.values.items()]
        known = [text for text in values if not text.endswith("nan")]
        group = [str(samples.groups[position])] if names_group else []
        return cls((*first, *group, *known), any(each not in (label, -1) for each in told))

    def draw(self, axes: Axes, image: NDArray[np.uint8]) -> None:
        is_grey = image.shape[-1] == 1
        axes.imshow(image[..., 0] if is_grey else image, cmap="gray" if is_grey else None, vmin=0, vmax=255)
        colour = _WRONG if self.is_wrong else "black"
        axes.set_title(as_label("\n".join(self.lines)), fontsize=6, pad=2, color=colour, linespacing=1.1)


def _legend(samples: Samples) -> str:
    """Say what stands above an image."""
    parts = " → ".join(["row: label", *samples.predictions])
    return f"{parts}; red: not the label" if samples.predictions else parts


def write_contact_sheet(samples: Samples, blocks: Sequence[Block], title: str, path: Path) -> None:
    """Write a contact sheet as PNG (200 dpi); equal content gives equal bytes."""
    save_png(draw_contact_sheet(samples, blocks, title), path)

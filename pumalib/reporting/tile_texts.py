"""What stands above an image of a contact sheet, in lines that are no wider than the image has room for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.inspection.samples import Samples
from pumalib.reporting.figures import LEAST_POINTS

_LETTER_INCHES = 0.63 * LEAST_POINTS / 72
"""Width of a letter, a little above the mean: digits are wider than small letters."""
_MOST_DECIMALS = 6


@dataclass(frozen=True)
class TileText:
    """How the text above images is written: letters of a line, decimals of each value, and whether values are named."""

    widest: int
    decimals: Mapping[str, int]
    has_names: bool

    def lines(self, samples: Samples, at: int, names_group: bool) -> list[str]:
        """Return the lines above the image at a position."""
        label = int(samples.labels[at])
        told = [int(column[at]) for column in samples.predictions.values()]
        others = told if any(each != label for each in told) else []
        names = [samples.class_name(each) for each in (label, *others)]
        first = [f"{samples.rows[at]}: " + " → ".join(names)]
        if len(first[0]) > self.widest:
            first = [f"{samples.rows[at]}: {names[0]}", *(f"→ {name}" for name in names[1:])]
        group = [str(samples.groups[at])] if names_group else []
        source = [] if samples.sources is None else [str(samples.sources[at])]
        return [self._fitted(line) for line in (*first, *dict.fromkeys([*group, *source]), *self._values(samples, at))]

    def _values(self, samples: Samples, at: int) -> list[str]:
        known = {name: float(column[at]) for name, column in samples.values.items() if not np.isnan(column[at])}
        texts = {name: f"{value:.{self.decimals[name]}f}" for name, value in known.items()}
        return [f"{name} {text}" if self.has_names else text for name, text in texts.items()]

    def _fitted(self, line: str) -> str:
        return line if len(line) <= self.widest else f"{line[: self.widest - 1].rstrip()}…"


def tile_texts(samples: Samples, blocks: Sequence[NDArray[np.int64]], pitch: float) -> TileText:
    """Return how to write above images that stand so many inches apart.

    Args:
        samples: the rows.
        blocks: positions that are drawn.
        pitch: inches from an image to the next one.
    """
    widest = max(4, int(pitch / _LETTER_INCHES))
    drawn = np.concatenate(list(blocks))
    decimals = {name: _decimals([column[block] for block in blocks]) for name, column in samples.values.items()}
    text = TileText(widest, decimals, True)
    longest = max((len(line) for at in drawn for line in text._values(samples, int(at))), default=0)
    return TileText(widest, decimals, longest <= widest)


def _decimals(blocks: Sequence[NDArray[np.floating]]) -> int:
    """Return how many decimals all values have: three digits of the largest, more where most of a block look equal."""
    known = [np.unique(block[np.isfinite(block)].astype(np.float64)) for block in blocks]
    together = np.concatenate(known)
    if np.array_equal(together, np.round(together)):
        return 0
    count = min(max(0, 2 - math.floor(math.log10(np.abs(together).max()))), _MOST_DECIMALS)
    while count < _MOST_DECIMALS and any(len(np.unique(np.round(each, count))) < len(each) / 2 for each in known):
        count += 1
    return count

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.reporting.kinds.nearest_neighbours import (
    distance_quantiles,
    nearest_neighbours_caption,
    neighbours_parts,
)
from pumalib.reporting.parts import ReportParts

HELD_OUT: NDArray[np.float32] = np.arange(1, 102, dtype=np.float32)
"""Distances 1 to 101: the 1 % quantile is 2, the median 51."""
SYNTHETIC: NDArray[np.float32] = np.array([0, 0, 1.5, 2, 50, 60, 70, 80], np.float32)


def test_quantiles_of_a_ramp_are_read_off_it() -> None:
    table = distance_quantiles(SYNTHETIC, HELD_OUT).set_index("quantile")
    assert table.loc[[0.0, 0.01, 0.5, 0.95, 1.0], "held_out"].tolist() == pytest.approx([1, 2, 51, 96, 101])
    assert table.loc[[0.0, 1.0], "synthetic"].tolist() == [0, 80]


def test_caption_says_shares_and_copies() -> None:
    caption = nearest_neighbours_caption(SYNTHETIC, HELD_OUT)
    assert "3 (37.50 %)" in caption
    assert "2 synthetic rows, 0 test rows" in caption


def test_all_files_are_equal_over_two_draws(
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    written = drawn_twice(lambda: neighbours_parts(SYNTHETIC, HELD_OUT))
    assert written["f.csv"].splitlines()[0] == b"quantile,synthetic,held_out"

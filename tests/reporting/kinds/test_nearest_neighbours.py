from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.kinds.nearest_neighbours import (
    count_copies,
    distance_quantiles,
    nearest_neighbours_caption,
    neighbours_parts,
)
from pumalib.reporting.parts import ReportParts

HELD_OUT: NDArray[np.float32] = np.arange(1, 102, dtype=np.float32)
"""Distances 1 to 101: the 1 % quantile is 2, the median 51."""
SYNTHETIC: NDArray[np.float32] = np.array([0, 0, 1.5, 2, 50, 60, 70, 80], np.float32)


def test_copies_and_near_rows_are_counted_by_hand() -> None:
    counts = count_copies(SYNTHETIC, HELD_OUT)
    assert counts.near_distance == pytest.approx(2.0)
    assert (counts.num_nearer, counts.num_copies, counts.num_held_out_copies) == (3, 2, 0)


def test_rows_of_one_distribution_are_near_in_about_one_per_cent() -> None:
    generator = np.random.default_rng(0)
    synthetic, held_out = generator.gamma(20, size=(2, 20_000)).astype(np.float32)
    assert count_copies(synthetic, held_out).num_nearer / 20_000 == pytest.approx(0.01, abs=0.003)


def test_quantiles_of_a_ramp_are_read_off_it() -> None:
    table = distance_quantiles(SYNTHETIC, HELD_OUT).set_index("quantile")
    assert table.loc[[0.0, 0.01, 0.5, 0.95, 1.0], "held_out"].tolist() == pytest.approx([1, 2, 51, 96, 101])
    assert table.loc[[0.0, 1.0], "synthetic"].tolist() == [0, 80]


def test_caption_says_shares_and_copies() -> None:
    caption = nearest_neighbours_caption(SYNTHETIC, HELD_OUT)
    assert "3 (37.50 %)" in caption
    assert "2 synthetic rows, 0 test rows" in caption


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0], [-1.0]])
def test_impossible_distances_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError, match="synthetic distance"):
        count_copies(np.array(bad, np.float32), HELD_OUT)
    with pytest.raises(DataError, match="held-out distance"):
        count_copies(SYNTHETIC, np.array(bad, np.float32))


def test_all_files_are_equal_over_two_draws(
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    written = drawn_twice(lambda: neighbours_parts(SYNTHETIC, HELD_OUT))
    assert written["f.csv"].splitlines()[0] == b"quantile,synthetic,held_out"

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.figures import FigurePaths
from pumalib.reporting.margin_histogram import (
    count_margins,
    draw,
    margin_bins,
    margin_caption,
    source_names,
    write_margin_histogram,
)

EPSILON = 8 / 255
CUTS = [("puma-20", 0.08)]


def margins_with(num_negative: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Return 50 real and 100 synthetic margins, `num_negative` of the synthetic ones below 0."""
    margin = np.linspace(0.01, 0.2, 150, dtype=np.float32)
    source = np.repeat([0, 1], [50, 100])
    margin[50 : 50 + num_negative] *= -1
    return margin, source, np.arange(150) >= 3


def test_counts_equal_those_done_by_hand() -> None:
    margin = np.array([-0.02, 0.01, 0.05, -0.04, 0.03, 0.2], np.float32)
    counts = count_margins(margin, ["real"] * 3 + ["synthetic"] * 3, 0.025, np.array([1, 1, 0, 1, 0, 0], bool))
    assert counts == [("real", 3, 1, 2, 1), ("synthetic", 3, 1, 0, 2)]


@pytest.mark.parametrize(
    "source",
    [
        [0, 1, 1],
        ["real", "synthetic", "synthetic"],
        [b"real", b"synthetic", b"synthetic"],
        np.uint8([0, 1, 1]),
        np.array([b"real", "synthetic", b"synthetic"], dtype=object),
    ],
)
def test_sources_are_read_from_words_bytes_and_codes(source: list[object]) -> None:
    assert source_names(source).tolist() == ["real", "synthetic", "synthetic"]


def test_unknown_sources_are_refused() -> None:
    with pytest.raises(DataError, match="got 2"):
        source_names([0, 1, 2])
    with pytest.raises(DataError, match="got fake"):
        source_names(["real", "fake"])


def test_bins_count_every_row_once_even_far_away() -> None:
    margin, source, _ = margins_with(4)
    margin[0], margin[60] = -1.0, 1.0
    table = margin_bins(margin, source, EPSILON, CUTS)
    assert (table["num_real"].sum(), table["num_synthetic"].sum()) == (50, 100)
    assert table["bin_low"].iloc[0] == -np.inf
    assert table["bin_high"].iloc[-1] == np.inf
    inner = table.iloc[1:-1]
    expected = np.histogram(margin[50:], np.append(inner["bin_low"], inner["bin_high"].iloc[-1]))[0]
    assert inner["num_synthetic"].tolist() == expected.tolist()


def test_marks_lie_within_the_drawn_range() -> None:
    margin, source, _ = margins_with(0)
    table = margin_bins(margin, source, 0.5, [("far", 0.9)])
    assert table["bin_high"].iloc[0] < -0.5
    assert table["bin_low"].iloc[-1] > 0.9


@pytest.mark.parametrize(("num_negative", "warns"), [(0, False), (5, False), (6, True)])
def test_caption_warns_above_five_per_cent_of_negative_synthetic_margins(num_negative: int, warns: bool) -> None:
    margin, source, converged = margins_with(num_negative)
    caption = margin_caption(count_margins(margin, source, EPSILON, converged), EPSILON, CUTS, "linf")
    assert ("**Warning:**" in caption) == warns
    assert "puma-20 at 0.08" in caption
    assert f"{num_negative} ({num_negative:.1f} %)" in caption
    assert "| 3 (6.0 %) |" in caption


def test_lengths_and_unscored_rows_are_refused() -> None:
    margin, source, converged = margins_with(0)
    with pytest.raises(DataError, match="150, 150 and 149"):
        count_margins(margin, source, EPSILON, converged[1:])
    margin[3] = np.nan
    with pytest.raises(DataError, match="finite margins"):
        draw(margin, source, EPSILON, CUTS, "linf", converged)


@pytest.mark.parametrize("has_synthetic", [True, False])
def test_all_files_are_equal_over_two_draws(
    has_synthetic: bool, tmp_path: Path, is_drawn_well: Callable[[FigurePaths], None]
) -> None:
    margin, source, converged = margins_with(10)
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        paths = FigurePaths(folder / "f.png", folder / "f.svg")
        write_margin_histogram(
            margin,
            source * has_synthetic,
            EPSILON,
            CUTS if has_synthetic else [],
            "linf",
            converged,
            csv_path=folder / "f.csv",
            markdown_path=folder / "f.md",
            figure=paths,
        )
        is_drawn_well(paths)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"f.csv", "f.md", "f.png", "f.svg"}

from collections.abc import Callable

import numpy as np
import pytest

from pumalib.errors import DataError
from pumalib.reporting.kinds.margin_classes import class_bins, classes_page, classes_parts, draw_classes
from pumalib.reporting.margin_counts import Margins
from pumalib.reporting.parts import ReportParts

NAMES = ("cat", "dog", "emu")
SOURCE = np.array([0] * 6 + [1] * 4, np.uint8)
LABELS = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 1], np.int64)
MARGINS = Margins(
    "margin",
    np.array([-0.05, 0.05, 0.2, 0.1, 0.1, 0.1, 0.0, 0.1, 0.2, 0.3], np.float32),
    SOURCE,
    np.ones(10, bool),
    "linf",
)


def test_bins_hold_every_row_of_each_class_and_source() -> None:
    bins = class_bins(MARGINS, LABELS, NAMES, 0.1)
    counts = bins.groupby(["source", "class"])["num_rows"].sum().to_dict()
    assert counts == {("real", "cat"): 3, ("real", "dog"): 3, ("synthetic", "dog"): 4}
    narrow = bins[(bins["source"] == "real") & (bins["class"] == "dog") & (bins["num_rows"] > 0)]
    assert narrow["num_rows"].tolist() == [3]
    assert narrow["bin_low"].item() <= 0.1 < narrow["bin_high"].item()
    with pytest.raises(DataError, match="expected a label of each margin, got 9 labels of 10 margins"):
        class_bins(MARGINS, LABELS[1:], NAMES, 0.1)


def test_a_panel_a_source_and_a_row_a_class_that_it_has() -> None:
    real, synthetic, bar = draw_classes(class_bins(MARGINS, LABELS, NAMES, 0.1), "linf", 0.1).axes
    assert [text.get_text() for text in real.get_yticklabels()] == ["cat", "dog"]
    assert [text.get_text() for text in synthetic.get_yticklabels()] == ["dog"]
    assert [axes.get_title("left") for axes in (real, synthetic)] == ["real rows", "synthetic rows"]
    assert synthetic.get_xlabel() == "margin (L-inf, pixel scale)"
    assert "% per bin" in bar.get_ylabel()
    shares = real.collections[0].get_array()
    assert np.asarray(shares).sum(axis=1) == pytest.approx([100, 100])


def test_of_many_classes_some_are_named() -> None:
    labels = np.arange(400) % 100
    margins = Margins(
        "m", np.linspace(-0.1, 0.3, 400, dtype=np.float32), np.zeros(400, np.uint8), np.ones(400, bool), "l2"
    )
    (axes, _) = draw_classes(class_bins(margins, labels, [f"c{label}" for label in range(100)], 0.1), "l2", 0.1).axes
    assert [text.get_text() for text in axes.get_yticklabels()][:3] == ["c0", "c5", "c10"]


def test_page_tells_shares_and_quantiles() -> None:
    page = classes_page(MARGINS, LABELS, NAMES, 0.1)
    assert "| cat | real | 3 | 33.3 | 66.7 | -0.04 | 0.05 | 0.185 |" in page
    assert "| dog | synthetic | 4 | 0.0 | 25.0 |" in page
    assert "emu" not in page


def test_all_files_are_equal_over_two_draws(
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    drawn_twice(lambda: classes_parts(MARGINS, LABELS, NAMES, 0.1))

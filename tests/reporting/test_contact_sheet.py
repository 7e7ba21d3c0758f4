"""Contact sheets: images beside each other, words that are short enough, and sheets that fit a page."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from pumalib.inspection.samples import Samples
from pumalib.reporting.contact_sheet import Block, draw_contact_sheet
from pumalib.reporting.tile_texts import tile_texts


def samples(values: np.ndarray, points: np.ndarray | None = None) -> Samples:
    """Return rows of two classes with one value each, and perturbed images where they are given."""
    count = len(values)
    return Samples(
        rows=np.arange(count) + 100,
        class_names=("Ankle boot", "T-shirt/top"),
        labels=np.arange(count) % 2,
        groups=np.full(count, "kept"),
        images=np.full((count, 2, 2, 1), 102, np.uint8).__getitem__,
        predictions={"prediction": np.zeros(count, np.int64)},
        values={"margin": values},
        sources=np.full(count, "synthetic"),
        points=None if points is None else points.__getitem__,
    )


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_a_row_that_was_attacked_is_clean_then_adversarial_then_the_difference() -> None:
    points = np.full((2, 2, 2, 1), 0.4, np.float32)
    points[0, 0, 0], points[0, 1, 1] = 0.6, 0.2
    sheet = draw_contact_sheet(samples(np.array([0.1, 0.2]), points), [Block("two", np.arange(2))], "title")
    drawn = [np.asarray(axes.images[0].get_array()) for axes in sheet.axes]
    assert len(drawn) == 4  # the second row was not moved, and stands alone
    np.testing.assert_array_equal(drawn[0], np.full((2, 2), 102))
    np.testing.assert_array_equal(drawn[1], [[153, 102], [102, 51]])
    np.testing.assert_array_equal(drawn[2], [[255, 128], [128, 0]])
    np.testing.assert_array_equal(drawn[3], np.full((2, 2), 102))
    assert any("clean, adversarial, difference" in text.get_text() for text in sheet.texts)


def test_the_prediction_stands_where_it_is_not_the_label_and_the_source_always() -> None:
    sheet = draw_contact_sheet(samples(np.array([0.15, -0.149])), [Block("two", np.arange(2))], "title")
    assert titles(sheet) == [
        "100: Ankle boot\nsynthetic\nmargin 0.150",
        "101: T-shirt/top\n→ Ankle boot\nsynthetic\nmargin -0.149",
    ]


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([0.9, -0.15], 3), ([3.0, 12.0], 0), ([12.34, 1.5], 1), ([0.05, 0.02], 4), ([0.20101, 0.20102, 0.20103], 5)],
)
def test_values_have_as_many_decimals_as_tell_them_apart(values: list[float], decimals: int) -> None:
    text = tile_texts(samples(np.array(values)), [np.arange(len(values))], 1.0)
    assert text.decimals == {"margin": decimals}


def test_values_lose_their_names_and_classes_their_ends_where_images_are_small() -> None:
    rows = samples(np.array([0.15, -0.149]))
    text = tile_texts(rows, [np.arange(2)], 0.55)
    assert text.lines(rows, 1, False) == ["101: T-sh…", "→ Ankle b…", "synthetic", "-0.149"]


@pytest.mark.parametrize("count", [1, 5, 12, 24])
def test_a_sheet_is_as_wide_as_a_page_at_most_and_not_too_tall_for_it(count: int) -> None:
    rows = samples(np.linspace(-1, 1, 60))
    sheet = draw_contact_sheet(rows, [Block("easiest", np.arange(count)), Block("hardest", np.arange(count))], "t", 2)
    width, height = sheet.get_size_inches()
    assert width <= 7.01
    assert height <= 1.3 * width

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.kinds.margin_histogram import draw, histogram_parts, margin_agreement, margin_bins, margin_page
from pumalib.reporting.margin_counts import Cuts, Margins, count_margins, extrapolation_notes, shared_rows, source_names
from pumalib.reporting.parts import ReportParts
from pumalib.scores.table import ScoreTable

EPSILON = 8 / 255
CUTS = [("puma-20", 0.08)]


def margins_with(num_negative: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """Return 50 real and 100 synthetic margins, `num_negative` of the synthetic ones below 0."""
    margin = np.linspace(0.01, 0.2, 150, dtype=np.float32)
    source = np.repeat([0, 1], [50, 100])
    margin[50 : 50 + num_negative] *= -1
    return margin, source, np.arange(150) >= 3


def scored(margin: NDArray[np.float32], source: NDArray[np.int64], cuts: Cuts = CUTS, score: str = "margin") -> Margins:
    return Margins(score, margin, source, np.arange(len(margin)) >= 3, "linf", cuts)


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
    table = margin_bins([scored(margin, source)], EPSILON)
    assert (table["num_real"].sum(), table["num_synthetic"].sum()) == (50, 100)
    assert table["bin_low"].iloc[0] == -np.inf
    assert table["bin_high"].iloc[-1] == np.inf
    inner = table.iloc[1:-1]
    expected = np.histogram(margin[50:], np.append(inner["bin_low"], inner["bin_high"].iloc[-1]))[0]
    assert inner["num_synthetic"].tolist() == expected.tolist()


def test_marks_lie_within_the_drawn_range() -> None:
    margin, source, _ = margins_with(0)
    table = margin_bins([scored(margin, source, [("far", 0.9)])], 0.5)
    assert table["bin_high"].iloc[0] < -0.5
    assert table["bin_low"].iloc[-1] > 0.9


@pytest.mark.parametrize(("num_negative", "warns"), [(0, False), (5, False), (6, True)])
def test_caption_warns_above_five_per_cent_of_negative_synthetic_margins(num_negative: int, warns: bool) -> None:
    margin, source, _ = margins_with(num_negative)
    caption = margin_page([scored(margin, source)], EPSILON)
    assert ("**Warning:**" in caption) == warns
    assert "puma-20 at 0.08" in caption
    assert f"{num_negative} ({num_negative:.1f} %)" in caption
    assert "| 3 (6.0 %) |" in caption


def test_cuts_of_two_scores_are_told_apart() -> None:
    margin, source, converged = margins_with(0)
    scores = [
        Margins(name, margin, source, converged, "linf", [(f"{name} {side} 20 %", 0.08)])
        for name, side in (("deepfool", "easiest"), ("fast", "hardest"))
    ]
    told = "pruned: 20 % highest margins at 0.08 (`deepfool`); 20 % lowest margins at 0.08 (`fast`)."
    assert told in margin_page(scores, EPSILON)
    assert "pruned: 20 % highest margins at 0.08." in margin_page(scores[:1], EPSILON)


def test_lengths_and_unscored_rows_are_refused() -> None:
    margin, source, converged = margins_with(0)
    with pytest.raises(DataError, match="150, 150 and 149"):
        count_margins(margin, source, EPSILON, converged[1:])
    margin[3] = np.nan
    with pytest.raises(DataError, match="finite margins"):
        draw([scored(margin, source)], EPSILON)


@pytest.mark.parametrize(("num_negative", "warns"), [(15, False), (16, True)])
def test_page_warns_above_ten_per_cent_of_negative_margins_in_the_whole_pool(num_negative: int, warns: bool) -> None:
    margin, source, _ = margins_with(0)
    margin[:num_negative] *= -1
    page = margin_page([scored(margin, source)], EPSILON)
    assert ("of all margins of `margin` are negative" in page) == warns


def test_a_second_score_is_binned_over_the_same_edges_and_compared() -> None:
    margin, source, _ = margins_with(4)
    other = (2 * margin).astype(np.float32)
    scores = [scored(margin, source), scored(other, source, (), "fast")]
    table = margin_bins(scores, EPSILON)
    assert table["beside_num_synthetic"].sum() == 100
    assert table["num_real"].sum() == table["beside_num_real"].sum() == 50
    assert table["bin_low"].iloc[-1] > np.quantile(other, 0.99)
    assert len(draw(scores, EPSILON).axes) == 2
    page = margin_page(scores, EPSILON)
    assert "| rank correlation (Spearman) | 1.0000 |" in page
    assert "`margin` against `fast`, over the 150 rows" in page


def test_two_scores_are_compared_on_the_rows_that_both_scored() -> None:
    first = Margins("a", np.float32([1, 2, 3]), [0, 0, 0], np.ones(3, bool), "linf", rows=np.array([0, 2, 5]))
    second = Margins("b", np.float32([7, 8, 9]), [0, 0, 0], np.ones(3, bool), "linf", rows=np.array([2, 3, 5]))
    ours, theirs = shared_rows(first, second)
    assert (ours.tolist(), theirs.tolist()) == ([2, 3], [7, 9])


@pytest.mark.parametrize("has_synthetic", [True, False])
@pytest.mark.parametrize("num_scores", [1, 2])
def test_all_files_are_equal_over_two_draws(
    has_synthetic: bool, num_scores: int, drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    margin, source, _ = margins_with(10)
    scores = [scored(margin, source * has_synthetic, CUTS if has_synthetic else (), f"s{n}") for n in range(num_scores)]
    drawn_twice(lambda: histogram_parts(scores, EPSILON))


def test_agreement_equals_that_done_by_hand() -> None:
    first = np.float32([-0.3, 0.1, 0.2, 0.4])
    second = np.float32([-0.1, -0.1, 0.3, 0.2])
    agreement = margin_agreement(first, second, 0.25)
    assert agreement.num_rows == 4
    # ranks 1 2 3 4 against 1.5 1.5 4 3: covariance 3.5, variances 5 and 4.5
    assert agreement.rank_correlation == pytest.approx(3.5 / math.sqrt(5 * 4.5))
    assert agreement.mean_absolute_difference == pytest.approx(0.7 / 4, rel=1e-6)
    assert agreement.same_sign == 0.75
    assert agreement.within_epsilon == 0.25


def test_a_constant_estimate_has_no_rank_correlation() -> None:
    assert math.isnan(margin_agreement(np.float32([0.1, 0.1]), np.float32([0.1, 0.2]), 0.1).rank_correlation)


def test_margins_of_other_rows_or_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="expected two margins of each row, got 2 and 1"):
        margin_agreement(np.float32([1, 2]), np.float32([1]), 0.1)
    with pytest.raises(DataError, match="expected finite margins"):
        margin_agreement(np.float32([1, 2]), np.float32([1, math.nan]), 0.1)


def test_a_page_says_which_share_of_the_margins_is_extrapolated() -> None:
    measured = np.array([True, False, False])
    table = ScoreTable(
        np.float32([0.1, 0.2, -0.1]), np.ones(3, bool), "easier", "pixel scale [0, 1]", "deepfool", "p", "m", "linf",
        columns={"measured": measured}, held_back_agreement=0.9371, held_back_error=0.114,
    )  # fmt: skip
    (note,) = extrapolation_notes("margin", table)
    assert note.startswith("2 of 3 margins of `margin` are extrapolated from the others.")
    assert "rank correlation was 0.937 and the mean error 11.4 % of the mean margin" in note
    margins = Margins("margin", table.score, [0, 0, 0], np.ones(3, bool), "linf", notes=(note,))
    assert note in margin_page([margins], 0.1)
    assert extrapolation_notes("margin", replace(table, columns={})) == ()

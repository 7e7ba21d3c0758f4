import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.kinds.trade_off import draw_trade_off, trade_off_caption, trade_off_points
from pumalib.reporting.kinds.trade_off_frontiers import (
    distances_by_seed,
    frontier_distances,
    frontier_section,
    height_at,
    influences,
    place_at,
    undominated,
)
from pumalib.reporting.outcomes import Answers, Outcomes
from pumalib.reporting.results import CLEAN_ACCURACY, robust_accuracy
from pumalib.reporting.settings.trade_off import TradeOffSettings

FRONTIERS = {"epsilon": ("small", "large")}
SETTINGS = TradeOffSettings(kind="trade_off", baseline="small", attack="cw", runs=("puma",), frontiers=FRONTIERS)


@pytest.fixture
def results(tidy: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Return a frontier from (0.90, 0.50) to (0.80, 0.60), shifted with the seed, and two runs to hold against it."""
    return tidy(
        {
            "small": {"clean": [0.90, 0.92, 0.91], "cw": [0.50, 0.50, 0.51]},
            "large": {"clean": [0.80, 0.82, 0.81], "cw": [0.60, 0.60, 0.61]},
            "puma": {"clean": [0.85, 0.87, 0.86], "cw": [0.58, 0.56, 0.59]},
            "beyond": {"clean": [0.91, 0.90, 0.90], "cw": [0.58, 0.56, 0.59]},
        }
    )


@pytest.fixture
def points(results: pd.DataFrame) -> pd.DataFrame:
    return trade_off_points(results, TradeOffSettings(kind="trade_off", baseline="small", attack="cw"))


@pytest.fixture
def outcomes(results: pd.DataFrame, answers: Callable[..., Outcomes]) -> Outcomes:
    return answers(results)


def test_distances_equal_those_done_by_hand(points: pd.DataFrame, outcomes: Outcomes) -> None:
    table = frontier_distances(points, outcomes, FRONTIERS, "cw").set_index("run")
    assert table.loc["puma", "distance"] == pytest.approx(0.07 / 3)
    assert table.loc["puma", "low"] < 0.07 / 3 < table.loc["puma", "high"]
    assert table.loc["puma", "num_outside"] == 0


def test_overlapping_splits_give_the_corrected_interval_of_the_distances(
    points: pd.DataFrame, results: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    table = frontier_distances(points, answers(results, test_to_train=0.5), FRONTIERS, "cw").set_index("run")
    differences = [0.58 - 0.55, 0.56 - 0.55, 0.59 - 0.56]
    half = stats.t.ppf(1 - 0.05 / 4, 2) * np.std(differences, ddof=1) * math.sqrt(1 / 3 + 0.5)  # two distances
    assert table.loc["puma", "low"] == pytest.approx(0.07 / 3 - half)
    assert table.loc["puma", "high"] == pytest.approx(0.07 / 3 + half)


def test_the_variance_of_a_distance_is_that_of_the_jackknife_over_images() -> None:
    """Leave out each image in turn and interpolate anew: the variance of the distance, by another road."""
    generator = np.random.default_rng(3)
    num_images, levels = 400, {"small": (0.8, 0.4), "large": (0.6, 0.6), "puma": (0.7, 0.55)}
    draws = generator.random(num_images)
    found = {
        run: (draws < clean, (draws + 0.2 * generator.random(num_images)) < robust)
        for run, (clean, robust) in levels.items()
    }

    def distance(keep: NDArray[np.bool_]) -> float:
        means = {run: (clean[keep].mean(), robust[keep].mean()) for run, (clean, robust) in found.items()}
        line = pd.DataFrame([means["small"], means["large"]], columns=["clean_accuracy", "robust_accuracy"])
        return float(means["puma"][1] - height_at(means["puma"][0], line))

    image = np.arange(num_images)
    by_metric = {
        (run, metric): {0: Answers(image, image % 3, correct, found[run][0])}
        for run in found
        for metric, correct in zip((CLEAN_ACCURACY, robust_accuracy("cw")), found[run], strict=True)
    }
    line = pd.DataFrame(
        [("small", *(each.mean() for each in found["small"])), ("large", *(each.mean() for each in found["large"]))],
        columns=["run", "clean_accuracy", "robust_accuracy"],
    )
    place = place_at(float(found["puma"][0].mean()), line)
    values = influences("puma", 0, place, Outcomes(by_metric, None), robust_accuracy("cw"))
    left_out = np.array([distance(image != each) for each in image])
    jackknife = (num_images - 1) / num_images * ((left_out - left_out.mean()) ** 2).sum()
    assert values.mean() == pytest.approx(distance(image >= 0))
    assert values.var(ddof=1) / num_images == pytest.approx(jackknife, rel=0.02)


def test_distances_of_single_seeds_average_to_those_of_the_page(points: pd.DataFrame) -> None:
    knob = FRONTIERS["epsilon"]
    single = distances_by_seed(points, knob)
    assert single[points["run"] == "puma"].to_list() == pytest.approx([0.58 - 0.55, 0.56 - 0.55, 0.59 - 0.56])
    beyond = single[points["run"] == "beyond"].to_list()
    assert beyond[1:] == pytest.approx([0.56 - 0.52, 0.59 - 0.52])
    assert np.isnan(beyond[0])
    assert single[points["run"].isin(knob)].isna().all()


def test_a_knob_would_not_be_left_where_another_of_its_runs_is_better_in_both_accuracies(
    tidy: Callable[..., pd.DataFrame], answers: Callable[..., Outcomes]
) -> None:
    results = tidy(
        {
            "small": {"clean": [0.88, 0.88], "cw": [0.585, 0.585]},
            "weak": {"clean": [0.92, 0.92], "cw": [0.45, 0.45]},
            "strong": {"clean": [0.84, 0.84], "cw": [0.58, 0.58]},
            "puma": {"clean": [0.90, 0.90], "cw": [0.50, 0.55]},
            "between": {"clean": [0.86, 0.86], "cw": [0.584, 0.584]},
        }
    )
    points = trade_off_points(results, TradeOffSettings(kind="trade_off", baseline="small", attack="cw"))
    knob = ("weak", "small", "strong")
    assert undominated(points, knob) == ["weak", "small"]
    table = frontier_distances(points, answers(results), {"epsilon": knob}, "cw").set_index("run")
    assert table.loc["puma", "distance"] == pytest.approx(0.525 - (0.585 + 0.45) / 2)
    assert table.loc["between", "distance"] == pytest.approx(0.584 - 0.585)  # not above the dominated run's line


def test_a_run_beyond_the_frontier_with_one_seed_has_no_distance_and_the_page_says_so(
    points: pd.DataFrame, outcomes: Outcomes
) -> None:
    table = frontier_distances(points, outcomes, FRONTIERS, "cw").set_index("run")
    assert math.isnan(table.loc["beyond", "distance"])
    assert table.loc["beyond", "num_outside"] == 1
    section = frontier_section(table.reset_index(), None)
    assert "| epsilon | `beyond` | nan | 1 of 3 |" in section
    assert "| epsilon | `puma` | +2.33 [" in section


def test_the_page_says_so_where_every_run_is_on_a_frontier(points: pd.DataFrame, outcomes: Outcomes) -> None:
    on_it = points[points["run"].isin(["small", "large"])]
    assert frontier_section(frontier_distances(on_it, outcomes, FRONTIERS, "cw"), None).endswith(
        "Every run drawn is on one."
    )


def test_a_frontier_without_a_seed_of_the_run_is_refused(points: pd.DataFrame, outcomes: Outcomes) -> None:
    is_lost = (points["run"] == "large") & (points["seed"] == 2)
    with pytest.raises(DataError, match="the baseline lacks seed 2"):
        frontier_distances(points[~is_lost], outcomes, FRONTIERS, "cw")


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6),
    st.floats(0, 1),
)
def test_the_height_lies_between_the_neighbours_or_at_the_least_accurate_point_and_is_nan_only_above(
    corners: list[tuple[float, float]], clean: float
) -> None:
    frontier = pd.DataFrame(corners, columns=["clean_accuracy", "robust_accuracy"])
    height = height_at(clean, frontier)
    left = [corner for corner in corners if corner[0] <= clean]
    right = [corner for corner in corners if corner[0] >= clean]
    assert math.isnan(height) == (not right)
    if not left:
        assert height == max(robust for place, robust in corners if place == min(corners)[0])
    elif right:
        near = [c[1] for c in corners if c[0] in (max(left)[0], min(right)[0])]
        assert min(near) - 1e-12 <= height <= max(near) + 1e-12


def test_runs_of_a_frontier_are_drawn_with_a_line_through_their_means(
    tidy: Callable[..., pd.DataFrame], answers: Callable[..., Outcomes]
) -> None:
    results = tidy(
        {
            "small": {"clean": [0.90, 0.92], "cw": [0.50, 0.50]},
            "large": {"clean": [0.80, 0.82], "cw": [0.60, 0.62]},
            "puma": {"clean": [0.85, 0.87], "cw": [0.58, 0.56]},
        }
    )
    points = trade_off_points(results, SETTINGS)
    assert list(dict.fromkeys(points["run"])) == ["small", "puma", "large"]
    (axes,) = draw_trade_off(points, SETTINGS, run_styles(points["run"].tolist())).axes
    line = next(line for line in axes.lines if line.get_label() == "frontier: epsilon")
    assert [*line.get_xdata(), *line.get_ydata()] == pytest.approx([81, 91, 61, 50])
    assert "| epsilon | `puma` |" in trade_off_caption(points, answers(results), SETTINGS)

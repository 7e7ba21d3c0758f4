from collections.abc import Callable

import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.kinds.ratio_curves import draw_ratio_curves, ratio_page, ratio_parts, ratio_table
from pumalib.reporting.outcomes import Measured, Outcomes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.ratio_curves import RatioCurvesSettings

SETTINGS = RatioCurvesSettings(
    kind="ratio_curves",
    lines={"1M": ("puma-40", "puma-0"), "5M": ("other-0",)},
    baselines={"1M": "trades"},
    attack="cw",
)
STYLES = run_styles(["trades", "puma-0", "puma-40", "other-0"])


@pytest.fixture
def results(tidy: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Return four runs over two seeds, puma-40 with 40 % pruned and the others with none."""
    results = tidy(
        {
            "trades": {"clean": [0.90, 0.92], "cw": [0.60, 0.62]},
            "puma-0": {"clean": [0.91, 0.93], "cw": [0.60, 0.60]},
            "puma-40": {"clean": [0.94, 0.96], "cw": [0.50, 0.54]},
            "other-0": {"clean": [0.95, 0.95], "cw": [0.61, 0.61]},
        }
    )
    results["pruned_fraction"] = (results["run"] == "puma-40") * 0.4
    return results


def test_lines_go_by_pruned_fraction_with_their_baseline_last(
    results: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    table = ratio_table(results, answers(results), SETTINGS)
    assert table["label"].tolist() == ["1M", "1M", "1M", "5M"]
    assert table["run"].tolist() == ["puma-0", "puma-40", "trades", "other-0"]
    assert table["is_baseline"].tolist() == [False, False, True, False]
    assert table["pruned_fraction"].tolist() == [0, 0.4, 0, 0]
    assert table["clean_accuracy_mean"].tolist() == pytest.approx([0.92, 0.95, 0.91, 0.95])
    assert table["robust_accuracy_sd"].tolist() == pytest.approx([0, 0.02 * 2**0.5, 0.01 * 2**0.5, 0])


def test_a_baseline_is_a_level_line_in_the_colour_of_its_line(
    results: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    figure = draw_ratio_curves(ratio_table(results, answers(results), SETTINGS), SETTINGS, STYLES)
    for axes, level in zip(figure.axes, (91, 61), strict=True):
        levels = [line for line in axes.lines if list(line.get_ydata()) == pytest.approx([level] * 2)]
        curve = next(line for line in axes.lines if len(line.get_xdata()) == 2 and line not in levels)
        assert [line.get_color() for line in levels] == [curve.get_color()]
        assert list(curve.get_xdata()) == [0, 40]


def test_baselines_that_several_lines_share_differ_in_their_dashes(
    results: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    lines = dict.fromkeys("abcd", ("puma-40",))
    shared = {"a": "trades", "b": "trades", "c": "puma-0", "d": "puma-0"}
    settings = RatioCurvesSettings(kind="ratio_curves", attack="cw", lines=lines, baselines=shared)
    figure = draw_ratio_curves(ratio_table(results, answers(results), settings), settings, STYLES)
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [*"abcd", "baseline: trades", "baseline: puma-0"]
    assert [line.get_linestyle() for line in legend.get_lines()[-2:]] == ["--", ":"]


def test_a_baseline_below_all_lines_stands_clear_of_the_edge(
    results: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    results.loc[(results["run"] == "trades") & (results["metric"] == "clean_accuracy"), "value"] -= 0.1
    figure = draw_ratio_curves(ratio_table(results, answers(results), SETTINGS), SETTINGS, STYLES)
    low, high = figure.axes[0].get_ylim()
    top = 95 + 100 * 0.02 / 2**0.5  # puma-40 with its bar
    assert (low, high) == pytest.approx((81 - 0.06 * (top - 81), top + 0.06 * (top - 81)))


def test_what_is_missing_or_unlike_is_refused(results: pd.DataFrame, answers: Callable[..., Outcomes]) -> None:
    outcomes = answers(results)
    with pytest.raises(DataError, match='no attack "pgd"; valid: cw'):
        ratio_table(results, outcomes, SETTINGS.model_copy(update={"attack": "pgd"}))
    with pytest.raises(DataError, match='no run "puma-4"'):
        ratio_table(results, outcomes, SETTINGS.model_copy(update={"lines": {"1M": ("puma-4",)}}))
    results.loc[results["run"] == "puma-40", "num_samples"] = 7
    with pytest.raises(DataError, match="expected the same num_samples"):
        ratio_table(results, outcomes, SETTINGS)


def test_page_tells_seeds_images_and_few_seeds(results: pd.DataFrame, answers: Callable[..., Outcomes]) -> None:
    page = ratio_page(ratio_table(results, answers(results), SETTINGS), SETTINGS, ["a warning"])
    assert "Seeds per run: 2. Test images: 500." in page
    assert "too few seeds for a claim" in page
    assert "| 1M, baseline | `trades` | 0.0 | 91.00 ± 1.41 | 61.00 ± 1.41 |" in page
    assert page.endswith("a warning")


def test_all_files_are_equal_over_two_draws(
    results: pd.DataFrame,
    measured: Callable[..., Measured],
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    drawn_twice(lambda: ratio_parts(measured(results), SETTINGS, STYLES))


def test_the_csv_has_intervals_from_three_seeds_on(
    results: pd.DataFrame, three_runs: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    assert ratio_table(results, answers(results), SETTINGS)["clean_accuracy_low"].isna().all()
    settings = RatioCurvesSettings(kind="ratio_curves", lines={"1M": ("trades",)}, attack="cw")
    (row,) = ratio_table(three_runs, answers(three_runs), settings).to_dict("records")
    assert 0 <= row["robust_accuracy_low"] < row["robust_accuracy_mean"] < row["robust_accuracy_high"] <= 1

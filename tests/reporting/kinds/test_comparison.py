import csv
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.estimates import crossed_difference, crossed_mean
from pumalib.reporting.kinds.comparison import compare, comparison_metrics, comparison_parts, comparison_table
from pumalib.reporting.kinds.comparison_page import comparison_page, num_comparisons
from pumalib.reporting.outcomes import Measured, Outcomes
from pumalib.reporting.parts import ReportFiles, ReportParts, write_parts
from pumalib.reporting.primary import Contrast
from pumalib.reporting.settings.comparison import ComparisonSettings, PublishedNumbers

WITH_CONTROL = ComparisonSettings(kind="comparison", baseline="trades", control="control-20")
CONTRAST = Contrast("puma-20", "trades", "robust_accuracy", "cw", 0.005)

Written = Callable[..., str]


@pytest.fixture
def written(measured: Callable[..., Measured], tmp_path: Path) -> Written:
    """Return a writer of all files that returns the page."""

    def write(results: pd.DataFrame, settings: ComparisonSettings, primary: Contrast | None = None) -> str:
        files = ReportFiles(*(tmp_path / f"table.{suffix}" for suffix in ("csv", "md", "png", "svg")))
        styles = run_styles(results["run"].tolist())
        write_parts(comparison_parts(measured(results), settings, styles, primary), files)
        return files.markdown.read_text(encoding="utf-8")

    return write


@pytest.fixture
def table_of(answers: Callable[..., Outcomes]) -> Callable[..., pd.DataFrame]:
    """Return a maker of the table, from tidy results."""

    def make(results: pd.DataFrame, settings: ComparisonSettings, test_to_train: float | None = None) -> pd.DataFrame:
        return comparison_table(results, answers(results, test_to_train), settings)

    return make


Tabled = Callable[..., pd.DataFrame]


def row_of(table: pd.DataFrame, run: str) -> "pd.Series[float]":
    return table.set_index("run").loc[run]


def test_table_equals_numbers_done_by_hand(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    row = row_of(table_of(three_runs, WITH_CONTROL), "puma-20")
    assert row["clean_accuracy_mean"] == pytest.approx(0.93)
    assert row["clean_accuracy_sd"] == pytest.approx(0.02)
    assert row["clean_accuracy_minus_baseline"] == pytest.approx(0.02)
    assert row["clean_accuracy_minus_control"] == pytest.approx(0.01)
    assert row["robust_accuracy_cw_mean"] == pytest.approx(0.60)
    assert row["robust_accuracy_cw_sd"] == pytest.approx(0.0, abs=1e-12)
    assert row["robust_accuracy_cw_minus_baseline"] == pytest.approx(-0.01)
    assert row["robust_accuracy_cw_minus_control"] == pytest.approx(0.0, abs=1e-12)
    assert (row["pruned_fraction"], row["num_kept"], row["mean_epsilon"]) == (0.2, 800, pytest.approx(0.03))
    assert (row["robust_accuracy_cw_num_seeds"], row["robust_accuracy_cw_num_samples"]) == (3, 500)


def test_intervals_of_overlapping_splits_are_corrected_for_the_overlap_and_the_comparisons(
    tidy: Callable[..., pd.DataFrame], table_of: Tabled
) -> None:
    runs = {"trades": {"clean": [0.90, 0.90, 0.90]}}
    runs |= {f"run-{place}": {"clean": [0.91, 0.92, 0.93]} for place in range(10)}
    settings = ComparisonSettings(kind="comparison", baseline="trades")
    row = row_of(table_of(tidy(runs), settings, test_to_train=0.5), "run-3")
    t_of_ten_comparisons_and_two_degrees = 14.089  # printed tables: two-sided 0.5 %
    half_width = t_of_ten_comparisons_and_two_degrees * 0.01 * math.sqrt(1 / 3 + 0.5)
    assert row["clean_accuracy_minus_baseline_low"] == pytest.approx(0.02 - half_width, abs=1e-5)
    assert row["clean_accuracy_minus_baseline_high"] == pytest.approx(0.02 + half_width, abs=1e-5)


def test_intervals_of_a_shared_test_set_are_those_of_the_crossed_difference(
    tidy: Callable[..., pd.DataFrame], table_of: Tabled
) -> None:
    results = tidy({"trades": {"clean": [0.90, 0.90, 0.90]}, "puma": {"clean": [0.91, 0.92, 0.93]}})
    row = row_of(table_of(results, ComparisonSettings(kind="comparison", baseline="trades")), "puma")
    image = np.arange(500)
    right = [image < round(500 * accuracy) for accuracy in (0.91, 0.92, 0.93)]
    low, high = crossed_difference(right, [image < 450] * 3).interval()
    ends = row["clean_accuracy_minus_baseline_low"], row["clean_accuracy_minus_baseline_high"]
    assert ends == pytest.approx((low, high))
    low, high = crossed_mean(right).interval()
    assert (row["clean_accuracy_low"], row["clean_accuracy_high"]) == pytest.approx((low, high))


def test_no_accuracy_and_no_difference_is_beyond_the_possible(
    tidy: Callable[..., pd.DataFrame], table_of: Tabled
) -> None:
    results = tidy({"trades": {"clean": [0.1, 0.5, 0.9]}, "puma": {"clean": [0.9, 0.5, 0.98]}})
    for overlap in (None, 0.5):
        table = table_of(results, ComparisonSettings(kind="comparison", baseline="trades"), overlap)
        assert table["clean_accuracy_low"].min() == 0
        assert table["clean_accuracy_high"].max() == 1
        assert table["clean_accuracy_minus_baseline_high"].max() <= 1
        assert table["clean_accuracy_minus_baseline_low"].min() >= -1


def test_rows_stand_in_the_order_of_the_settings_or_of_the_file(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    assert table_of(three_runs, WITH_CONTROL)["run"].tolist() == ["trades", "puma-20", "control-20"]
    chosen = WITH_CONTROL.model_copy(update={"runs": ("control-20", "puma-20")})
    assert table_of(three_runs, chosen)["run"].tolist() == ["control-20", "puma-20"]


def test_a_mean_epsilon_that_only_training_knows_is_a_dash(
    three_runs: pd.DataFrame, tmp_path: Path, written: Written
) -> None:
    three_runs.loc[three_runs["run"] == "puma-20", "mean_epsilon"] = math.nan
    page = written(three_runs, WITH_CONTROL)
    (line,) = (line for line in page.splitlines() if line.startswith("| `puma-20`"))
    assert [cell.strip() for cell in line.split("|")][2:5] == ["20.0", "800", "-"]
    assert "Mean epsilon `-`: the run finds its epsilons during training" in page
    table = pd.read_csv(tmp_path / "table.csv")
    assert table["mean_epsilon"].isna().tolist() == [False, True, False]


def test_a_model_trained_elsewhere_is_compared_and_has_dashes_for_rows_and_epsilons(
    three_runs: pd.DataFrame, written: Written, table_of: Tabled
) -> None:
    results = three_runs.copy()
    results["num_kept"] = results["num_kept"].astype("Int64")
    is_theirs = results["run"] == "puma-20"
    results.loc[is_theirs, "num_kept"] = pd.NA
    results.loc[is_theirs, ["pruned_fraction", "mean_epsilon"]] = float("nan")
    row = row_of(table_of(results, WITH_CONTROL), "puma-20")
    assert (row["clean_accuracy_mean"], row["clean_accuracy_minus_baseline"]) == pytest.approx((0.93, 0.02))
    page = written(results, WITH_CONTROL)
    assert "| `puma-20` | - | - | - |" in page
    assert "finds its epsilons during training" not in page


def test_a_run_is_not_compared_with_itself(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    table = table_of(three_runs, WITH_CONTROL)
    assert math.isnan(row_of(table, "trades")["clean_accuracy_minus_baseline"])
    assert math.isnan(row_of(table, "control-20")["clean_accuracy_minus_control_low"])


def test_each_pair_counts_once_as_a_comparison(three_runs: pd.DataFrame, answers: Callable[..., Outcomes]) -> None:
    metrics = comparison_metrics(three_runs, WITH_CONTROL)
    outcomes, alone = answers(three_runs), ComparisonSettings(kind="comparison", baseline="trades")
    for runs, settings, count in (
        (["trades", "puma-20", "control-20"], WITH_CONTROL, 3 * 2),
        (["puma-20"], WITH_CONTROL, 2 * 2),
        (["trades"], alone, 0),
    ):
        assert num_comparisons(compare(outcomes, runs, settings, metrics)) == count


def test_a_pair_that_stands_both_ways_has_mirrored_intervals(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    table = table_of(three_runs, WITH_CONTROL)
    one = row_of(table, "control-20")[[f"clean_accuracy_minus_baseline{end}" for end in ("", "_low", "_high", "_p")]]
    other = row_of(table, "trades")[[f"clean_accuracy_minus_control{end}" for end in ("", "_high", "_low", "_p")]]
    assert one.tolist() == pytest.approx([*(-other.to_numpy()[:3].astype(float)), other.iloc[3]])


def test_a_page_gives_the_verdict_of_the_primary_contrast_and_calls_all_else_exploratory(
    tidy: Callable[..., pd.DataFrame], three_runs: pd.DataFrame, written: Written
) -> None:
    settings = ComparisonSettings(kind="comparison", baseline="trades")
    page = written(with_seeds(tidy, 5), settings, CONTRAST)
    assert page.startswith("**Primary contrast: equivalent.** `puma-20` against `trades`, robust accuracy (cw):")
    assert "Every other comparison of the study is exploratory." in page
    elsewhere = Contrast("puma-20", "shuffled-20", "robust_accuracy", "cw", 0.005)
    page = written(three_runs, WITH_CONTROL, elsewhere)
    assert "`puma-20` against `shuffled-20`, robust accuracy (cw); the report `primary` has its verdict." in page
    assert "every comparison here is exploratory" in written(three_runs, WITH_CONTROL).lower()


def test_a_page_never_takes_a_difference_that_is_not_told_for_sameness(
    three_runs: pd.DataFrame, written: Written
) -> None:
    page = written(three_runs, WITH_CONTROL)
    assert "It does not mean that the runs are the same" in page
    assert "agrees" not in page


def test_a_missing_seed_is_refused_by_name(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    partial = three_runs[~((three_runs["run"] == "puma-20") & (three_runs["seed"] == 1))]
    with pytest.raises(DataError, match=r'run "puma-20" against "trades", clean accuracy.*lacks seed 1;'):
        table_of(partial, WITH_CONTROL)


def test_missing_runs_and_attacks_are_refused_with_the_nearest_name(three_runs: pd.DataFrame, table_of: Tabled) -> None:
    with pytest.raises(DataError, match='did you mean "control-20"'):
        table_of(three_runs, WITH_CONTROL.model_copy(update={"control": "control-2"}))
    with pytest.raises(DataError, match='no attack "cv"; did you mean "cw"'):
        table_of(three_runs, WITH_CONTROL.model_copy(update={"attacks": ("cv",)}))


def test_only_the_chosen_attacks_are_shown(seven_runs: pd.DataFrame, table_of: Tabled) -> None:
    table = table_of(seven_runs, WITH_CONTROL.model_copy(update={"attacks": ("pgd",)}))
    assert "robust_accuracy_pgd_mean" in table
    assert not any("cw" in column for column in table)


def test_markdown_shows_points_and_the_csv_full_precision(
    three_runs: pd.DataFrame, tmp_path: Path, written: Written, table_of: Tabled
) -> None:
    page = written(three_runs, WITH_CONTROL)
    assert "93.00 ± 2.00" in page
    assert "| +2.00 [" in page
    assert "| `puma-20` | 20.0 | 800 | 0.03 |" in page
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = table_of(three_runs, WITH_CONTROL)
    assert list(rows[0]) == list(expected)
    for column in expected.columns.drop("run"):
        read = [float(row[column]) for row in rows]
        assert read == pytest.approx(expected[column].tolist(), rel=0, abs=0, nan_ok=True)


def test_every_table_row_has_the_header_s_number_of_cells(seven_runs: pd.DataFrame, written: Written) -> None:
    lines = [line for line in written(seven_runs, WITH_CONTROL).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 7
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_caption_says_how_numbers_were_made(three_runs: pd.DataFrame, written: Written) -> None:
    page = written(three_runs, WITH_CONTROL)
    for words in (
        "one standard deviation over seeds",
        "paired by seed and test image",
        "Holm's step-down test over the 6 comparisons",
        "joint 95 % level",
        "Bonferroni over 6 comparisons",
        "Seeds: 3. Test images: 500.",
        "Control: `control-20`",
        "0.5 points",
    ):
        assert words in page


def test_caption_names_different_test_sizes_per_metric(three_runs: pd.DataFrame, written: Written) -> None:
    three_runs.loc[three_runs["attack"] == "cw", "num_samples"] = 100
    page = written(three_runs, WITH_CONTROL)
    assert "500 for clean accuracy, 100 for robust accuracy (cw)" in page


def with_seeds(tidy: Callable[..., pd.DataFrame], num_seeds: int) -> pd.DataFrame:
    wobble = [0.0002 * (seed % 3) for seed in range(num_seeds)]
    same = {"clean": [0.9] * num_seeds, "cw": [0.6] * num_seeds}
    better = {"clean": [0.92] * num_seeds, "cw": [0.6 + each for each in wobble]}
    worse = {"clean": [0.9] * num_seeds, "cw": [0.5 + each for each in wobble]}
    return tidy({"trades": same, "puma-20": better, "pd-12": worse}, num_samples=5000)


def test_caption_warns_of_few_seeds_and_gives_no_verdict(tidy: Callable[..., pd.DataFrame], written: Written) -> None:
    settings = ComparisonSettings(kind="comparison", baseline="trades")
    page = written(with_seeds(tidy, 4), settings)
    assert "too few seeds for a claim" in page
    assert "| yes |" not in page
    assert page.count("| cannot be told |") == 2


def test_five_seeds_carry_a_verdict_without_warning(tidy: Callable[..., pd.DataFrame], written: Written) -> None:
    settings = ComparisonSettings(kind="comparison", baseline="trades")
    rows = written(with_seeds(tidy, 5), settings).splitlines()
    assert "too few seeds" not in "\n".join(rows)
    ends = {line.split("`")[1]: line.split("|")[-2].strip() for line in rows if line.startswith("| `")}
    assert ends == {"trades": "-", "puma-20": "yes", "pd-12": "no"}


@pytest.mark.parametrize(
    ("overlap", "words"), [(None, "measured on the same images"), (0.55, "1/S + 0.55 instead of 1/S")]
)
def test_the_page_says_how_its_intervals_were_made(
    overlap: float | None, words: str, three_runs: pd.DataFrame, answers: Callable[..., Outcomes]
) -> None:
    outcomes, metrics = answers(three_runs, overlap), comparison_metrics(three_runs, WITH_CONTROL)
    family = compare(outcomes, ["puma-20"], WITH_CONTROL, metrics)
    table = comparison_table(three_runs, outcomes, WITH_CONTROL.model_copy(update={"runs": ("puma-20",)}))
    assert words in comparison_page(table, metrics, WITH_CONTROL, family, overlap)


def test_one_seed_is_said_instead_of_an_interval(tidy: Callable[..., pd.DataFrame], written: Written) -> None:
    settings = ComparisonSettings(kind="comparison", baseline="trades")
    page = written(with_seeds(tidy, 1), settings)
    assert "92.00 (one seed)" in page
    assert "+2.00 [no interval: fewer than 3 seeds]" in page
    assert "nan" not in page


def test_figure_is_linked_and_all_files_are_equal_over_two_draws(
    seven_runs: pd.DataFrame,
    measured: Callable[..., Measured],
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    styles = run_styles(seven_runs["run"].tolist())
    written = drawn_twice(lambda: comparison_parts(measured(seven_runs), WITH_CONTROL, styles))
    assert b"](f.png)" in written["f.md"]


def test_a_baseline_alone_gives_a_table_with_nothing_to_compare(three_runs: pd.DataFrame, written: Written) -> None:
    settings = ComparisonSettings(kind="comparison", runs=("trades",), baseline="trades")
    assert "nothing to compare" in written(three_runs, settings)


def test_published_numbers_stand_apart_and_change_nothing_measured(
    three_runs: pd.DataFrame, answers: Callable[..., Outcomes], table_of: Tabled
) -> None:
    plain = ComparisonSettings(kind="comparison", baseline="trades")
    numbers = {"puma-20": PublishedNumbers(clean_accuracy=91.37), "trades": PublishedNumbers(robust_accuracy=58.53)}
    settings = plain.model_copy(update={"published": numbers})
    table, without = table_of(three_runs, settings), table_of(three_runs, plain)
    pd.testing.assert_frame_equal(table[without.columns], without)
    assert table["published_clean_accuracy"].tolist() == pytest.approx([math.nan, 0.9137, math.nan], nan_ok=True)
    assert table["published_robust_accuracy"].tolist() == pytest.approx([0.5853, math.nan, math.nan], nan_ok=True)
    metrics = comparison_metrics(three_runs, settings)
    family = compare(answers(three_runs), ["trades", "puma-20", "control-20"], settings, metrics)
    page = comparison_page(table, metrics, settings, family, None)
    header, _, trades, puma = page.splitlines()[:4]
    assert header.endswith("published (PUMA): clean accuracy (%) | published (PUMA): robust accuracy (%) |")
    assert trades.endswith("| - | 58.53 |")
    assert puma.endswith("| 91.37 | - |")
    assert "no number of this page is computed from them" in page
    assert "published" not in comparison_page(without, metrics, plain, family, None)

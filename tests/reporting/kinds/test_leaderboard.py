import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pumalib.errors import DataError
from pumalib.reporting.figures import figure_style
from pumalib.reporting.kinds.leaderboard import PanelFiles, fingerprint_of, leaderboard_table
from pumalib.reporting.kinds.leaderboard_figure import draw_leaderboard
from pumalib.reporting.kinds.leaderboard_json import Leaderboard, leaderboard_record
from pumalib.reporting.kinds.leaderboard_page import leaderboard_page, leaderboard_summary
from pumalib.reporting.outcomes import Measured
from pumalib.reporting.parts import ReportFiles, ReportParts, write_parts
from pumalib.reporting.settings.leaderboard import LeaderboardSettings

SETTINGS = LeaderboardSettings.model_validate(
    {
        "kind": "leaderboard",
        "attack": "cw",
        "methods": {"random": [80], "better": [80], "alike": [80], "worse": [80]},
        "panels": {"digits-trades": {"runs": "{method}-keep{kept}", "metric": "robust_accuracy"}},
    }
)
RATIO = 0.5
"""Test rows over train rows: each seed has a split of its own, so that a variance can be done by hand."""
RANDOM = [0.600, 0.610, 0.620, 0.610, 0.600]
DIFFERENCES = {
    "better": [0.100, 0.102, 0.098, 0.100, 0.100],
    "alike": [0.010, -0.010, 0.020, -0.020, 0.005],
    "worse": [-0.100, -0.102, -0.098, -0.100, -0.100],
}
Tidy = Callable[..., pd.DataFrame]
Measure = Callable[..., Measured]


def accuracies(num_seeds: int, differences: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    runs = {"random": [0.0] * num_seeds, **differences}
    return {
        f"{method}-keep80": {
            "clean": [0.9] * num_seeds,
            "cw": [one + other for one, other in zip(RANDOM[:num_seeds], values[:num_seeds], strict=True)],
        }
        for method, values in runs.items()
    }


def panels(ratio: float | None = RATIO) -> dict[str, PanelFiles]:
    return {"digits-trades": PanelFiles((), ratio, "digits", "trades")}


def costs(runs: list[str]) -> pd.DataFrame:
    """Return costs: each training takes 1,000 + 1,000 passes, and that of `better` stands on 500 more."""
    whole = {run: 1500 if run.startswith("better") else 1000 for run in runs}
    return pd.DataFrame(
        [
            {"run": run, "part": part, "forward_passes": forward, "backward_passes": 1000}
            for run in runs
            for part, forward in (("training", 1000), ("whole", whole[run]))
        ]
    )


@pytest.fixture
def board(tidy: Tidy, measured: Measure) -> Callable[..., tuple[pd.DataFrame, dict[str, Measured]]]:
    """Return a maker of a table and what it was made from."""

    def make(
        num_seeds: int = 5, differences: dict[str, list[float]] = DIFFERENCES, ratio: float | None = RATIO
    ) -> tuple[pd.DataFrame, dict[str, Measured]]:
        results = tidy(accuracies(num_seeds, differences), 1000)
        found = {"digits-trades": measured(results, ratio)}
        return leaderboard_table(found, panels(ratio), costs(list(dict.fromkeys(results["run"]))), SETTINGS), found

    return make


def test_a_method_ranks_behind_those_that_are_told_to_be_better(board: Callable[..., Any]) -> None:
    table, _ = board()
    assert table["method"].tolist() == ["better", "alike", "random", "worse"]
    assert table["rank"].tolist() == [1, 2, 2, 4]
    assert table["told"].tolist() == ["higher", "cannot be told", "", "lower"]


def test_differences_and_joint_intervals_are_those_done_by_hand(board: Callable[..., Any]) -> None:
    """Nadeau and Bengio's variance over five seeds, and Bonferroni over the three comparisons with random rows."""
    table = board()[0].set_index("method")
    for method, values in DIFFERENCES.items():
        deviation = math.sqrt(np.var(values, ddof=1) * (1 / 5 + RATIO))
        half = stats.t.ppf(1 - 0.05 / 3 / 2, 4) * deviation
        assert table.loc[method, "minus_random"] == pytest.approx(np.mean(values))
        assert table.loc[method, "minus_random_low"] == pytest.approx(np.mean(values) - half)
        assert table.loc[method, "minus_random_high"] == pytest.approx(np.mean(values) + half)
    assert np.isnan(table.loc["random", ["minus_random", "minus_random_low", "minus_random_p"]].astype(float)).all()
    raw = {m: 2 * stats.t.sf(abs(np.mean(v)) / math.sqrt(np.var(v, ddof=1) * 0.7), 4) for m, v in DIFFERENCES.items()}
    assert table.loc["alike", "minus_random_p"] == pytest.approx(raw["alike"], rel=1e-3)  # the last of Holm's steps
    assert table.loc["better", "minus_random_p"] == pytest.approx(3 * raw["better"], rel=1e-3)


def test_means_counts_and_costs_are_those_of_the_run(board: Callable[..., Any]) -> None:
    row = board()[0].set_index("method").loc["better"]
    assert row["mean"] == row["robust_accuracy"] == pytest.approx(0.708)
    assert row["sd"] == pytest.approx(np.std([0.700, 0.712, 0.718, 0.710, 0.700], ddof=1))
    assert (row["clean_accuracy"], row["clean_accuracy_sd"]) == (pytest.approx(0.9), pytest.approx(0))
    assert (row["training_passes"], row["passes"]) == (2000, 2500)
    assert (row["kept"], row["num_kept"], row["num_seeds"], row["num_samples"]) == (80, 800, 5, 1000)
    assert (row["dataset"], row["training"], row["metric"], row["run"]) == (
        "digits",
        "trades",
        "robust_accuracy",
        "better-keep80",
    )


def test_what_is_noise_shares_the_first_rank(board: Callable[..., Any]) -> None:
    noise = {name: [sign * value for value in DIFFERENCES["alike"]] for name, sign in (("better", 1), ("alike", -1))}
    table, _ = board(differences={**noise, "worse": [0.005, 0.01, -0.015, 0.02, -0.01]})
    assert (table["rank"] == 1).all()
    assert set(table["told"]) == {"", "cannot be told"}
    assert "0 are told to be worse, and 3 cannot be told from noise" in leaderboard_summary(table, SETTINGS)
    assert "| 3 of 3 | all |" in leaderboard_summary(table, SETTINGS)


def test_fewer_than_five_seeds_tell_nothing(board: Callable[..., Any]) -> None:
    table, _ = board(num_seeds=4)
    assert (table["rank"] == 1).all()
    assert "fewer than 5 seeds" in leaderboard_summary(table, SETTINGS)
    one, _ = board(num_seeds=1)
    assert np.isnan(one["minus_random_low"].astype(float)).all()
    assert "[no interval: fewer than 3 seeds]" in leaderboard_page(one, SETTINGS, {"digits-trades": RATIO})


def test_two_methods_told_from_each_other_may_both_be_like_random_rows(board: Callable[..., Any]) -> None:
    """The rank of a method is about all others, the star about random rows alone."""
    spread = [0.03, -0.03, 0.02, -0.02, 0.0]
    table, _ = board(
        differences={
            "better": [value + 0.02 for value in spread],
            "alike": spread,
            "worse": [value - 0.02 for value in spread],
        }
    )
    ranks = table.set_index("method")["rank"]
    assert set(table["told"]) == {"", "cannot be told"}
    assert ranks.to_dict() == {"better": 1, "alike": 2, "worse": 3, "random": 1}


def test_a_run_that_keeps_another_share_is_refused(tidy: Tidy, measured: Measure) -> None:
    results = tidy(accuracies(5, DIFFERENCES), 1000)
    results.loc[results["run"] == "worse-keep80", "pruned_fraction"] = 0.6
    with pytest.raises(DataError, match=r'expected run "worse-keep80" to keep 80 % of its rows, got 40\.0 %; correct'):
        leaderboard_table(
            {"digits-trades": measured(results, RATIO)}, panels(), costs(list(set(results["run"]))), SETTINGS
        )


def test_json_holds_the_numbers_of_the_table_and_its_schema_takes_them(board: Callable[..., Any]) -> None:
    table, found = board()
    targets = {run: [f"results/s/attacks/{run}/seed{seed}/cw.h5" for seed in (0, 1)] for run in table["run"]}
    record = json.loads(json.dumps(leaderboard_record(table, "s", fingerprint_of(found), targets), allow_nan=False))
    read = Leaderboard.model_validate(record)
    assert (read.format, read.study, len(read.fingerprint)) == ("puma-leaderboard-1", "s", 64)
    assert [each.method for each in read.standings] == table["method"].tolist()
    first, _, random, _ = read.standings
    assert random.difference is None
    assert first.difference is not None
    assert first.difference.value == pytest.approx(0.1)
    assert first.difference.interval == pytest.approx(
        tuple(table.iloc[0][["minus_random_low", "minus_random_high"]].astype(float))
    )
    assert (first.kept, first.rows, first.seeds, first.images, first.passes) == (80, 800, 5, 1000, 2500)
    assert first.command == (
        "puma run STUDY -- results/s/attacks/better-keep80/seed0/cw.h5 results/s/attacks/better-keep80/seed1/cw.h5"
    )


def test_what_is_not_known_is_null_in_json(board: Callable[..., Any]) -> None:
    table, found = board(num_seeds=1)
    table["passes"] = math.nan
    record = leaderboard_record(table, "s", fingerprint_of(found), {run: ["a"] for run in table["run"]})
    first = record["standings"][0]
    assert (first["sd"], first["passes"]) == (None, None)
    assert (first["difference"]["interval"], first["difference"]["p"]) == (None, None)


def test_the_fingerprint_is_that_of_every_answer(board: Callable[..., Any]) -> None:
    _, found = board()
    _, again = board()
    assert fingerprint_of(found) == fingerprint_of(again)
    answers = dict(found["digits-trades"].outcomes.answers)
    key = next(iter(answers))
    flipped = replace(answers[key][0], correct=~answers[key][0].correct)
    answers[key] = {**answers[key], 0: flipped}
    outcomes = replace(found["digits-trades"].outcomes, answers=answers)
    other = {"digits-trades": found["digits-trades"]._replace(outcomes=outcomes)}
    assert fingerprint_of(other) != fingerprint_of(again)


def test_the_page_says_what_wins_and_what_is_noise(board: Callable[..., Any]) -> None:
    table, _ = board()
    summary = leaderboard_summary(table, SETTINGS)
    assert "1 is told to be better, 1 is told to be worse, and 1 cannot be told from noise.**" in summary
    assert "| digits-trades | 80 | `better` | `worse` | 1 of 3 | `better` |" in summary
    page = leaderboard_page(table, SETTINGS, {"digits-trades": RATIO})
    assert "# digits-trades\n\n`trades` on `digits`, ranked by robust accuracy. Seeds: 5. Test images: 1000." in page
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    assert lines["`better`"].startswith("| `better` | 80 | 1 | 90.00 ± 0.00 | 70.80 ± 0.79 | +10.00* [")
    assert lines["`random`"] == "| `random` | 80 | 2 | 90.00 ± 0.00 | 60.80 ± 0.84 | - | 0.00 | 0.00 |"


def test_a_mark_is_filled_where_a_difference_is_told(board: Callable[..., Any]) -> None:
    table, _ = board()
    figure = draw_leaderboard(table, SETTINGS)
    with figure_style():
        figure.canvas.draw()
    (axes,) = figure.axes
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    heights = [float(np.asarray(line.get_ydata())[0]) for line in marks]
    np.testing.assert_allclose(sorted(heights), [-10, 0.1, 10], atol=1e-9)
    filled = {round(height): line.get_markerfacecolor() != "white" for height, line in zip(heights, marks, strict=True)}
    assert filled == {10: True, 0: False, -10: True}
    assert len({(line.get_color(), line.get_marker()) for line in marks}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["better", "alike", "worse"]
    assert axes.get_ylim()[0] < -10
    assert axes.get_ylim()[1] > 10


def test_the_key_names_the_methods_of_the_panels_alone_in_their_usual_looks(board: Callable[..., Any]) -> None:
    table, _ = board()
    whole = {text.get_text(): line.get_color() for text, line in _key(table)}
    part = {text.get_text(): line.get_color() for text, line in _key(table[table["method"] != "better"])}
    assert list(whole) == ["better", "alike", "worse"]
    assert part == {method: whole[method] for method in ("alike", "worse")}


def _key(table: pd.DataFrame) -> list[Any]:
    (legend,) = draw_leaderboard(table, SETTINGS).legends
    return list(zip(legend.get_texts(), legend.get_lines(), strict=True))


def test_json_is_written_beside_the_other_files(board: Callable[..., Any], tmp_path: Any) -> None:
    table, found = board()
    record = leaderboard_record(table, "s", fingerprint_of(found), {run: ["a"] for run in table["run"]})
    parts = ReportParts(table, draw_leaderboard(table, SETTINGS), "title", "text", json=record)
    write_parts(
        parts, ReportFiles(*(tmp_path / f"b.{form}" for form in ("csv", "md", "png", "svg")), json=tmp_path / "b.json")
    )
    assert json.loads((tmp_path / "b.json").read_text()) == record
    assert (tmp_path / "b.json").read_text().endswith("}\n")

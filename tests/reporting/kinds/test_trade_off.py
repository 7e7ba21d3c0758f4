from collections.abc import Callable
from itertools import combinations

import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.figures import figure_style
from pumalib.reporting.kinds.trade_off import (
    draw_trade_off,
    trade_off_caption,
    trade_off_parts,
    trade_off_points,
    trade_off_table,
)
from pumalib.reporting.outcomes import Measured, Outcomes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.trade_off import TradeOffSettings

SETTINGS = TradeOffSettings(kind="trade_off", baseline="trades", attack="cw")
STYLES = run_styles(["trades", "random-20", "pe-20", "pd-12", "pe+pd", "puma-20", "control-20"])


def test_plotted_numbers_equal_those_done_by_hand(three_runs: pd.DataFrame) -> None:
    table = trade_off_table(trade_off_points(three_runs, SETTINGS), SETTINGS)
    puma = table[table["run"] == "puma-20"]
    assert puma["clean_accuracy"].tolist() == [0.91, 0.93, 0.95]
    assert puma["robust_accuracy"].tolist() == [0.60, 0.60, 0.60]
    assert puma["clean_accuracy_mean"].tolist() == pytest.approx([0.93] * 3)
    assert puma["clean_accuracy_sd"].tolist() == pytest.approx([0.02] * 3)
    assert puma["robust_accuracy_sd"].tolist() == pytest.approx([0.0] * 3, abs=1e-12)


def test_the_baseline_is_always_drawn(three_runs: pd.DataFrame) -> None:
    points = trade_off_points(three_runs, SETTINGS.model_copy(update={"runs": ("puma-20",)}))
    assert list(dict.fromkeys(points["run"])) == ["trades", "puma-20"]


def test_what_is_missing_is_refused_with_the_nearest_name(three_runs: pd.DataFrame) -> None:
    with pytest.raises(DataError, match='no attack "cww"; did you mean "cw"'):
        trade_off_points(three_runs, SETTINGS.model_copy(update={"attack": "cww"}))
    with pytest.raises(DataError, match='no run "tradess"; did you mean "trades"'):
        trade_off_points(three_runs, SETTINGS.model_copy(update={"baseline": "tradess"}))
    is_lost = (three_runs["run"] == "puma-20") & (three_runs["attack"] == "cw") & (three_runs["seed"] == 2)
    with pytest.raises(DataError, match=r'run "puma-20".*not both for seed 2'):
        trade_off_points(three_runs[~is_lost], SETTINGS)


def test_labels_of_seven_runs_do_not_cover_each_other_and_stay_inside(seven_runs: pd.DataFrame) -> None:
    figure = draw_trade_off(trade_off_points(seven_runs, SETTINGS), SETTINGS, STYLES)
    with figure_style():
        figure.canvas.draw()
        (axes,) = figure.axes
        boxes = {text.get_text(): text.get_window_extent() for text in axes.texts if text.get_text()}
    assert set(boxes) == {"trades (baseline)", *set(seven_runs["run"]) - {"trades"}}
    assert not [names for names in combinations(boxes, 2) if boxes[names[0]].overlaps(boxes[names[1]])]
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes.values())


def test_all_files_are_equal_over_two_draws(
    seven_runs: pd.DataFrame,
    measured: Callable[..., Measured],
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    drawn_twice(lambda: trade_off_parts(measured(seven_runs), SETTINGS, STYLES))


def test_caption_warns_of_few_seeds_only(tidy: Callable[..., pd.DataFrame], answers: Callable[..., Outcomes]) -> None:
    for num_seeds, warns in ((1, True), (4, True), (5, False)):
        results = tidy({"trades": {"clean": [0.9] * num_seeds, "cw": [0.6] * num_seeds}})
        points = trade_off_points(results, SETTINGS)
        assert ("too few seeds for a claim" in trade_off_caption(points, answers(results), SETTINGS)) == warns


def test_a_single_run_of_a_single_seed_can_be_drawn(
    tidy: Callable[..., pd.DataFrame],
    measured: Callable[..., Measured],
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    results = tidy({"trades": {"clean": [0.9], "cw": [0.6]}})
    drawn_twice(lambda: trade_off_parts(measured(results), SETTINGS, STYLES))

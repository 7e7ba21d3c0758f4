from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.figures import figure_style
from pumalib.reporting.kinds.cost_frontier import cost_frontier_page, cost_frontier_table, draw_cost_frontier
from pumalib.reporting.outcomes import Measured
from pumalib.reporting.settings.cost_frontier import CostFrontierSettings

SETTINGS = CostFrontierSettings(
    kind="cost_frontier", baseline="trades", attack="cw", frontiers={"a-knob": ("trades", "control-20")}
)
STYLES = run_styles(["trades", "puma-20", "control-20"])
Measure = Callable[[pd.DataFrame], Measured]


@pytest.fixture
def costs() -> pd.DataFrame:
    """Return costs of three runs: a training of 1,000 + 1,000 passes, one of half, one of a quarter that scored."""
    passes = {"trades": (1000, 1000, 0), "control-20": (500, 500, 0), "puma-20": (300, 200, 250)}
    rows = [
        {"run": run, "part": part, "forward_passes": forward + more, "backward_passes": backward}
        for run, (forward, backward, scored) in passes.items()
        for part, more in (("training", 0), ("score", scored - forward), ("whole", scored))
    ]
    return pd.DataFrame(rows)


def test_numbers_equal_those_done_by_hand(three_runs: pd.DataFrame, costs: pd.DataFrame, measured: Measure) -> None:
    table = cost_frontier_table(measured(three_runs), costs, SETTINGS).set_index("run")
    assert list(table.index) == ["trades", "puma-20", "control-20"]
    assert table["training_passes"].tolist() == [2000, 500, 1000]
    assert table["of_baseline"].tolist() == [1, 0.25, 0.5]
    assert table["whole_of_baseline"].tolist() == [1, 0.375, 0.5]
    np.testing.assert_allclose(table["robust_accuracy"], [0.61, 0.60, 0.60])
    np.testing.assert_allclose(table["minus_baseline"], [0, -0.01, -0.01], atol=1e-12)
    assert np.isnan(table.loc["trades", "minus_baseline_low"])
    own = table.loc["control-20"]  # a point less with every seed, on the same images: an interval around one point
    assert own["minus_baseline_low"] < -0.01 < own["minus_baseline_high"] < 0.01
    assert (table["num_seeds"] == 3).all()
    assert (table["num_samples"] == 500).all()


def test_intervals_of_differences_are_joint(three_runs: pd.DataFrame, costs: pd.DataFrame, measured: Measure) -> None:
    """Two differences share 5 %: each of them is wider than alone."""
    found = measured(three_runs)
    metric = next(metric for run, metric in found.outcomes.answers if metric.attack == "cw")
    alone = found.outcomes.difference("control-20", "trades", metric).interval()
    table = cost_frontier_table(found, costs, SETTINGS).set_index("run")
    joint = table.loc["control-20", ["minus_baseline_low", "minus_baseline_high"]]
    assert joint.iloc[0] < alone.low
    assert joint.iloc[1] > alone.high


def test_the_page_holds_the_numbers_of_the_table(
    three_runs: pd.DataFrame, costs: pd.DataFrame, measured: Measure
) -> None:
    page = cost_frontier_page(cost_frontier_table(measured(three_runs), costs, SETTINGS), SETTINGS, None)
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("| `")}
    assert lines["`trades`"] == "| `trades` | 2,000 | 100 | 100 | 91.00 | 61.00 | - |"
    assert lines["`puma-20`"].startswith("| `puma-20` | 500 | 25 | 38 | 93.00 | 60.00 | -1.00 [")
    assert "Seeds per run: 3. Images: 500." in page
    assert "(Bonferroni over 2 comparisons)" in page
    assert "All seeds are measured on the same images" in page


def test_every_run_is_drawn_at_its_cost_and_the_whole_beside_it(
    three_runs: pd.DataFrame, costs: pd.DataFrame, measured: Measure
) -> None:
    figure = draw_cost_frontier(cost_frontier_table(measured(three_runs), costs, SETTINGS), SETTINGS, STYLES)
    with figure_style():
        figure.canvas.draw()
    (axes,) = figure.axes
    points = {(round(float(x), 6), round(float(y), 6)) for line in axes.lines for x, y in line.get_xydata()}
    assert {(100, 61), (25, 60), (50, 60), (37.5, 60)} <= points
    assert {text.get_text() for text in axes.texts if text.get_text()} == {"trades", "puma-20", "control-20"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a-knob"]
    assert axes.get_xlabel() == "passes of the training (% of trades)"


def test_a_run_that_is_not_there_is_refused(three_runs: pd.DataFrame, costs: pd.DataFrame, measured: Measure) -> None:
    with pytest.raises(DataError, match='no run "tradess"; did you mean "trades"'):
        cost_frontier_table(measured(three_runs), costs, SETTINGS.model_copy(update={"baseline": "tradess"}))

"""Every figure is fit to print: texts that are large enough, inside, apart; colours with one meaning."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

import pumalib.reporting.kinds
from pumalib.reporting import figures
from pumalib.reporting.axis_limits import limits_of_differences, runs_far_off
from pumalib.reporting.colours import CYCLE, SOURCE_COLOURS, run_styles
from tests.reporting.figure_examples import FIGURES, OTHERS, trade_off_figure
from tests.reporting.figure_rules import broken_rules

PARTS = {
    "comparison_page",
    "cost_page",
    "generated_rows_figure",
    "generated_rows_measures",
    "generated_rows_page",
    "leaderboard_figure",
    "leaderboard_json",
    "leaderboard_page",
    "trade_off_frontiers",
}
"""Modules beside the kinds that are parts of one."""


def test_there_is_an_example_of_every_kind() -> None:
    (folder,) = pumalib.reporting.kinds.__path__
    kinds = {path.stem for path in Path(folder).glob("*.py")} - {"__init__"} - PARTS
    assert set(FIGURES) == kinds


@pytest.mark.parametrize("name", [*FIGURES, *OTHERS])
def test_texts_are_large_enough_inside_and_apart(name: str) -> None:
    assert broken_rules((FIGURES | OTHERS)[name]()) == []


def test_the_rules_notice_small_far_and_covered_texts() -> None:
    figure = figures.new_sheet(3.0, 1.0)
    for x, y, text, size in (
        (0.1, 0.5, "one", 8),
        (0.11, 0.5, "two", 8),
        (0.95, 0.2, "outside", 8),
        (0.5, 0.1, "x", 4),
    ):
        figure.text(x, y, text, fontsize=size)
    assert broken_rules(figure) == [
        "'x' is 4.0 points tall in print",
        "'outside' leaves the figure",
        "'one' and 'two' cover each other",
    ]


def test_vermilion_is_puma_and_green_a_control_and_nothing_else() -> None:
    puma, control = (run_styles([name])[name].colour for name in ("puma-20", "control-20"))
    others = run_styles([f"method {letter}" for letter in "abcdefghijklmnop"])
    colours = {style.colour for style in others.values()} | set(SOURCE_COLOURS.values()) | set(CYCLE)
    assert not {puma, control} & colours


def test_a_line_that_nothing_gives_a_colour_has_one_of_the_house() -> None:
    with figures.figure_style():
        _, (axes,) = figures.new_figure(2, 2)
        assert [to_hex(axes.plot([0, 1])[0].get_color()) for _ in CYCLE] == list(CYCLE)


def test_a_run_far_off_all_others_does_not_set_the_axes() -> None:
    figure = trade_off_figure()
    assert figure.axes[0].get_ylim()[0] > 60
    assert [text for text in words(figure) if text.startswith("mean-20 at 9")]


def test_only_one_of_four_runs_and_never_the_baseline_stands_beyond_the_axes() -> None:
    near = {name: np.array([[80.0 + place, 70.0]]) for place, name in enumerate("abc")}
    far = {"d": np.array([[81.0, 20.0]])}
    assert runs_far_off(near | far) == ["d"]
    assert runs_far_off(near | far, kept=["d"]) == []
    assert runs_far_off({"a": near["a"], "b": near["b"], **far}) == []
    assert runs_far_off(near) == []


@pytest.mark.parametrize(
    ("means", "ends", "limit"),
    [
        ([1.0, -2.0], [-3.0, 4.0], 4.0),
        ([1.0, -2.0], [-60.0, 60.0], 6.0),
        ([0.0], [-5.0, 5.0], 5.0),
        ([1.0], [np.nan], 1.0),
    ],
)
def test_an_axis_of_differences_goes_by_the_points(means: list[float], ends: list[float], limit: float) -> None:
    assert limits_of_differences(means, ends) == pytest.approx((-1.08 * limit, 1.08 * limit))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("name", [*FIGURES, *OTHERS])
def test_no_figure_speaks_the_language_of_the_files(name: str) -> None:
    told = " ".join(words((FIGURES | OTHERS)[name]()))
    assert not [
        jargon for jargon in ("cut 0", "a hexagon", "an image,", "easiest 20 % by margin easiest") if jargon in told
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(1e-5, "0.00001"), (0.01, "0.01"), (20, "20"), (10_000, "10,000"), (5e7, "50 million")]
)
def test_ticks_are_plain_numbers(value: float, text: str) -> None:
    assert figures.plain_number(value) == text

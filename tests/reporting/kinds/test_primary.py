"""The report of the primary contrast: its verdicts by hand, and its words."""

from collections.abc import Callable

import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import equivalence
from pumalib.reporting.kinds.primary import draw_primary, primary_page, primary_table
from pumalib.reporting.outcomes import Outcomes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.primary import Contrast, settle, verdict, verdict_sentence

CONTRAST = Contrast("puma-20", "shuffled-20", "robust_accuracy", "cw", 0.005)
STYLES = run_styles(["puma-20", "shuffled-20"])


@pytest.fixture
def outcomes(tidy: Callable[..., pd.DataFrame], answers: Callable[..., Outcomes]) -> Outcomes:
    """Return two runs over five seeds and 5,000 images; puma-20 has one image more right with each seed."""
    shuffled = [0.60, 0.61, 0.62, 0.60, 0.61]
    puma = [value + 0.0002 for value in shuffled]
    accuracies = {
        "puma-20": {"clean": [0.9] * 5, "cw": puma},
        "shuffled-20": {"clean": [0.9] * 5, "cw": shuffled},
    }
    return answers(tidy(accuracies, num_samples=5000))


@pytest.mark.parametrize(
    ("value", "num_seeds", "word"),
    [
        (0.0, 5, "equivalent"),
        (0.004, 5, "not inferior"),
        (0.02, 5, "better"),
        (-0.004, 5, "cannot be told"),
        (-0.02, 5, "inferior"),
        (0.0, 4, "cannot be told"),
        (0.0, 2, "cannot be told"),
    ],
)
def test_the_verdict_says_what_the_tests_show_and_no_more(value: float, num_seeds: int, word: str) -> None:
    tested = equivalence(Estimate(value, 0.001**2, 0.0, num_seeds, 1000, -1, 1), 0.005)
    assert verdict(tested) == word
    assert verdict_sentence(CONTRAST, tested).startswith(f"**Primary contrast: {word}.**")


def test_few_seeds_are_said_instead_of_a_verdict_and_of_an_interval() -> None:
    tested = equivalence(Estimate(0.0, 0.001**2, 0.0, 2, 1000, -1, 1), 0.005)
    sentence = verdict_sentence(CONTRAST, tested)
    assert "fewer than 5 seeds support no claim" in sentence
    assert "no interval: fewer than 3 seeds" in sentence


def test_an_interval_that_holds_both_margins_is_never_called_equivalence() -> None:
    tested = equivalence(Estimate(0.0, 0.02**2, 0.0, 10, 1000, -1, 1), 0.005)
    assert tested.estimate.p_value() == 1
    assert verdict(tested) == "cannot be told"


def test_the_table_has_the_contrast_its_tests_and_counts(outcomes: Outcomes) -> None:
    (row,) = primary_table(CONTRAST, settle(CONTRAST, outcomes)).to_dict("records")
    assert row["difference"] == pytest.approx(0.0002)
    assert (row["num_seeds"], row["num_samples"]) == (5, 5000)
    assert row["verdict"] == "equivalent"
    assert row["p_equivalent"] == max(row["p_not_inferior"], row["p_not_superior"]) < 0.05
    assert -0.005 < row["low"] < row["difference"] < row["high"] < 0.005


def test_the_page_and_the_figure_show_the_margins(
    outcomes: Outcomes, drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    tested = settle(CONTRAST, outcomes)
    page = primary_page(CONTRAST, tested, outcomes, ["a warning"])
    assert "`puma-20` against `shuffled-20`, robust accuracy (cw): +0.02 points, 90 % interval [" in page
    assert "| loss of 0.5 points or more | < 0.0001 | not inferior |" in page
    assert page.endswith("a warning")
    figure = draw_primary(CONTRAST, tested, STYLES)
    places = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert {-0.5, 0.5, 0} <= {round(float(place), 6) for place in places}
    drawn_twice(
        lambda: ReportParts(
            primary_table(CONTRAST, tested), draw_primary(CONTRAST, tested, STYLES), "The primary contrast", page
        )
    )


def test_a_run_that_was_not_measured_so_is_refused(outcomes: Outcomes) -> None:
    with pytest.raises(DataError, match=r'no robust accuracy \(pgd\) of run "puma-20"'):
        settle(Contrast("puma-20", "shuffled-20", "robust_accuracy", "pgd", 0.005), outcomes)

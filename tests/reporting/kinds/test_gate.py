"""The gate: when a smaller epsilon is better in both accuracies, and what the page says then."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pumalib.reporting.colours import run_styles
from pumalib.reporting.gate import Weaker, verdict_sentence, weigh
from pumalib.reporting.kinds.gate import draw_gate, gate_page, gate_table
from pumalib.reporting.outcomes import Answers, Outcomes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import CLEAN_ACCURACY, Metric, robust_accuracy
from pumalib.reporting.settings.gate import Gate
from pumalib.reporting.study_page import write_study_page

GATE = Gate(run="trades", weaker=("trades-6",), attack="cw")


def outcomes_of(clean: dict[str, list[list[int]]], robust: dict[str, list[list[int]]]) -> Outcomes:
    """Return outcomes from whether each seed was right about each image: run -> seeds -> images."""
    found: dict[tuple[str, Metric], dict[int, Answers]] = {}
    for metric, runs in ((CLEAN_ACCURACY, clean), (robust_accuracy("cw"), robust)):
        for run, seeds in runs.items():
            for seed, right in enumerate(seeds):
                image, correct = np.arange(len(right)), np.array(right, bool)
                was_clean = np.array(clean[run][seed], bool)
                found.setdefault((run, metric), {})[seed] = Answers(image, image % 2, correct, was_clean)
    return Outcomes(found, None)


def right(count: int, of: int = 100) -> list[int]:
    return [1] * count + [0] * (of - count)


def weighed(clean: tuple[int, int], robust: tuple[int, int], num_seeds: int = 1) -> Weaker:
    """Weigh a weaker run whose right images are those of the plain run and the next ones."""
    accuracies = [
        {"trades": [right(one)] * num_seeds, "trades-6": [right(two)] * num_seeds} for one, two in (clean, robust)
    ]
    (found,) = weigh("trades", ["trades-6"], "cw", outcomes_of(*accuracies))
    return found


def test_error_of_one_seed_is_that_of_its_images() -> None:
    found = weighed((90, 94), (50, 58))
    # 4 of 100 differences are 1: variance 0.04 - 0.04^2 with n - 1, over 100 images.
    assert found.clean.value == pytest.approx(0.04)
    assert found.clean.standard_error == pytest.approx((0.04 * 0.96 * 100 / 99 / 100) ** 0.5)
    assert found.robust.standard_error == pytest.approx((0.08 * 0.92 * 100 / 99 / 100) ** 0.5)


def test_error_of_three_seeds_that_answer_alike_is_that_of_their_images() -> None:
    found = weighed((90, 94), (50, 58), num_seeds=3)
    # No variance over seeds; of the image means 0.04 * 0.96 * 100 / 99, over 100 images.
    assert found.clean.standard_error == pytest.approx((0.04 * 0.96 / 99) ** 0.5)


@pytest.mark.parametrize(
    ("clean", "robust", "dominates"),
    [
        ((90, 94), (50, 58), True),
        ((90, 94), (50, 50), False),
        ((90, 90), (50, 58), False),
        ((90, 94), (58, 50), False),
        ((90, 91), (50, 58), False),  # 1 of 100 is no more than its standard error, 0.01
        ((90, 92), (50, 58), True),  # 0.02 against 0.0141
    ],
)
def test_a_smaller_epsilon_dominates_by_more_than_one_standard_error_in_both(
    clean: tuple[int, int], robust: tuple[int, int], dominates: bool
) -> None:
    assert weighed(clean, robust).dominates is dominates


def test_page_of_a_failed_gate_begins_with_it_and_so_does_the_study(tmp_path: Path) -> None:
    found = [weighed((90, 94), (50, 58))]
    outcomes = outcomes_of({"trades": [right(90)]}, {"trades": [right(50)]})
    page = gate_page(GATE, found, outcomes, 100, "**12.0 %** of the margins are negative.")
    assert page.startswith("**Gate failed.** `trades-6`, the same training at a smaller epsilon, beats `trades`")
    assert "+4.00 ± 1.97 points clean and +8.00 ± 2.73 points robust" in page
    assert "| `trades-6` | +4.00 ± 1.97 | +8.00 ± 2.73 | yes |" in page
    assert "100 validation rows are few (2000 are advised)" in page
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/gate.md").write_text(page)
    write_study_page("About.", tmp_path / "results.csv", [tmp_path / "reports/gate.md"], [], tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text().split("\n\n")[1:3] == [page.split("\n\n")[0], "About."]


def test_page_of_a_passed_gate_raises_no_alarm() -> None:
    found = weighed((90, 94), (58, 50))
    sentence = verdict_sentence("trades", [found], 2500)
    assert sentence.startswith("**Gate passed.** No smaller epsilon beats `trades` in both accuracies")
    assert "2500 validation rows" in sentence


def test_the_worst_of_several_smaller_epsilons_is_named() -> None:
    small, large = weighed((90, 94), (50, 54)), weighed((90, 96), (50, 58))
    sentence = verdict_sentence("trades", [small, replace(large, run="trades-4")], 100)
    assert "`trades-4`" in sentence


def test_report_is_drawn_and_twice_the_same(drawn_twice: Callable[..., dict[str, bytes]]) -> None:
    found = [weighed((90, 94), (50, 58)), replace(weighed((90, 96), (58, 50)), run="trades-4")]
    styles = run_styles(["trades", "trades-6", "trades-4"])
    outcomes = outcomes_of({"trades": [right(90)]}, {"trades": [right(50)]})

    def make() -> ReportParts:
        table, page = gate_table(GATE, found, 100, 1), gate_page(GATE, found, outcomes, 100, "")
        return ReportParts(table, draw_gate(GATE, found, styles), "title", "", text_above=page)

    contents = drawn_twice(make)
    assert contents["f.csv"].decode().splitlines()[0] == (
        "run,weaker,attack,clean_gain,clean_standard_error,robust_gain,robust_standard_error,dominates,num_seeds,num_rows"
    )

"""Two results held against each other, beside numbers done by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from made_results import MadeResults
from scipy import stats

from pumalib.across.accuracies import read_side
from pumalib.across.differences import Comparison, Line, compare_results
from pumalib.errors import ArtifactError, DataError

CORRECT = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 0]])
BASELINE = np.array([[1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 0, 0]])
SEEDS = (0, 1, 2)


@pytest.fixture
def first(tmp_path: Path) -> MadeResults:
    made = MadeResults(tmp_path / "results/first")
    made.attack("trades", SEEDS, BASELINE)
    return made


@pytest.fixture
def second(tmp_path: Path) -> MadeResults:
    return MadeResults(tmp_path / "results/second")


def compared(first: MadeResults, second: MadeResults, **options: bool | dict[str, str]) -> Comparison:
    return compare_results(read_side(first.collect()), read_side(second.collect()), **options)  # type: ignore[arg-type]


def line_of(comparison: Comparison, attack: str) -> Line:
    (line,) = [line for line in comparison.lines if line.metric.attack == attack]
    return line


def test_difference_on_the_same_seeds_and_images_is_paired_and_equals_one_done_by_hand(
    first: MadeResults, second: MadeResults
) -> None:
    second.attack("trades", SEEDS, CORRECT)
    comparison = compared(first, second)
    line = line_of(comparison, "cw")
    assert line.paired_by == "seed and image"
    assert line.difference == pytest.approx(11 / 18 - 8 / 18)
    assert line.summaries[1].mean == pytest.approx(11 / 18)
    assert line.summaries[1].standard_deviation == pytest.approx(np.std([4 / 6, 4 / 6, 3 / 6], ddof=1))
    # Each seed gains 1/6, so that seeds add nothing; images: (0.76667 - 0.26667) / 18 = 1/36, two comparisons
    half = stats.t.isf(0.05 / 4, 5) / 6
    assert line.compared is not None
    assert line.compared.interval == pytest.approx((1 / 6 - half, 1 / 6 + half))
    assert comparison.num_compared == 2
    assert (comparison.alone, comparison.notes) == ([], [])


def test_splits_of_their_own_are_paired_by_seed_and_corrected_for_their_overlap(tmp_path: Path) -> None:
    sides = [MadeResults(tmp_path / name, is_seeded=True) for name in ("a", "b")]
    sides[0].attack("trades", SEEDS, [[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]] * 3)
    sides[1].attack("trades", SEEDS, [[1, 1] + [1] * 8, [1, 0] + [1] * 8, [0, 0] + [1] * 8])
    line = line_of(compared(*sides), "cw")
    assert line.paired_by == "seed and image"
    # gains 0.2, 0.1 and 0: sd 0.1; test over train rows: 0.5 / (0.5 * 0.8)
    half = stats.t.isf(0.05 / 4, 2) * 0.1 * math.sqrt(1 / 3 + 1.25)
    assert line.compared is not None
    assert line.compared.interval == pytest.approx((0.1 - half, 0.1 + half))


def test_other_seeds_are_not_paired_and_both_variances_add_up(first: MadeResults, second: MadeResults) -> None:
    second.attack("trades", (3, 4, 5, 6), np.array([[1, 1, 1, 1, 1, 0]] * 2 + [[1, 1, 1, 1, 0, 0]] * 2))
    line = line_of(compared(first, second), "cw")
    assert line.paired_by == "nothing: other seeds"
    assert line.compared is not None
    halves = []
    for accuracy in (line.first, line.second):
        alone = accuracy.mean()
        halves.append(math.sqrt(
            stats.t.isf(0.05 / 4, alone.num_seeds - 1) ** 2 * alone.seed_variance
            + stats.t.isf(0.05 / 4, 5) ** 2 * alone.image_variance
        ))  # fmt: skip
    low, high = line.compared.interval
    assert low == pytest.approx(0.75 - 8 / 18 - math.hypot(*halves))
    assert high == pytest.approx(min(1, 0.75 - 8 / 18 + math.hypot(*halves)))


def test_seeds_in_common_are_paired_where_asked_for(first: MadeResults, second: MadeResults) -> None:
    second.attack("trades", (1, 2, 3), CORRECT)
    assert line_of(compared(first, second), "cw").paired_by == "nothing: other seeds"
    line = line_of(compared(first, second, common_seeds=True), "cw")
    assert line.paired_by == "seed and image"
    assert list(line.first.values) == list(line.second.values) == [1, 2]
    assert line.difference == pytest.approx((4 + 4 - 3 - 2) / 12)  # rows 0, 1 of the one and 1, 2 of the other


def test_other_images_under_the_same_seeds_are_never_paired(first: MadeResults, tmp_path: Path) -> None:
    other = MadeResults(tmp_path / "results/other", images="others")
    other.attack("trades", SEEDS, CORRECT)
    assert {line.paired_by for line in compared(first, other).lines} == {"nothing: other images"}
    some = MadeResults(tmp_path / "results/some")
    some.attack("trades", SEEDS, CORRECT[:, :5])  # fewer of them
    assert {line.paired_by for line in compared(first, some).lines} == {"nothing: other images"}


def test_without_attack_tables_there_are_means_and_no_interval(first: MadeResults, second: MadeResults) -> None:
    second.attack("trades", SEEDS, CORRECT)
    results = second.collect()
    for path in second.folder.glob("attacks/*/*/*"):
        path.unlink()
    for folder in sorted(second.folder.glob("attacks/**/"), reverse=True):
        folder.rmdir()
    comparison = compare_results(read_side(first.collect()), read_side(results))
    line = line_of(comparison, "cw")
    assert (line.paired_by, line.compared) == ("nothing: images not known", None)
    assert line.difference == pytest.approx(1 / 6)
    assert comparison.notes[0].startswith("no interval without attack tables: ")


def test_dataset_that_would_tell_how_splits_overlap_is_asked_for(tmp_path: Path) -> None:
    sides = [MadeResults(tmp_path / name, is_seeded=True) for name in ("a", "b")]
    for side in sides:
        side.attack("trades", SEEDS, CORRECT)
    paths = [side.collect() for side in sides]
    (tmp_path / "b/datasets/digits/seed0.h5").unlink()
    comparison = compare_results(*map(read_side, paths))
    assert [line.compared for line in comparison.lines] == [None, None]
    assert "the dataset behind" in comparison.notes[0]


def test_accuracies_in_other_balls_are_told_apart(first: MadeResults, second: MadeResults) -> None:
    second.threat = {"norm": "linf", "epsilon": 0.05}
    second.attack("trades", SEEDS, CORRECT)
    comparison = compared(first, second)
    assert [line.metric.attack for line in comparison.lines] == ["none"]
    told = [(each.side, each.run, each.measured) for each in comparison.alone]
    assert told == [
        ("first", "trades", "robust accuracy (cw) at L-inf 0.1"),
        ("second", "trades", "robust accuracy (cw) at L-inf 0.05"),
    ]


def test_attack_of_one_name_with_other_steps_is_noted(first: MadeResults, second: MadeResults) -> None:
    second.settings["steps"] = 40
    second.attack("trades", SEEDS, CORRECT)
    assert compared(first, second).notes == ["attack cw is not the same on both sides: steps 10 -> 40"]


def test_runs_of_one_side_alone_are_named(first: MadeResults, second: MadeResults) -> None:
    second.attack("trades", SEEDS, CORRECT)
    first.attack("old", SEEDS, CORRECT)
    second.attack("new", SEEDS, CORRECT)
    assert [(each.side, each.run) for each in compared(first, second).alone] == [("first", "old"), ("second", "new")]


def test_runs_of_other_names_are_compared_where_they_are_said_to_be_alike(
    first: MadeResults, second: MadeResults
) -> None:
    second.attack("plain", SEEDS, CORRECT)
    with pytest.raises(DataError, match=r"expected runs of one name in both, got trades in .*--runs trades=plain"):
        compared(first, second)
    line = line_of(compared(first, second, runs={"trades": "plain"}), "cw")
    assert (line.first.run, line.second.run, line.paired_by) == ("trades", "plain", "seed and image")
    with pytest.raises(DataError, match=r'expected a run of .*second/results.csv, got "plan"; did you mean "plain"'):
        compared(first, second, runs={"trades": "plan"})


def test_a_number_that_its_attack_table_does_not_give_is_refused(first: MadeResults, second: MadeResults) -> None:
    second.attack("trades", SEEDS, CORRECT)
    second.collect()
    path = second.folder / "results.csv"
    (second.folder / ".results.csv.sha256").unlink()
    path.write_text(path.read_text().replace("0.6666666666666666", "0.9", 1))
    with pytest.raises(
        ArtifactError, match=r"expected robust accuracy \(cw\) 0.666667 of trades, seed 0, as .* 0.9 in"
    ):
        compare_results(read_side(first.collect()), read_side(path))


def test_another_table_is_no_results_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ArtifactError, match=r"expected results.csv of a study at .*x.csv: .* lacks study, run"):
        read_side(tmp_path / "x.csv")

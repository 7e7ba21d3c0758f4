from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pumalib.errors import ArtifactError
from pumalib.perceptron.ratios import error_ratios, ratio_cell
from pumalib.perceptron.reports import write_report
from pumalib.perceptron.settings import PerceptronSettings
from pumalib.perceptron.stage import rows_at, student_errors, write_shard
from pumalib.perceptron.table import COLUMNS, Line, envelope, join_errors, lines_of, read_errors, write_errors

GRID = PerceptronSettings(
    num_features=10,
    students={"online": {}, "hard_margin": {}, "logistic": {"steps": 12}},
    epsilons=(0.0, 0.05),
    kept_fractions=(0.5, 0.1),
    alphas=(1.0, 2.0, 4.0, 8.0),
)
SUFFIXES = {"csv": "csv", "markdown": "md", "png": "png", "svg": "svg"}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    tables = [student_errors(GRID, "online", "dense", seed, torch.device("cpu")) for seed in (0, 1, 2)]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def hard() -> pd.DataFrame:
    tables = [student_errors(GRID, "hard_margin", "dense", seed, torch.device("cpu")) for seed in (0, 1, 2)]
    return pd.concat(tables, ignore_index=True)


def outputs(folder: Path) -> dict[str, Path]:
    return {key: folder / f"report.{suffix}" for key, suffix in SUFFIXES.items()}


def test_table_has_one_line_an_error_of_the_grid(table):
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 3 * 4 * 5 * 3  # seeds, alphas, prunings, and epsilon 0, epsilon, epsilon filtered
    assert not table.duplicated(list(COLUMNS[:8])).any()
    assert set(table["strategy"]) == {"none", "pe", "pd"}
    assert (table.loc[table["strategy"] == "none", "kept_fraction"] == 1).all()
    np.testing.assert_allclose(table["one_minus_overlap"], 1 - np.cos(np.pi * table["angle_error"]), atol=1e-12)
    assert (table["converged"] == "yes").all()
    unfiltered = table[~table["is_filtered"]]
    np.testing.assert_allclose(unfiltered["alpha_before"], unfiltered["alpha"] / unfiltered["kept_fraction"])
    assert (table.loc[table["is_filtered"] | (table["epsilon"] == 0), "mislabelled_share"] == 0).all()


def test_shards_join_to_the_same_bytes_however_the_seeds_are_spread(tmp_path):
    settings = GRID.slice_of("online")
    assert settings["students"] == {"online": {}}
    spreads = {"one": [[0, 1, 2]], "two": [[0], [1, 2]]}
    for name, spread in spreads.items():
        shards = [tmp_path / f"{name}{place}.csv" for place in range(len(spread))]
        for path, seeds in zip(shards, spread, strict=True):
            write_shard(settings, "online", "random", seeds, path)
        write_errors(join_errors(shards), tmp_path / f"{name}.csv")
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_table_survives_being_written_and_read(table, tmp_path):
    write_errors(table, tmp_path / "perceptron.csv")
    pd.testing.assert_frame_equal(read_errors(tmp_path / "perceptron.csv"), table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="alpha"), "expected the columns"),
        (lambda table: pd.concat([table, table[:1]]), "got some twice"),
    ],
)
def test_damaged_table_is_refused(table, tmp_path, change, message):
    write_errors(change(table), tmp_path / "perceptron.csv")
    with pytest.raises(ArtifactError, match=message):
        read_errors(tmp_path / "perceptron.csv")


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="expected a table of errors"):
        read_errors(tmp_path / "none.csv")


def test_student_that_does_not_exist_has_a_word_and_no_error(hard, tmp_path):
    write_errors(hard, tmp_path / "perceptron.csv")
    read = read_errors(tmp_path / "perceptron.csv")
    pd.testing.assert_frame_equal(read, hard)
    is_missing = read["converged"] == "infeasible"
    assert 0 < is_missing.sum() < len(read)
    assert (read["angle_error"].isna() == is_missing).all()
    assert (read["one_minus_overlap"].isna() == is_missing).all()
    assert (read.loc[is_missing, "epsilon"] > 0).all()
    assert not read.loc[is_missing, "is_filtered"].any()
    assert ",nan,nan,infeasible," in (tmp_path / "perceptron.csv").read_text()


def test_steps_that_do_not_suffice_stand_in_table_line_and_page(tmp_path):
    table = student_errors(GRID, "logistic", "dense", 0, torch.device("cpu"))
    assert set(table["converged"]) == {"yes", "no"}
    lines = lines_of(table, "logistic", "dense", 0.0, False, "angle_error")
    meant = table[table["epsilon"] == 0]
    assert sum(line.unfinished.sum() for line in lines) == (meant["converged"] == "no").sum() > 0
    write_errors(table, tmp_path / "perceptron.csv")
    settings = {"kind": "error_curves", "student": "logistic", "teacher": "dense", "epsilon": 0.0}
    write_report(settings, tmp_path / "perceptron.csv", **outputs(tmp_path))
    count = (meant["converged"] == "no").sum()
    assert "Of 20 students, 0 are infeasible" in (tmp_path / "report.md").read_text()
    assert f"and {count} did not reach their tolerance" in (tmp_path / "report.md").read_text()
    assert pd.read_csv(tmp_path / "report.csv")["num_unfinished"].sum() == count


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "error_curves", "student": "hard_margin", "teacher": "dense", "epsilon": 0.05},
        {"kind": "decay", "student": "hard_margin", "teacher": "dense"},
    ],
)
def test_reports_leave_out_students_that_do_not_exist_and_say_how_many(hard, tmp_path, settings):
    write_errors(hard, tmp_path / "perceptron.csv")
    write_report(settings, tmp_path / "perceptron.csv", **outputs(tmp_path))
    meant = hard[(hard["epsilon"] == 0.05) & ~hard["is_filtered"]] if "epsilon" in settings else hard
    missing = meant["angle_error"].isna().sum()
    page = (tmp_path / "report.md").read_text()
    assert f"Of {len(meant)} students, {missing} are infeasible" in page
    assert "nan" not in page


def test_envelope_passes_over_lines_that_lack_a_student():
    nowhere = line_of([[0.1, np.nan, np.nan], [0.1, 0.2, np.nan]])
    somewhere = line_of([[0.3, 0.3, np.nan], [0.3, 0.3, np.nan]])._replace(strategy="none", kept_fraction=1.0)
    best, fractions = envelope([somewhere, nowhere], "pe")
    np.testing.assert_array_equal(best.errors, [[0.1, 0.3, np.nan], [0.1, 0.3, np.nan]])
    np.testing.assert_array_equal(fractions, [0.5, 1.0, np.nan])


def test_lines_hold_every_seed_and_alpha_and_gaps_are_refused(table):
    lines = lines_of(table, "online", "dense", 0.05, True, "angle_error")
    assert [(line.strategy, line.kept_fraction) for line in lines] == [
        ("none", 1.0), ("pe", 0.5), ("pe", 0.1), ("pd", 0.5), ("pd", 0.1)
    ]  # fmt: skip
    assert all(line.errors.shape == (3, 4) for line in lines)
    with pytest.raises(ArtifactError, match="every seed at every alpha"):
        lines_of(table[1:], "online", "dense", 0.0, False, "angle_error")
    with pytest.raises(ArtifactError, match="found none"):
        lines_of(table, "online", "axis", 0.0, False, "angle_error")


def test_envelope_is_nowhere_above_a_line_of_its_strategy(table):
    lines = lines_of(table, "online", "dense", 0.0, False, "angle_error")
    best, fractions = envelope(lines, "pe")
    allowed = [line for line in lines if line.strategy in ("none", "pe")]
    means = np.array([line.errors.mean(0) for line in allowed])
    np.testing.assert_array_equal(best.errors.mean(0), means.min(0))
    assert fractions.tolist() == [allowed[place].kept_fraction for place in means.argmin(0)]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "error_curves", "student": "online", "teacher": "dense", "epsilon": 0.05, "is_filtered": True},
        {"kind": "decay", "student": "online", "teacher": "dense"},
    ],
)
def test_reports_are_whole_and_the_same_bytes_each_time(table, tmp_path, settings):
    write_errors(table, tmp_path / "perceptron.csv")
    first, second = outputs(tmp_path / "a"), outputs(tmp_path / "b")
    for files in (first, second):
        write_report(settings, tmp_path / "perceptron.csv", **files)
    for key, path in first.items():
        assert path.read_bytes() == second[key].read_bytes() != b""


def test_plotted_points_are_means_and_intervals_of_the_table(table, tmp_path):
    write_errors(table, tmp_path / "perceptron.csv")
    settings = {"kind": "error_curves", "student": "online", "teacher": "dense", "epsilon": 0.0}
    write_report(settings, tmp_path / "perceptron.csv", **outputs(tmp_path))
    points = pd.read_csv(tmp_path / "report.csv")
    meant = table[(table["epsilon"] == 0) & (table["strategy"] == "pd") & (table["kept_fraction"] == 0.1)]
    meant = meant[meant["alpha"] == 8]["one_minus_overlap"]
    point = points[(points["strategy"] == "pd") & (points["kept_fraction"] == 0.1) & (points["alpha"] == 8)].iloc[0]
    assert point["mean"] == pytest.approx(meant.mean())
    assert point["high"] - point["low"] == pytest.approx(2 * 4.302653 * meant.std() / np.sqrt(3), rel=1e-5)
    assert point["num_seeds"] == 3


def test_page_of_the_decay_says_what_decides(table, tmp_path):
    write_errors(table, tmp_path / "perceptron.csv")
    settings = {"kind": "decay", "student": "online", "teacher": "dense"}
    write_report(settings, tmp_path / "perceptron.csv", **outputs(tmp_path))
    page = (tmp_path / "report.md").read_text()
    assert page.count("| best |") == page.count("| best of a pool |") == 2 * 3
    assert "| 0.05 | yes | none | 1 |" in page
    fits = pd.read_csv(tmp_path / "report.csv", keep_default_na=False)
    assert len(fits) == 3 * (5 + 2 * 2)


def test_rows_follow_alpha_and_are_never_none():
    assert [rows_at(alpha, 200) for alpha in (0.001, 0.5, 5.6, 32)] == [1, 100, 1120, 6400]


def line_of(errors: list[list[float]]) -> Line:
    alphas = np.arange(1.0, len(errors[0]) + 1)
    return Line("pe", 0.5, alphas, np.array(errors), 2 * alphas, np.zeros(len(alphas), int), 0.0)


def test_ratios_are_paired_by_seed_and_their_mean_is_geometric():
    halved, mixed = error_ratios(
        line_of([[0.1, 0.1], [0.3, 0.4], [0.5, 0.3]]), line_of([[0.2, 0.2], [0.6, 0.2], [1.0, 0.3]])
    )
    assert halved[:3] == pytest.approx((0.5, 0.5, 0.5))
    half = 4.302653 * np.log(2) / 3**0.5  # t quantile at two degrees of freedom, of log ratios log 1/2, log 2 and 0
    assert mixed[:3] == pytest.approx((1.0, np.exp(-half), np.exp(half)), rel=1e-3)
    assert (ratio_cell(halved), ratio_cell(mixed)) == ("0.50*", "1.00")


def test_an_error_of_zero_has_no_ratio():
    (ratio,) = error_ratios(line_of([[0.1], [0.0]]), line_of([[0.2], [0.6]]))
    assert np.isnan(ratio.mean)
    assert ratio_cell(ratio) == "-"


def test_decay_page_holds_unpruned_errors_against_epsilon_zero(table, tmp_path):
    write_errors(table, tmp_path / "perceptron.csv")
    write_report(
        {"kind": "decay", "student": "online", "teacher": "dense"}, tmp_path / "perceptron.csv", **outputs(tmp_path)
    )
    page = (tmp_path / "report.md").read_text()
    assert "| alpha | 0.05 | 0.05, filter |" in page
    meant = table[(table["strategy"] == "none") & (table["alpha"] == 4) & ~table["is_filtered"]]
    errors = {epsilon: rows["angle_error"].to_numpy() for epsilon, rows in meant.groupby("epsilon")}
    mean = np.exp(np.log(errors[0.05] / errors[0.0]).mean())
    assert f"| 4 | {mean:.3f} [" in page
    write_errors(table[table["epsilon"] > 0], tmp_path / "perceptron.csv")
    write_report(
        {"kind": "decay", "student": "online", "teacher": "dense"}, tmp_path / "perceptron.csv", **outputs(tmp_path)
    )
    assert "at epsilon 0, paired" not in (tmp_path / "report.md").read_text()

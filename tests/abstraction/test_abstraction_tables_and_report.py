"""The table of students and its report: what is computed by hand, equal files, refusals."""

import numpy as np
import pandas as pd
import pytest
import torch

from pumalib.abstraction.report import (
    abstraction_page,
    chosen_lines,
    draw_abstraction,
    summarise_students,
    write_report,
)
from pumalib.abstraction.settings import AbstractionCurvesSettings, AbstractionSettings
from pumalib.abstraction.stage import write_students
from pumalib.abstraction.table import COLUMNS, read_table
from pumalib.errors import ArtifactError

SETTINGS = AbstractionSettings(
    num_rows=60, num_weak=3, weak_mean=0.3, robust={"probability": 0.9}, epsilons=(0.3, 0.6), descent={"steps": 3}
)
CURVES = AbstractionCurvesSettings(kind="abstraction_curves", student="mean", learned_for="ridge")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("abstraction") / "abstraction.csv"
    write_students(SETTINGS.model_dump(), [0, 1, 2], output)
    return output


def test_every_student_of_every_training_stands_in_the_table_once(path, tmp_path):
    table = read_table(path)
    assert len(table) == 3 * 2 * (
        1 + 2 + 2 * 3 * 2
    )  # seeds, epsilons; adversarial, natural, learned in two ways for three
    assert table[["clean_accuracy", "robust_accuracy"]].stack().between(0, 1).all()
    assert (table["robust_accuracy"] <= table["clean_accuracy"]).all()
    natural = table[table["training"] == "natural"]
    assert natural.groupby(["student", "seed"])["clean_accuracy"].nunique().eq(1).all()  # epsilon is not its matter
    write_students(SETTINGS.model_dump(), [0, 1, 2], tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()


def test_seeds_are_independent_of_each_other(path, tmp_path):
    write_students(SETTINGS.model_dump(), [2], tmp_path / "alone.csv")
    alone, whole = read_table(tmp_path / "alone.csv"), read_table(path)
    pd.testing.assert_frame_equal(alone, whole[whole["seed"] == 2].reset_index(drop=True))


def test_means_and_intervals_are_those_of_the_seeds(path):
    table = read_table(path)
    row = summarise_students(table).iloc[0]
    values = table[(table["training"] == "adversarial") & (table["epsilon"] == 0.3)]["robust_accuracy"]
    half = 4.302653 * np.std(values, ddof=1) / 3**0.5
    assert row["robust_accuracy_mean"] == pytest.approx(values.mean())
    assert row["robust_accuracy_high"] - row["robust_accuracy_mean"] == pytest.approx(half, rel=1e-6)
    assert row["num_seeds"] == 3


def test_figure_draws_the_student_and_data_asked_for_and_the_page_shows_all(path):
    summary = summarise_students(read_table(path))
    lines = chosen_lines(summary, CURVES)
    assert set(zip(lines["training"], lines["student"], lines["learned_for"], strict=True)) == {
        ("adversarial", "logistic", "-"),
        ("natural", "mean", "-"),
        ("learned_scales", "mean", "ridge"),
        ("learned_rows", "mean", "ridge"),
    }
    axes = draw_abstraction(lines).axes
    assert [panel.get_title() for panel in axes] == ["clean accuracy (%)", "robust accuracy at epsilon (%)"]
    assert all(len(panel.containers) == 4 for panel in axes)
    page = abstraction_page(summary, CURVES)
    assert page.count("| learned rows | both |") == 2
    assert "3 seeds" in page


def test_report_files_are_whole_and_equal_over_two_draws(path, tmp_path):
    contents = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        files = {
            key: folder / f"f.{end}"
            for key, end in {"csv": "csv", "markdown": "md", "png": "png", "svg": "svg"}.items()
        }
        write_report(CURVES.model_dump(), path, **files)
        contents.append({key: file.read_bytes() for key, file in files.items()})
    assert contents[0] == contents[1]
    assert all(contents[0].values())


def test_files_that_are_no_such_table_are_refused(path, tmp_path):
    with pytest.raises(ArtifactError, match="expected a table of students"):
        read_table(tmp_path / "none.csv")
    for name, change in {
        "columns": lambda table: table[list(COLUMNS[1:])],
        "twice": lambda t: pd.concat([t, t]),
    }.items():
        change(read_table(path)).to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(ArtifactError, match="one line a student"):
            read_table(tmp_path / f"{name}.csv")

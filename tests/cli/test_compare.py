"""Selections and scores held against each other, beside the same numbers taken with NumPy and SciPy alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import stats

from pumalib.cli.main import main
from pumalib.data.selection import StoredSelection
from pumalib.errors import DataError
from pumalib.files.digests import seal
from pumalib.reporting.correlation import compare_scores
from pumalib.reporting.overlap import compare_selections
from pumalib.scores.table import ScoreTable

Capture = pytest.CaptureFixture[str]


def compared(capsys: Capture, folder: Path, first: str, second: str) -> dict[str, Any]:
    assert main(["compare", str(folder / first), str(folder / second), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_selections_are_compared_by_row_class_and_source(in_study: Path, capsys: Capture) -> None:
    told = compared(capsys, in_study, "selections/puma/seed0.h5", "selections/hard/seed0.h5")
    rows = []
    for run in ("puma", "hard"):
        with h5py.File(in_study / f"selections/{run}/seed0.h5") as file:
            rows.append(set(file["rows"][...].tolist()))
    puma, hard = rows
    assert told["in_both"] == len(puma & hard)
    assert told["jaccard"] == len(puma & hard) / len(puma | hard)
    with h5py.File(in_study / "pools/digits+20/seed0.h5") as file:
        labels, source = file["labels"][...], file["source"][...]
    line = next(each for each in told["by_class"] if (each["class"], each["source"]) == ("3", "real"))
    assert line["only_in_first"] == sum(labels[row] == 3 and source[row] == 0 for row in puma - hard)
    assert sum(each["only_in_second"] for each in told["by_class"]) == told["only_in_second"] == len(hard - puma)
    assert told["epsilon_pearson"] is None  # one of them has one epsilon


def test_scores_are_turned_so_that_agreement_is_positive(in_study: Path, capsys: Capture) -> None:
    told = compared(capsys, in_study, "scores/margin/seed0.h5", "scores/difficulty/seed0.h5")
    scores = []
    for name in ("margin", "difficulty"):
        with h5py.File(in_study / f"scores/{name}/seed0.h5") as file:
            scores.append(file["score"][...])
    assert (told["first_higher_is"], told["second_higher_is"]) == ("easier", "harder")
    assert told["spearman_of_hardness"] == pytest.approx(-stats.spearmanr(*scores).statistic)
    assert told["pearson_of_hardness"] == pytest.approx(-stats.pearsonr(*scores).statistic, rel=1e-5)
    assert told["spearman_of_hardness"] > 0
    assert told["rows_in_both"] == 120


def table(score: list[float], pool: str = "a", **others: Any) -> ScoreTable:
    column = np.array(score, np.float32)
    return ScoreTable(column, ~np.isnan(column), "harder", "", "made up", pool, **others)


def test_rows_without_one_of_the_scores_are_left_out() -> None:
    correlation = compare_scores(table([1, 2, 3, np.nan, 5]), table([10, 20, np.nan, 40, 50]))
    assert correlation.rows.tolist() == [0, 1, 4]
    assert (correlation.spearman, correlation.pearson) == (pytest.approx(1), pytest.approx(1))


def test_scores_without_order_or_rows_in_common_say_so() -> None:
    assert np.isnan(compare_scores(table([1, 1, 1]), table([1, 2, 3])).pearson)
    with pytest.raises(DataError, match="expected rows with both scores, got none"):
        compare_scores(table([1, np.nan]), table([np.nan, 1]))
    with pytest.raises(DataError, match="got a shard"):
        compare_scores(table([1, 2]), table([1, 2], first_row=2))
    bounded = {"columns": {"bounded": np.array([False, True, True])}}
    with pytest.raises(DataError, match="measured to their end, got 2 of 3 rows that stop at up_to"):
        compare_scores(table([1, 2, 3]), table([1, 2, 2], **bounded))


def selection(rows: list[int], epsilons: list[float], count: int = 6, pool: str = "a") -> StoredSelection:
    kept = np.array(rows, np.int64)
    reason = np.zeros(count, np.int16)
    reason[kept] = -1
    return StoredSelection(kept, np.array(epsilons, np.float32), reason, pool, 0.1, ())


def test_overlap_of_selections_made_by_hand() -> None:
    overlap = compare_selections(
        selection([0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4]), selection([1, 2, 3, 5], [0.4, 0.3, 0.1, 0])
    )
    assert overlap.both.tolist() == [1, 2, 3]
    assert (overlap.only_first.tolist(), overlap.only_second.tolist()) == ([0], [5])
    assert overlap.jaccard == 3 / 5
    assert overlap.jaccard_by_chance == pytest.approx((16 / 6) / (8 - 16 / 6))
    assert overlap.epsilon_spearman == pytest.approx(-1)
    assert overlap.epsilon_pearson == pytest.approx(np.corrcoef([0.2, 0.3, 0.4], [0.4, 0.3, 0.1])[0, 1])
    assert overlap.mean_epsilon_difference == pytest.approx(-0.1 / 3)


def test_selections_without_a_common_row_have_no_epsilons_to_compare() -> None:
    overlap = compare_selections(selection([0], [0.1]), selection([1], [0.1]))
    assert overlap.jaccard == 0
    assert np.isnan([overlap.epsilon_pearson, overlap.epsilon_spearman, overlap.mean_epsilon_difference]).all()


def test_files_of_different_pools_are_refused_in_one_sentence(copied_study: Path, capsys: Capture) -> None:
    for group, name in (("selections", "hard"), ("scores", "noise")):
        path = copied_study / f"{group}/{name}/seed0.h5"
        with h5py.File(path, "r+") as file:
            file.attrs["pool_fingerprint"] = "b" * 64
        seal(path)
    for pair in (("selections/puma", "selections/hard"), ("scores/margin", "scores/noise")):
        assert main(["compare", *(str(copied_study / f"{name}/seed0.h5") for name in pair)]) == 1
        error = capsys.readouterr().err
        assert "of one pool, got one of pool" in error
        assert error.count("\n") == 1


def test_files_of_different_kinds_are_refused(in_study: Path, capsys: Capture) -> None:
    files = [str(in_study / f"{name}/seed0.h5") for name in ("scores/margin", "selections/puma")]
    assert main(["compare", *files]) == 1
    assert "expected two selections or two score tables, got a score table and a selection" in capsys.readouterr().err


def test_without_its_pool_the_overlap_is_told_with_a_note(copied_study: Path, capsys: Capture) -> None:
    (copied_study / "pools/digits+20/seed0.h5").unlink()
    told = compared(capsys, copied_study, "selections/puma/seed0.h5", "selections/hard/seed0.h5")
    assert told["by_class"] == []
    missing = "expected a pool file, found nothing at results/small/pools/digits+20/seed0.h5"
    assert f"labels and sources are not known: {missing}" in told["notes"][0]


def test_scatter_is_drawn_with_the_same_bytes_each_time(in_study: Path, capsys: Capture, tmp_path: Path) -> None:
    files = [str(in_study / f"scores/{name}/seed0.h5") for name in ("margin", "difficulty")]
    for name in ("a.png", "b.png"):
        assert main(["compare", *files, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes() != b""
    assert "spearman of hardness" in capsys.readouterr().out


def test_a_picture_of_selections_is_a_wrong_command_line(in_study: Path, capsys: Capture) -> None:
    files = [str(in_study / f"selections/{run}/seed0.h5") for run in ("puma", "hard")]
    assert main(["compare", *files, "--out", "a.png"]) == 2
    assert "expected --out with two score tables" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["compare", *files, "--out", "a.pdf"])
    assert "expected a file name that ends in .png" in capsys.readouterr().err


def test_correlation_does_not_depend_on_the_side_of_the_scale() -> None:
    harder = table([1, 5, 2, 4])
    easier = replace(table([-1, -5, -2, -4]), higher_is="easier")
    assert compare_scores(harder, easier).spearman == pytest.approx(1)

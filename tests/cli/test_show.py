"""Contact sheets: the rows that are asked for, from the files that hold their images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
import pytest

from pumalib.cli.main import main
from pumalib.inspection.files import read_samples
from pumalib.reporting.contact_sheet import Block, draw_contact_sheet

Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, tmp_path: Path, path: Path, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    picture = tmp_path / "sheet.png"
    assert main(["show", str(path), *arguments, "--out", str(picture), "--json"]) == 0
    assert matplotlib.image.imread(picture).shape[2] == 4
    groups: dict[str, list[dict[str, Any]]] = json.loads(capsys.readouterr().out)["groups"]
    return groups


def test_hardest_rows_of_a_score_come_first(in_study: Path, capsys: Capture, tmp_path: Path) -> None:
    groups = shown(capsys, tmp_path, in_study / "scores/margin/seed0.h5", "--rows", "hardest", "--count", "5")
    with h5py.File(in_study / "scores/margin/seed0.h5") as file:
        order = np.argsort(file["score"][...], kind="stable")
    assert [row["row"] for row in groups["hardest first"]] == order[:5].tolist()


def test_rows_of_a_selection_are_grouped_by_what_became_of_them(
    in_study: Path, capsys: Capture, tmp_path: Path
) -> None:
    groups = shown(capsys, tmp_path, in_study / "selections/puma/seed0.h5", "--count", "4")
    with h5py.File(in_study / "selections/puma/seed0.h5") as file:
        reason = file["reason"][...]
    assert len(groups) == 3
    for heading, rows in groups.items():
        expected = {"pruned (cut 1)": 0, "pruned (cut 2)": 1}.get(heading[:14], -1)
        assert {reason[row["row"]] for row in rows} == {expected}


@pytest.mark.parametrize(
    "path",
    ["datasets/digits", "synthetic/digits+20", "pools/robustified", "learned/robustified", "selections/trades"],
)
def test_files_that_order_no_rows_are_sampled_evenly_and_refuse_an_order(
    in_study: Path, capsys: Capture, tmp_path: Path, path: str
) -> None:
    file = in_study / f"{path}/seed0.h5"
    groups = shown(capsys, tmp_path, file, "--count", "2")
    assert all("drawn at random" in heading and len(rows) == 2 for heading, rows in groups.items())
    assert main(["show", str(file), "--rows", "easiest", "--out", str(tmp_path / "x.png")]) == 1
    assert "expected row numbers, got easiest" in capsys.readouterr().err


def test_attacked_images_are_grouped_by_outcome(in_study: Path, capsys: Capture, tmp_path: Path) -> None:
    groups = shown(capsys, tmp_path, in_study / "attacks/puma/seed0/cw.h5", "--count", "2", "--rows", "easiest")
    for row in groups["fooled (easiest first)"]:
        assert row["clean prediction"] == row["label"] != row["under attack"]
    for row in groups["wrong when clean (easiest first)"]:
        assert row["clean prediction"] != row["label"]


def test_rows_by_number_show_the_images_of_the_pool(in_study: Path) -> None:
    samples = read_samples(in_study / "scores/margin/seed0/shard1.h5")
    positions = np.array([0, 3], np.int64)
    with h5py.File(in_study / "pools/digits+20/seed0.h5") as file:
        expected = file["images"][...][samples.rows[positions]]
    np.testing.assert_array_equal(samples.images(positions), expected)
    figure = draw_contact_sheet(samples, [Block("two", positions)], "title")
    drawn = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_array_equal(np.stack(drawn), expected[..., 0])
    assert figure.axes[1].get_title().startswith(f"{samples.rows[3]}: {samples.labels[3]}")


def test_images_of_a_dataset_are_those_of_their_split(in_study: Path, capsys: Capture) -> None:
    samples = read_samples(in_study / "datasets/digits/seed0.h5")
    with h5py.File(in_study / "datasets/digits/seed0.h5") as file:
        test = file["test/images"][...]
    inside = np.flatnonzero(samples.groups == "test")
    np.testing.assert_array_equal(samples.images(inside), test)


def test_numbers_and_ranges_are_read(in_study: Path, capsys: Capture, tmp_path: Path) -> None:
    groups = shown(capsys, tmp_path, in_study / "pools/digits+20/seed0.h5", "--rows", "7,0,100-102")
    rows = groups["rows asked for"]
    assert [row["row"] for row in rows] == [7, 0, 100, 101, 102]
    assert [row["group"] for row in rows] == ["real"] * 2 + ["synthetic"] * 3


def test_equal_sheets_have_equal_bytes(in_study: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        assert (
            main(["show", str(in_study / "scores/noise/seed0.h5"), "--count", "3", "--out", str(tmp_path / name)]) == 0
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("synthetic/digits+20/seed0.h5", "expected results/small/synthetic/digits+20/seed0.h5, a source of the pool"),
        ("pools/digits+20/seed0.h5", "expected a pool file, found nothing at results/small/pools/digits+20/"),
    ],
)
def test_a_missing_file_behind_the_images_is_named(
    in_study: Path, capsys: Capture, tmp_path: Path, hide: Callable[[Path], None], gone: str, message: str
) -> None:
    hide(in_study / gone)
    assert main(["show", str(in_study / "scores/margin/seed0.h5"), "--out", str(tmp_path / "x.png")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


def test_rows_that_are_not_there_and_files_without_rows_are_refused(in_study: Path, capsys: Capture) -> None:
    assert main(["show", str(in_study / "pools/digits+20/seed0.h5"), "--rows", "120", "--out", "x.png"]) == 1
    assert "expected rows in [0, 119], got 120" in capsys.readouterr().err
    assert main(["show", str(in_study / "models/puma/seed0"), "--out", "x.png"]) == 1
    assert "expected a file about rows, such as a score table or a selection, got a model" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--rows", "all"], ["--rows", "5-1"], ["--count", "0"], ["--rows", "0-999999"]])
def test_wrong_options_show_the_usage(in_study: Path, capsys: Capture, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["show", str(in_study / "pools/digits+20/seed0.h5"), *wrong, "--out", "x.png"])
    assert error.value.code == 2
    assert "expected" in capsys.readouterr().err

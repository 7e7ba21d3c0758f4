"""`puma browse`: the page of a selection holds what its files hold, and mistakes are one sentence."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from browse_page import numbers, tile, told_by

from pumalib.browsing.selections import selection_rows
from pumalib.cli.main import main
from pumalib.lineage.headers import read_header

Capture = pytest.CaptureFixture[str]


def browse(study: Path, out: Path, *arguments: str, run: str = "puma") -> Path:
    assert main(["browse", str(study / f"selections/{run}/seed0.h5"), *arguments, "--out", str(out / "b.html")]) == 0
    return out / "b.html"


def test_page_has_every_row_with_its_margin_epsilon_prediction_source_and_fate(
    in_study: Path, tmp_path: Path, capsys: Capture
) -> None:
    page = browse(in_study, tmp_path)
    assert "train rows  120 rows" in capsys.readouterr().out
    told = told_by(page)["collections"][0]
    with (
        h5py.File(in_study / "selections/puma/seed0.h5") as selection,
        h5py.File(in_study / "scores/margin/seed0.h5") as score,
        h5py.File(in_study / "pools/digits+20/seed0.h5") as pool,
    ):
        margins, rows = score["score"][...], numbers(told["rows"], "<u4")
        assert rows.tolist() == np.argsort(margins, kind="stable").tolist()
        np.testing.assert_array_equal(numbers(told["values"][0]["numbers"], "<f4"), margins[rows])
        epsilons = np.full(120, np.nan, np.float32)
        epsilons[selection["rows"][...]] = selection["epsilons"][...]
        np.testing.assert_array_equal(numbers(told["values"][1]["numbers"], "<f4"), epsilons[rows])
        fate, source = told["facets"]
        np.testing.assert_array_equal(numbers(fate["codes"], "<u2"), selection["reason"][...][rows] + 1)
        np.testing.assert_array_equal(numbers(source["codes"], "<u2"), pool["source"][...][rows])
        predicted = score["columns/prediction"][...][rows]
        np.testing.assert_array_equal(numbers(told["predictions"][0]["codes"], "<u2"), predicted)
        np.testing.assert_array_equal(tile(page, 0, 7, told["layout"]), pool["images"][rows[7]][..., 0])
        assert told["values"][0]["cuts"] == [json.loads(selection.attrs["cuts"])[0][1]]
    assert fate["names"] == ["kept", "pruned (cut 1): easiest 10 % by margin", "pruned (cut 2): random 10 %"]
    assert [each["name"] for each in told["predictions"]] == ["prediction (margin)", "true label"]
    assert told_by(page)["facts"][:2] == ["study small", f"keeps {np.isfinite(epsilons).sum()} of 120 rows"]


def test_a_sample_is_told_on_the_page_and_on_the_command_line(in_study: Path, tmp_path: Path, capsys: Capture) -> None:
    page = browse(in_study, tmp_path, "--rows", "60", "--seed", "2")
    assert "60 of 120 rows" in capsys.readouterr().out
    told = told_by(page)["collections"][0]
    assert told["sample"].startswith(
        "A sample: 60 of 120 rows, drawn in proportion to class and fate and source (seed 2)"
    )
    assert len(numbers(told["rows"], "<u4")) == 60


def test_scores_asked_for_come_before_those_that_the_selection_read(in_study: Path, tmp_path: Path) -> None:
    scores = [str(in_study / f"scores/{name}/seed0.h5") for name in ("difficulty", "margin")]
    page = browse(in_study, tmp_path, "--score", scores[0], "--score", scores[1])
    values = told_by(page)["collections"][0]["values"]
    assert [each["name"] for each in values] == ["difficulty", "margin", "epsilon"]
    alone = told_by(browse(in_study, tmp_path, run="trades"))["collections"][0]["values"]
    assert [each["name"] for each in alone] == ["epsilon"]


def test_attacks_get_a_tab_each_by_outcome(in_study: Path, tmp_path: Path, capsys: Capture) -> None:
    tables = [in_study / f"attacks/puma/seed0/{name}.h5" for name in ("cw", "shortest")]
    page = browse(in_study, tmp_path, *[word for table in tables for word in ("--attack", str(table))], "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"] == {"train rows": 120, "cw on puma": 50, "shortest on puma": 20}
    told = told_by(page)["collections"][1]
    with h5py.File(tables[0]) as file, h5py.File(in_study / "datasets/digits/seed0.h5") as dataset:
        rows = numbers(told["rows"], "<u4")
        assert sorted(rows) == file["row"][...].tolist()
        at = np.searchsorted(file["row"][...], rows)
        fooled = numbers(told["facets"][0]["codes"], "<u2") == 1
        np.testing.assert_array_equal(fooled, file["success"][...][at])
        np.testing.assert_array_equal(tile(page, 1, 3, told["layout"]), dataset["test/images"][rows[3]][..., 0])


def test_a_cut_that_separates_nothing_is_no_line(in_study: Path) -> None:
    rows = selection_rows(read_header(in_study / "selections/hard/seed0.h5"), [in_study / "scores/noise/seed0.h5"])
    assert rows.cuts["noise"] == ()
    with h5py.File(in_study / "selections/hard/seed0.h5") as file:
        assert rows.cuts["difficulty"] == (json.loads(file.attrs["cuts"])[0][1],)


@pytest.mark.parametrize(
    ("file", "others", "message"),
    [
        (
            "scores/margin",
            [],
            "expected a selection, such as results/digits/selections/puma-20/seed0.h5, got a score table",
        ),
        ("selections/pumma", [], "did you mean results/small/selections/puma"),
        (
            "selections/puma",
            ["--score", "scores/margin/seed0/shard1.h5"],
            "an entry for each of the 120 rows of the pool",
        ),
        (
            "selections/puma",
            ["--score", "selections/puma/seed0.h5"],
            "expected schema puma.scores, got puma.selection at",
        ),
        ("selections/puma", ["--attack", "scores/margin/seed0.h5"], "expected an attack table, got a score table at"),
    ],
)
def test_other_files_are_refused_in_one_sentence(
    in_study: Path, tmp_path: Path, capsys: Capture, file: str, others: list[str], message: str
) -> None:
    given = [word if word.startswith("--") else str(in_study / word) for word in others]
    assert main(["browse", f"{in_study}/{file}/seed0.h5", *given, "--out", str(tmp_path / "b.html")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "b.html").exists()


def test_a_missing_score_is_named(copied_study: Path, tmp_path: Path, capsys: Capture) -> None:
    (copied_study / "scores/margin/seed0.h5").unlink()
    assert main(["browse", f"{copied_study}/selections/puma/seed0.h5", "--out", str(tmp_path / "b.html")]) == 1
    assert "found nothing at results/small/scores/margin/seed0.h5" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--out", "b.png"],
        ["--out", "b.html", "--rows", "0"],
        ["--out", "b.html", "--adversarial", "0"],
        ["--out", "b.html", "--seed", "-1"],
    ],
)
def test_wrong_options_show_the_usage(in_study: Path, capsys: Capture, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["browse", f"{in_study}/selections/puma/seed0.h5", *wrong])
    assert error.value.code == 2
    assert "expected a" in capsys.readouterr().err


def test_the_command_imports_no_torch(in_study: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pumalib.cli.main import main; "
        f"status = main(['browse', '{in_study}/selections/puma/seed0.h5', '--out', '{tmp_path}/b.html']); "
        "sys.exit(status or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The four forms of an export, against the files of the study read by h5py; numbers, images, names and refusals."""

import csv
import functools
import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pumalib.cli.main import main
from pumalib.data.datasets import prepare_dataset, read_split
from pumalib.data.pool import open_pool
from pumalib.data.settings import FolderSettings, NpzDatasetSettings, NpzSyntheticSettings
from pumalib.export.forms import csv as csv_form
from pumalib.export.forms import folder as folder_form
from pumalib.export.forms import npz as npz_form
from pumalib.export.image_files import blocks_of, class_folders, file_name, safe_name
from pumalib.files.origin import Input, Maker
from pumalib.scores.table import read_scores, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from tests.export.conftest import RUN

Export = Callable[..., dict[str, Any]]


class Truth:
    """What the files of a study say, without the code that exports."""

    def __init__(self, study: Path, run: str, pool: str, margin: str = "margin") -> None:
        self.selection = study / f"selections/{run}/seed0.h5"
        with h5py.File(self.selection) as file:
            self.rows, self.epsilons = file["rows"][...], file["epsilons"][...]
            self.reason = file["reason"][...]
            self.steps = file["attack_steps"][...] if "attack_steps" in file else None
        with h5py.File(study / f"scores/{margin}/seed0.h5") as file:
            self.margin = file["score"][...]
        self.pool = open_pool(study / f"pools/{pool}/seed0.h5")


@pytest.fixture
def of_digits(digits: Path) -> Truth:
    return Truth(digits, "puma", "digits+20")


@pytest.fixture
def of_photographs(photographs: Path) -> Truth:
    return Truth(photographs, "mine", "mine")


def test_labels_are_those_that_the_run_trains_under(photographs: Path, export: Export, tmp_path: Path) -> None:
    """Every row of negative margin is given class 1; the pool's own labels stand beside it."""
    maker, pool_file = Maker({}, photographs), photographs / "pools/mine/seed0.h5"
    pool = open_pool(pool_file)
    table = read_scores(photographs / "scores/margin/seed0.h5", pool.fingerprint)
    judged = photographs / "scores/judged/seed0.h5"
    made_from = maker.origin({}, {"pool": Input(pool_file, pool.fingerprint)})
    write_scores(replace(table, columns={"prediction": np.ones(len(pool), np.int16)}), judged, made_from)
    settings = {**RUN, "prune": [], "relabel": {"score": "judged"}, "far": None, "attack_steps": None}
    selection = photographs / "selections/relabelled/seed0.h5"
    scores = {"margin": photographs / "scores/margin/seed0.h5", "judged": judged}
    plan = SelectionSettings.model_validate(settings)
    make_selection(plan, seed=0, pool=pool_file, scores=scores, output=selection, maker=maker)

    expected = np.where(table.score < 0, 1, pool.labels)
    assert 0 < (expected != pool.labels).sum() < len(pool)
    export(selection, "npz", tmp_path / "kept.npz")
    with np.load(tmp_path / "kept.npz") as stored:
        np.testing.assert_array_equal(stored["label"], expected)
        np.testing.assert_array_equal(stored["pool_label"], pool.labels)
    export(selection, "folder", tmp_path / "kept")
    told = pd.read_csv(tmp_path / "kept/metadata.csv")
    assert told["label"].tolist() == expected.tolist()
    folders = {Path(name).parts[0] for name in told["file_name"][told["label"] == 1]}
    assert len(folders) == 1
    assert (told["file_name"].map(lambda name: Path(name).parts[0]).isin(folders) == (expected == 1)).all()


def test_npz_has_the_rows_kept_with_images_labels_margins_and_epsilons(
    of_digits: Truth, export: Export, tmp_path: Path
) -> None:
    told = export(of_digits.selection, "npz", tmp_path / "kept.npz")
    assert (told["rows_written"], told["rows_in_pool"], told["margin_of_score"]) == (97, 120, "margin")
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as file:
        kept = dict(file)
    assert (kept["image"].dtype, kept["label"].dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(kept["image"], of_digits.pool.images[of_digits.rows])
    np.testing.assert_array_equal(kept["label"], of_digits.pool.labels[of_digits.rows])
    np.testing.assert_array_equal(kept["row"], of_digits.rows)
    np.testing.assert_array_equal(kept["epsilon"], of_digits.epsilons)
    np.testing.assert_array_equal(kept["margin"], of_digits.margin[of_digits.rows])
    np.testing.assert_array_equal(kept["source"], of_digits.pool.source[of_digits.rows])
    assert kept["class_names"].tolist() == list(of_digits.pool.class_names)
    origin = json.loads(str(kept["origin"]))
    assert (origin["selection"], origin["threat"]["epsilon"]) == ("selections/puma/seed0.h5", 0.2)


def test_csv_has_every_row_with_the_cut_that_removed_it(of_digits: Truth, export: Export, tmp_path: Path) -> None:
    export(of_digits.selection, "csv", tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv", keep_default_na=False, na_values=["nan"])
    names = np.array(["", "margin easiest 10 %", "random 10 %"])
    assert rows.pruned_by.tolist() == names[of_digits.reason + 1].tolist()
    assert rows.kept.tolist() == (of_digits.reason == -1).tolist()
    np.testing.assert_array_equal(rows.margin.astype(np.float32), of_digits.margin)
    np.testing.assert_array_equal(rows.epsilon[of_digits.rows].astype(np.float32), of_digits.epsilons)
    assert rows.epsilon[of_digits.reason != -1].isna().all()
    assert rows.source.tolist() == ["real"] * 100 + ["synthetic"] * 20


def test_csv_of_kept_rows_leaves_the_others_out(of_digits: Truth, export: Export, tmp_path: Path) -> None:
    export(of_digits.selection, "csv", tmp_path / "rows.csv", "--kept-only")
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert rows.row.tolist() == of_digits.rows.tolist()
    assert not {"kept", "pruned_by"} & set(rows)


def test_a_selection_without_scores_has_no_margins(digits: Path, export: Export, tmp_path: Path) -> None:
    told = export(digits / "selections/trades/seed0.h5", "csv", tmp_path / "rows.csv")
    assert "margin_of_score" not in told
    assert "margin" not in pd.read_csv(tmp_path / "rows.csv")


def test_a_score_that_is_no_margin_has_its_name_and_no_number_where_a_row_was_not_scored(
    digits: Path, export: Export, tmp_path: Path
) -> None:
    export(digits / "selections/hard/seed0.h5", "csv", tmp_path / "rows.csv")
    with h5py.File(digits / "scores/difficulty/seed0.h5") as file:
        score, valid = file["score"][...], file["valid"][...]
    rows = pd.read_csv(tmp_path / "rows.csv")
    np.testing.assert_array_equal(rows.score_difficulty.astype(np.float32), np.where(valid, score, np.nan))


def test_folder_keeps_the_bytes_and_names_of_files_and_writes_pixels_as_png(
    of_photographs: Truth, photographs: Path, export: Export, tmp_path: Path
) -> None:
    export(of_photographs.selection, "folder", tmp_path / "kept")
    lines = list(csv.DictReader(io.StringIO((tmp_path / "kept/metadata.csv").read_text())))
    assert [int(line["row"]) for line in lines] == of_photographs.rows.tolist()
    assert len({line["file_name"] for line in lines}) == len(lines)
    assert {line["source"] for line in lines} == {"real", "synthetic"}
    for line in lines:
        content = (tmp_path / "kept" / line["file_name"]).read_bytes()
        if line["source"] == "real":
            original = photographs.parents[1] / "real" / line["file"].removeprefix("'")
            assert content == original.read_bytes()
            assert re.fullmatch(rf"(a|_b)/shot_\d(-{line['row']})?\.JPG", line["file_name"])
        else:
            pixels = np.asarray(Image.open(io.BytesIO(content)))
            np.testing.assert_array_equal(pixels, of_photographs.pool.images[np.array([int(line["row"])])][0])
            assert line["file_name"].endswith(".png")
    assert any(re.search(r"\d-\d+\.JPG", line["file_name"]) for line in lines)  # a/x/shot 0.JPG and a/y/shot 0.JPG
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"a", "_b", "metadata.csv", "origin.json"}


def test_columns_of_a_run_with_far_rows_two_scores_and_files(
    of_photographs: Truth, export: Export, tmp_path: Path
) -> None:
    told = export(of_photographs.selection, "csv", tmp_path / "rows.csv")
    rows = pd.read_csv(tmp_path / "rows.csv")
    expected = "row file label class source margin score_loss epsilon attack_steps kept pruned_by"
    assert list(rows) == expected.split()
    assert told["margin_of_score"] == "margin"
    assert of_photographs.steps is not None
    assert rows.attack_steps[of_photographs.rows].tolist() == of_photographs.steps.tolist()
    assert rows.attack_steps[of_photographs.reason != -1].isna().all()
    assert set(rows["class"]) == {"a", "'=b"}  # a spreadsheet would take it for a formula


def test_npz_of_files_has_their_names_and_the_pixels_that_the_study_saw(
    of_photographs: Truth, export: Export, tmp_path: Path
) -> None:
    export(of_photographs.selection, "npz", tmp_path / "kept.npz")
    with np.load(tmp_path / "kept.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["image"], of_photographs.pool.images[of_photographs.rows])
        files = of_photographs.pool.read_files()
        assert files is not None
        assert file["file"].tolist() == files[of_photographs.rows].tolist()
        assert file["attack_steps"].dtype == np.int64


@pytest.mark.parametrize(("form", "name"), [("npz", "kept.npz"), ("csv", "rows.csv"), ("folder", "kept")])
def test_blocks_change_no_byte(
    of_photographs: Truth, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, name: str
) -> None:
    export(of_photographs.selection, form, tmp_path / "whole" / name)
    for module in (npz_form, folder_form):
        monkeypatch.setattr(module, "blocks_of", functools.partial(blocks_of, block_bytes=1000))
    monkeypatch.setattr(csv_form, "_ROWS", 3)
    export(of_photographs.selection, form, tmp_path / "blocks" / name)
    written = {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert written
    for path in written:
        assert (tmp_path / "whole" / path).read_bytes() == (tmp_path / "blocks" / path).read_bytes()


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 60))
def test_blocks_follow_each_other_and_are_as_large_as_they_may_be(sizes: list[int], room: int) -> None:
    blocks = list(blocks_of(np.array(sizes, np.int64), room))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(len(sizes)))
    for block in blocks:
        assert sum(sizes[block]) <= room or block.stop - block.start == 1
        assert block.stop == len(sizes) or sum(sizes[block.start : block.stop + 1]) > room


def test_npz_comes_back_as_a_dataset_and_as_a_synthetic_set(of_digits: Truth, export: Export, tmp_path: Path) -> None:
    path = tmp_path / "kept.npz"
    export(of_digits.selection, "npz", path)
    dataset, synthetic = tmp_path / "dataset.h5", tmp_path / "synthetic.h5"
    prepare_dataset(NpzDatasetSettings(train=str(path), test=str(path)), 0, tmp_path, dataset)
    found = read_split(dataset, "train")
    np.testing.assert_array_equal(found.images, of_digits.pool.images[of_digits.rows])
    np.testing.assert_array_equal(found.labels, of_digits.pool.labels[of_digits.rows])
    make_synthetic(NpzSyntheticSettings(path=str(path)), SyntheticInputs(dataset, None, None, 0, "cpu"), synthetic)
    with h5py.File(synthetic) as file:
        np.testing.assert_array_equal(file["images"], of_digits.pool.images[of_digits.rows])


def test_folder_comes_back_as_a_dataset(of_photographs: Truth, export: Export, tmp_path: Path) -> None:
    export(of_photographs.selection, "folder", tmp_path / "kept")
    settings = FolderSettings(path=str(tmp_path / "kept"), image_size=12, split="seeded", test_fraction=0.2)
    prepare_dataset(settings, 0, tmp_path, tmp_path / "dataset.h5")
    splits = [read_split(tmp_path / "dataset.h5", split).images[:] for split in ("train", "test")]
    expected = of_photographs.pool.images[of_photographs.rows]
    assert sorted(image.tobytes() for images in splits for image in images) == sorted(
        image.tobytes() for image in expected
    )


@pytest.mark.parametrize(
    ("text", "safe"),
    [("a b/c", "a_b_c"), ("..", "_"), ("--out", "out"), ("", "_"), ("Käse.v2", "Käse.v2"), ("x" * 200, "x" * 120)],
)
def test_names_are_made_safe(text: str, safe: str) -> None:
    assert safe_name(text) == safe


def test_folders_of_classes_differ_on_systems_that_ignore_case_and_from_files_beside_them() -> None:
    found = class_folders(("A", "a", "a-1", "metadata.csv"), ("metadata.csv",))
    assert found == ["A", "a-1", "a-1-2", "metadata.csv-3"]


@pytest.mark.parametrize(
    ("content", "original", "name"),
    [
        (b"\xff\xd8\xff", "train/cat/one.JPEG", "one.JPEG"),
        (b"\x89PNG\r\n\x1a\n", "train/cat/one.JPEG", "one.png"),
        (b"\xff\xd8\xff", "", "row-7.jpg"),
        (b"\xff\xd8\xff", "cat/.jpg", "jpg.jpg"),
    ],
)
def test_file_is_named_as_the_original_with_the_ending_of_what_it_is(content: bytes, original: str, name: str) -> None:
    assert file_name(7, content, original) == name


def refused(capsys: pytest.CaptureFixture[str], status: int, *words: object) -> str:
    assert main(["export", *map(str, words)]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_what_is_there_already_is_refused_and_stays(
    of_digits: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept.npz").write_text("mine")
    for form, name in (("folder", "kept"), ("npz", "kept.npz")):
        told = refused(capsys, 2, of_digits.selection, "--to", form, "--out", tmp_path / name)
        assert "found something; delete it, or name another --out" in told
    assert (tmp_path / "kept.npz").read_text() == "mine"


def test_options_that_do_not_go_together_are_refused(
    of_digits: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (of_digits.selection, "--to", "csv", "--out")
    assert "expected a form that holds images" in refused(capsys, 2, *given, tmp_path / "rows.csv", "--images")
    assert "expected a file name that ends in .csv" in refused(capsys, 2, *given, tmp_path / "rows.txt")


def test_a_file_that_is_no_selection_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, 1, digits / "scores/margin/seed0.h5", "--to", "csv", "--out", tmp_path / "rows.csv")
    assert "expected a selection, got a score table at" in told


def test_another_score_than_the_selection_read_is_refused(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits, tmp_path / "results/small")
    folder = tmp_path / "results/small"
    shutil.copy(folder / "scores/noise/seed0.h5", folder / "scores/margin/seed0.h5")
    given = (folder / "selections/puma/seed0.h5", "--to", "csv", "--out", tmp_path / "rows.csv")
    assert "expected the score table that the selection read with fingerprint" in refused(capsys, 1, *given)
    (folder / "scores/margin/seed0.h5").unlink()
    assert "expected a scores file, found nothing at" in refused(capsys, 1, *given)
    assert not (tmp_path / "rows.csv").exists()


@pytest.mark.parametrize(("form", "name"), [("npz", "kept.npz"), ("folder", "kept")])
def test_a_missing_source_of_the_pool_is_told_and_nothing_is_written(
    photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, name: str
) -> None:
    shutil.copytree(photographs, tmp_path / "results/photographs")
    folder = tmp_path / "results/photographs"
    (folder / "synthetic/mine/seed0.h5").unlink()
    given = (folder / "selections/mine/seed0.h5", "--to", form, "--out", tmp_path / "out" / name)
    assert "a source of the pool" in refused(capsys, 1, *given)
    assert not (tmp_path / "out").exists()


def test_without_pyarrow_the_command_says_what_to_install(
    of_digits: Truth, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = refused(capsys, 1, of_digits.selection, "--to", "parquet", "--out", tmp_path / "kept.parquet")
    assert 'expected the package pyarrow for --to parquet, found none; pip install "pumalib[export]"' in told

"""Perturbed images: those of an attack, and those that the page makes, each with its true difference."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from browse_page import numbers, tile, told_by
from small_study import SmallStudy

from pumalib.browsing.collection import Collection
from pumalib.browsing.moved import Moved, as_pictures, differences
from pumalib.browsing.perturbing import nearest_to_the_cut, perturbed
from pumalib.browsing.selections import score_paths, selection_rows
from pumalib.cli.main import main
from pumalib.lineage.headers import read_header
from pumalib.models.trained import load_trained


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "results/small"
    SmallStudy(folder).make()
    return folder


def test_rows_that_are_left_keep_their_perturbed_images() -> None:
    points = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    moved = Moved(np.array([1, 4, 6]), points, np.array([10, 40, 60]))
    left = moved.take(np.array([6, 5, 1, 0]), 8)
    assert left.positions.tolist() == [0, 2]
    assert left.points.ravel().tolist() == [2, 0]
    assert left.predictions.tolist() == [60, 10]


def test_differences_are_grey_where_nothing_changed_and_reach_black_and_white() -> None:
    images = np.array([[[[51], [102]], [[0], [255]]]], np.uint8)
    points = images / 255 + np.array([[[[0.0], [0.1]], [[0.05], [-0.1]]]])
    pictures, largest = differences(points, images)
    assert pictures.ravel().tolist() == [128, 255, 191, 0]
    assert largest == pytest.approx([0.1])
    unchanged, none = differences(images / 255, images)
    assert (set(unchanged.ravel()), none.tolist()) == ({128}, [0])


def test_points_are_rounded_to_pixels() -> None:
    assert as_pictures(np.array([-1e-7, 0.5, 1.0, 100.4 / 255])).tolist() == [0, 128, 255, 100]


def test_points_of_an_attack_are_on_the_page_beside_their_difference(study: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "b.html", study / "attacks/puma/seed0/cw.h5"
    assert main(["browse", f"{study}/selections/puma/seed0.h5", "--attack", str(table), "--out", str(page)]) == 0
    told = told_by(page)["collections"]
    assert told[0]["moved"] is None
    rows, positions = numbers(told[1]["rows"], "<u4"), numbers(told[1]["moved"]["positions"], "<u4")
    with h5py.File(table) as file, h5py.File(study / "datasets/digits/seed0.h5") as dataset:
        at = np.searchsorted(file["row"][...], rows)
        right = (file["clean_prediction"][...] == file["label"][...])[at]
        assert positions.tolist() == np.flatnonzero(right).tolist()
        for place, position in enumerate(positions):
            point, image = file["points"][at[position]], dataset["test/images"][rows[position]]
            found = tile(page, 1, 2 * place, told[1]["layout"], "moved")
            np.testing.assert_array_equal(found, np.rint(255 * point[..., 0]))
            change = point[..., 0] - image[..., 0] / 255
            shown = tile(page, 1, 2 * place + 1, told[1]["layout"], "moved").astype(float)
            np.testing.assert_allclose((shown - 127.5) / 127.5 * np.abs(change).max(), change, atol=0.005 * 0.2)


def test_an_attack_without_points_says_how_to_keep_them(study: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "b.html", study / "attacks/puma/seed0/shortest.h5"
    assert main(["browse", f"{study}/selections/puma/seed0.h5", "--attack", str(table), "--out", str(page)]) == 0
    told = told_by(page)["collections"][1]
    assert told["moved"] is None
    assert "`keep_points: true` keeps them" in told["notes"][1]


def rows_and_perturbed(study: Path, count: int) -> tuple[Collection, Collection]:
    header = read_header(study / "selections/puma/seed0.h5")
    rows = selection_rows(header)
    return rows, perturbed(rows, count, header, score_paths(header), "cpu")


def test_rows_nearest_to_the_cut_are_perturbed_within_their_epsilon(study: Path) -> None:
    rows, found = rows_and_perturbed(study, 30)
    assert found.moved is not None
    with h5py.File(study / "selections/puma/seed0.h5") as file, h5py.File(study / "scores/margin/seed0.h5") as score:
        epsilons = np.full(120, 0.2, np.float32)  # of the threat, for pruned rows
        epsilons[file["rows"][...]] = file["epsilons"][...]
        (cut,) = rows.cuts["margin"]
        nearest = np.argsort(np.abs(score["score"][...].astype(float) - cut), kind="stable")[:30]
    assert found.moved.positions.tolist() == sorted(nearest)
    assert found.facets["perturbed"].codes.tolist() == [int(at in nearest) for at in range(120)]
    images = rows.images(found.moved.positions) / 255
    lengths = np.abs(found.moved.points - images).max((1, 2, 3))
    assert (lengths <= np.abs(epsilons[found.moved.positions]) + 1e-6).all()
    assert (lengths > 0).any()
    assert found.moved.points.min() >= 0
    assert found.moved.points.max() <= 1
    model = load_trained(study / "models/trades/seed0/model.safetensors", "cpu").model
    with torch.no_grad():
        logits = model(torch.from_numpy(found.moved.points).permute(0, 3, 1, 2))
    assert found.moved.predictions.tolist() == logits.argmax(1).tolist()


def test_rows_of_positive_epsilon_are_pushed_from_their_label_and_others_toward_it(study: Path) -> None:
    rows, found = rows_and_perturbed(study, 120)
    assert found.moved is not None
    model = load_trained(study / "models/trades/seed0/model.safetensors", "cpu").model
    points = [rows.images(np.arange(120)).astype(np.float32) / 255, found.moved.points]
    with torch.no_grad():
        clean, moved = (model(torch.from_numpy(each).permute(0, 3, 1, 2)) for each in points)
    labels = torch.from_numpy(rows.labels)
    gained = torch.nn.functional.cross_entropy(moved, labels, reduction="none") - torch.nn.functional.cross_entropy(
        clean, labels, reduction="none"
    )
    backward = torch.from_numpy(np.nan_to_num(rows.values["epsilon"], nan=1.0) < 0)
    assert backward.any()
    assert (gained[backward] < 0).all()
    assert gained[~backward].mean() > 0


def test_without_a_cut_rows_nearest_to_zero_are_taken_and_rows_without_a_score_never(study: Path) -> None:
    rows, _ = rows_and_perturbed(study, 1)
    values = rows.values | {"noise": np.concatenate([[np.nan, -0.1, 0.05, 0.3], np.full(116, 9)]).astype(np.float32)}
    other = Collection(**{**vars(rows), "values": values})
    assert nearest_to_the_cut(other, "noise", 3).tolist() == [1, 2, 3]
    assert len(nearest_to_the_cut(other, "noise", 500)) == 119


def test_perturbing_is_the_same_each_time_and_the_command_says_what_was_done(study: Path, tmp_path: Path) -> None:
    command = ["browse", f"{study}/selections/puma/seed0.h5", "--adversarial", "20", "--device", "cpu", "--out"]
    for name in ("a.html", "b.html"):
        assert main([*command, str(tmp_path / name)]) == 0
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    told = told_by(tmp_path / "a.html")["collections"][0]
    assert len(numbers(told["moved"]["positions"], "<u4")) == 20
    assert any(
        "20 rows are perturbed by PGD with 10 steps through the model of margin" in note for note in told["notes"]
    )


@pytest.mark.parametrize("perturb", [[], ["--adversarial", "10"]])
def test_files_of_the_first_version_are_browsed_as_well(tmp_path: Path, perturb: list[str]) -> None:
    selection = Path(__file__).parents[1] / "files/version_1/results/before/selections/puma/seed0.h5"
    assert main(["browse", str(selection), *perturb, "--out", str(tmp_path / "b.html")]) == 0
    told = told_by(tmp_path / "b.html")["collections"][0]
    assert told["total"] == 60
    assert (told["moved"] is not None) == bool(perturb)


def test_a_selection_without_a_score_through_a_model_cannot_be_perturbed(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.html"
    for run, got in (("trades", "got no score"), ("hard", "got difficulty")):
        assert main(["browse", f"{study}/selections/{run}/seed0.h5", "--adversarial", "5", "--out", str(out)]) == 1
        error = capsys.readouterr().err
        assert "expected a score through a model that the study trained" in error
        assert got in error
        assert not out.exists()

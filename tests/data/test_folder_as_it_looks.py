"""An image folder is read as a viewer shows it, and every row leads back to its file."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pumalib.cli.main import main
from pumalib.data.datasets import divide, prepare_dataset, read_split
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import FolderSettings, HeldOutSyntheticSettings
from pumalib.data.sources.folder import load, look
from pumalib.data.sources.raw import RawDataset
from pumalib.errors import ConfigError, DataError
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

ROTATED_BY_EXIF = 0x0112


def settings_of(root: Path, **changes: Any) -> FolderSettings:
    return FolderSettings(**{"path": str(root), "image_size": 4, "split": "seeded", "test_fraction": 0.5, **changes})


def put(root: Path, *names: str, image: Image.Image | None = None) -> None:
    """Save a grey image, or this one, under each name."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (image or Image.new("L", (4, 4), 9)).save(root / name)


def read(root: Path, **changes: Any) -> RawDataset:
    return load(settings_of(root, **changes), root)


def halves(mode: str, first: Any, second: Any) -> Image.Image:
    """Return an image of 4 x 4 whose upper half is one colour and whose lower half another."""
    image = Image.new(mode, (4, 4), first)
    image.paste(second, (0, 2, 4, 4))
    return image


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, 3)), (3, (3, 3)), (4, (3, 0)), (5, (0, 0)), (6, (0, 3)), (7, (3, 3)), (8, (3, 0))],
)
def test_images_are_turned_as_their_exif_says(tmp_path: Path, orientation: int, corner: tuple[int, int]) -> None:
    """The first pixel goes to where the EXIF standard (CIPA DC-008, 4.6.4) puts row 0 and column 0."""
    image = Image.new("RGB", (4, 4), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[ROTATED_BY_EXIF] = orientation
    for name in ("a/x.png", "b/x.png"):
        (tmp_path / name).parent.mkdir()
        image.save(tmp_path / name, exif=exif)
    images = read(tmp_path).train.images
    assert [tuple(place) for place in np.argwhere(images[0, :, :, 0] == 255)] == [corner]


@pytest.mark.parametrize(
    ("background", "expected"), [("black", [(200, 0, 0), (0, 0, 0)]), ("white", [(200, 0, 0), (255, 255, 255)])]
)
@pytest.mark.parametrize("mode", ["RGBA", "P", "LA"])
def test_what_is_behind_transparent_pixels_is_stated(
    tmp_path: Path, mode: str, background: str, expected: list[tuple[int, ...]]
) -> None:
    image = halves("RGBA", (200, 0, 0, 255), (10, 20, 30, 0))
    if mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    elif mode == "LA":
        image, expected = image.convert("LA"), [(60, 60, 60), expected[1]]
    put(tmp_path, "a/x.png", "b/x.png", image=image)
    images = read(tmp_path, background=background).train.images
    assert [tuple(images[0, row, 0]) for row in (0, 3)] == expected
    with pytest.raises(DataError, match=r"without transparent pixels, got some at .*a/x\.png; .*background: black"):
        read(tmp_path)


def test_half_transparent_pixels_are_mixed(tmp_path: Path) -> None:
    put(tmp_path, "a/x.png", "b/x.png", image=Image.new("RGBA", (4, 4), (200, 100, 0, 51)))
    assert read(tmp_path, background="white").train.images[0, 0, 0].tolist() == [244, 224, 204]


def test_alpha_that_hides_nothing_is_no_transparency(tmp_path: Path) -> None:
    put(tmp_path, "a/x.png", "b/x.png", image=Image.new("RGBA", (4, 4), (1, 2, 3, 255)))
    assert read(tmp_path).train.images[0, 0, 0].tolist() == [1, 2, 3]


def test_palettes_are_read_as_colours(tmp_path: Path) -> None:
    image = halves("RGB", (250, 0, 0), (0, 250, 0)).convert("P", palette=Image.Palette.ADAPTIVE)
    put(tmp_path, "a/x.png", "b/x.png", image=image)
    assert read(tmp_path).train.images[0, [0, 3], 0].tolist() == [[250, 0, 0], [0, 250, 0]]


def test_every_format_of_pillow_is_read_and_the_rest_is_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a/1.png", "a/2.gif", "a/3.jfif", "a/4.webp", "a/5.tif", "a/sub/6.bmp", "b/1.png", "b/2.JPG")
    for name in ("a/notes.txt", "a/without_ending", "readme.md"):
        (tmp_path / name).write_text("text")
    put(tmp_path, "a/.ipynb_checkpoints/1-checkpoint.png", ".ipynb_checkpoints/c.png", "b/.hidden.png")
    with caplog.at_level(logging.WARNING):
        raw = read(tmp_path)
    assert raw.class_names == ("a", "b")
    assert raw.train.files is not None
    assert raw.train.files.tolist() == [
        "a/1.png", "a/2.gif", "a/3.jfif", "a/4.webp", "a/5.tif", "a/sub/6.bmp", "b/1.png", "b/2.JPG",
    ]  # fmt: skip
    (told,) = [record.getMessage() for record in caplog.records]
    assert "6 entries of" in told
    assert "3 hidden, 1 outside of class folders, 2 without the ending of an image" in told
    assert "a/notes.txt" in told


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}/x.png" for number in range(12)))
    raw = read(tmp_path)
    assert raw.class_names == tuple(map(str, range(12)))
    assert raw.train.labels.tolist() == list(range(12))
    assert look(settings_of(tmp_path), "here").num_classes == 12


def test_other_names_are_in_the_order_of_text_and_padded_numbers_in_that_of_numbers(tmp_path: Path) -> None:
    put(tmp_path / "text", "10/x.png", "9/x.png", "a/x.png")
    assert read(tmp_path / "text").class_names == ("10", "9", "a")
    put(tmp_path / "padded", "010/x.png", "9/x.png")
    assert read(tmp_path / "padded").class_names == ("9", "010")
    put(tmp_path / "twice", "01/x.png", "1/x.png")
    with pytest.raises(DataError, match="class folders of different numbers"):
        read(tmp_path / "twice")


@pytest.mark.parametrize(
    ("fit", "columns"),
    [("crop", [9, 9, 9, 9]), ("pad", [255, 9, 9, 255]), ("stretch", [0, 9, 9, 0])],
)
def test_what_becomes_of_an_image_that_is_not_square_is_a_setting(
    tmp_path: Path, fit: str, columns: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Eight rows of four pixels, the outer four black: lying, so that `pad` leaves columns free on both sides."""
    image = Image.new("L", (4, 8), 9)
    if fit != "pad":
        image = Image.new("L", (8, 4), 0)
        image.paste(9, (2, 0, 6, 4))
    put(tmp_path, "a/x.png", "b/x.png", image=image)
    with caplog.at_level(logging.WARNING):
        images = read(tmp_path, fit=fit, channels=1, background="white").train.images
    if fit == "stretch":
        assert images[0, 2, :, 0][[0, 3]].max() < images[0, 2, :, 0][[1, 2]].min()
    else:
        assert images[0, 2, :, 0].tolist() == columns
    told = [record.getMessage() for record in caplog.records]
    assert told == [] if fit != "crop" else "2 of 2 images" in told[0] and "up to 50 %" in told[0]


def test_a_row_leads_back_to_its_file_through_every_division(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(20):
            put(tmp_path / "in", f"{name}/{number:02}.png", image=Image.new("L", (4, 4), number + 100 * (name == "b")))
    settings = settings_of(tmp_path / "in", validation_fraction=0.2, train_count=10, channels=1)
    splits = divide(load(settings, tmp_path), settings, 0)
    seen = []
    for split in splits.values():
        assert split.files is not None
        for file, image, label in zip(split.files, split.images, split.labels, strict=True):
            folder, _, number = str(file).partition("/")
            assert image[0, 0, 0] == int(number[:2]) + 100 * (folder == "b")
            assert label == "ab".index(folder)
        seen += split.files.tolist()
    assert len(set(seen)) == len(seen)
    prepare_dataset(settings, 0, tmp_path, tmp_path / "out.h5")
    stored = read_split(tmp_path / "out.h5", "train").files
    assert stored is not None
    assert stored.tolist() == splits["train"].files.tolist()  # type: ignore[union-attr]


def test_names_of_two_splits_say_which(tmp_path: Path) -> None:
    put(tmp_path, "train/a/x.png", "train/b/x.png", "test/a/x.png", "test/b/x.png")
    settings = FolderSettings(path=str(tmp_path), image_size=4)
    raw = load(settings, tmp_path)
    assert raw.train.files is not None
    assert raw.test is not None
    assert raw.test.files is not None
    assert [*raw.train.files, *raw.test.files] == ["train/a/x.png", "train/b/x.png", "test/a/x.png", "test/b/x.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/x.png", "train/b/x.png", "test/a/x.png"], "got a, b and a, named at here.path"),
        (["train/a/x.png", "test/a/notes.txt"], "found none in a, named at here.path"),
        (["train/a/x.png"], "expected class folders at .*test, got: No such file"),
    ],
)
def test_what_a_check_can_know_of_a_folder_it_says(tmp_path: Path, files: list[str], message: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=message):
        look(FolderSettings(path=str(tmp_path), image_size=4), "here")


def test_names_of_files_travel_through_a_pool_to_what_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        name = f"in/{'ab'[number % 2]}/{number:02}.png"
        put(tmp_path, name, image=Image.new("L", (4, 4), 10 * number))
    monkeypatch.chdir(tmp_path)
    settings = settings_of(Path("in"), channels=1, test_fraction=0.2, held_out_fraction=0.2)
    prepare_dataset(settings, 0, tmp_path, Path("dataset.h5"))
    held_out = HeldOutSyntheticSettings(count=2)
    make_synthetic(held_out, SyntheticInputs(Path("dataset.h5"), None, None, 0, "cpu"), Path("synthetic.h5"))
    build_pool(Path("dataset.h5"), Path("synthetic.h5"), Path("pool.h5"), {})
    pool = open_pool("pool.h5")
    files = pool.read_files()
    assert files is not None
    for row in np.flatnonzero(pool.source == 0):
        assert pool.images[np.array([row])][0, 0, 0, 0] == 10 * int(files[row][2:4])
    assert set(files[pool.source == 1]) == {""}
    for path in ("pool.h5", "dataset.h5"):
        assert main(["show", path, "--out", "rows.png", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        rows = [row for group in told["groups"].values() for row in group]
        assert {row["file"] for row in rows if row["group"] not in ("synthetic", "held_out")} <= {
            f"{'ab'[number % 2]}/{number:02}.png" for number in range(12)
        }

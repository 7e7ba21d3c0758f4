"""`puma new`: the study that it writes is one that `puma check` accepts, and says what the images ask for."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from pumalib.cli.main import main
from pumalib.starting.proposal import propose, usual_epsilon, usual_size
from pumalib.starting.survey import Survey, survey

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def draw(folder: str, count: int, size: tuple[int, int] = (28, 28), mode: str = "RGB") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], *([len(mode)] if len(mode) > 1 else []))
    for number in range(count):
        pixels = np.full(shape, number, np.uint8)
        Image.fromarray(pixels, mode).save(f"{folder}/{number}-{size[0]}.png")


def written(name: str) -> dict[str, Any]:
    text = Path(f"{name}.yaml").read_text()
    assert max(map(len, text.splitlines())) <= 120
    study = yaml.safe_load(text)
    assert isinstance(study, dict)
    return study


def test_study_of_digits_passes_the_check(capsys: Capture) -> None:
    assert main(["new", "first"]) == 0
    assert "first.yaml: 3 runs, 3 seeds, no problem found" in capsys.readouterr().out
    assert main(["check", "first.yaml"]) == 0
    assert written("first")["study"] == "first"


def test_study_of_photographs_is_held_to_what_the_folder_holds(capsys: Capture) -> None:
    for name in ("cats # and dogs", "birds"):
        draw(f"my photos # 1/{name}", 30, (40, 56))
        draw(f"my photos # 1/{name}", 20, (64, 64))
    assert main(["new", "mine", "--images", "my photos # 1"]) == 0
    assert main(["check", "mine.yaml"]) == 0
    study = written("mine")
    assert study["datasets"]["images"] == {
        "source": "folder", "path": "my photos # 1", "image_size": 32, "fit": "crop", "channels": 3,
        "split": "seeded", "test_fraction": 0.2, "validation_fraction": 0.2,
    }  # fmt: skip
    training = study["defaults"]["training"]
    assert (training["samples_per_epoch"], training["batch_size"], training["learning_rate"]) == (
        64,
        32,
        0.025,
    )  # of 100: 20 to test, 16 to validate
    assert study["threat"]["epsilon"] == "8/255"
    assert "2 classes, 100 images, shorter sides of 40 to 64 pixels" in Path("mine.yaml").read_text()
    assert "60 % are not square" in Path("mine.yaml").read_text()


def test_grey_images_with_a_test_folder_keep_it_and_their_size(capsys: Capture) -> None:
    for split, count in (("train", 40), ("test", 5)):
        for name in "01":
            draw(f"drawings/{split}/{name}", count, (20, 20), "L")
    assert main(["new", "grey", "--images", "drawings", "--seeds", "5", "--epochs", "7"]) == 0
    study = written("grey")
    assert study["datasets"]["images"] == {
        "source": "folder", "path": "drawings", "image_size": 20, "channels": 1, "validation_fraction": 0.2,
    }  # fmt: skip
    assert (study["threat"]["epsilon"], study["seeds"]) == (0.1, [0, 1, 2, 3, 4])
    assert study["defaults"]["training"]["epochs"] == 7
    assert not study["defaults"]["training"]["horizontal_flip"]


def test_transparent_and_small_images_get_the_keys_without_which_they_are_refused() -> None:
    draw("icons/a", 19, (32, 32), "RGBA")
    draw("icons/b", 20, (32, 32), "RGB")
    draw("icons/b", 1, (10, 10), "RGB")
    assert main(["new", "icons-study", "--images", "icons"]) == 0
    images = written("icons-study")["datasets"]["images"]
    assert (images["image_size"], images["enlarge"], images["background"]) == (32, True, "white")


def of_sides(*sides: int, is_grey: bool = False) -> Survey:
    return Survey("x", False, 2, 10_000, 0, 5_000, sides, 0.0, is_grey, False)


@pytest.mark.parametrize(
    ("sides", "size"), [((28, 28), 28), ((50, 50), 50), ((224, 224), 64), ((40, 500), 32), ((7, 6), 6)]
)
def test_size_is_one_that_nearly_all_images_have(sides: tuple[int, ...], size: int) -> None:
    assert usual_size(of_sides(*sides)) == size


def test_proposals_follow_the_rules_that_are_said() -> None:
    found = propose(of_sides(300, 300))
    assert (found.test_fraction, found.validation_fraction) == (0.2, 0.05)  # 200 of 8,000 would be 2.5 %
    assert (found.samples_per_epoch, found.batch_size, found.crop_padding) == (7_600, 128, 8)
    assert usual_epsilon(of_sides(300), 224) == "4/255"
    assert usual_epsilon(of_sides(28, is_grey=True), 28) == "0.1"


def a_folder() -> None:
    draw("photos/a", 2)
    draw("photos/b", 2)


def a_broken_image() -> None:
    a_folder()
    Path("photos/a/broken.png").write_text("no image")


def a_class_without_images() -> None:
    a_folder()
    Path("photos/c").mkdir()


def a_study_of_that_name() -> None:
    Path("mine.yaml").write_text("precious")


@pytest.mark.parametrize(
    ("prepare", "words", "message"),
    [
        (a_folder, ["--images", "photo"], "expected a folder of images, found nothing at photo"),
        (a_broken_image, ["--images", "photos"], "at photos/a/broken.png; take it out of the folder"),
        (a_class_without_images, ["--images", "photos"], "found none in c"),
        (a_study_of_that_name, [], "got mine.yaml; choose another name or --out"),
        (a_folder, ["--image-size", "32"], "expected --image-size only with --images"),
        (a_study_of_that_name, ["--out", "mine.yaml/a.yaml"], "expected a new file in a folder, got mine.yaml/a.yaml"),
        (a_class_without_images, ["--images", "photos", "--out", "none/mine.yaml"], "found none in c"),
        (
            a_folder,
            ["--images", "photos", "--out", "none/mine.yaml"],
            "the folder of a small class away (none/mine.yaml)",
        ),
    ],
)
def test_what_cannot_be_is_one_message_and_nothing_is_written(
    prepare: Callable[[], None], words: list[str], message: str, capsys: Capture
) -> None:
    prepare()
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert main(["new", "mine", *words]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_folders_of_the_file_are_made(capsys: Capture) -> None:
    assert main(["new", "mine", "--out", "a/b/mine.yaml"]) == 0
    assert "puma run a/b/mine.yaml" in capsys.readouterr().out
    assert [path.name for path in Path("a").rglob("*")] == ["b", "mine.yaml"]


@pytest.mark.parametrize(
    "words", [["a/b"], ["mine", "--epsilon", "8"], ["mine", "--epsilon", "x"], ["mine", "--seeds", "0"], []]
)
def test_values_that_cannot_be_are_refused(words: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as error:
        main(["new", *words])
    assert error.value.code == 2
    assert "puma" in capsys.readouterr().err


class Terminal(io.StringIO):
    """Answers of a person."""

    def isatty(self) -> bool:
        return True


def test_person_in_a_terminal_is_asked(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    draw("photos/a", 5)
    draw("photos/b", 5)
    monkeypatch.setattr(sys, "stdin", Terminal("photos\n\neight\n4/255\n2\n"))
    assert main(["new", "asked"]) == 0
    told = capsys.readouterr().out
    assert "Height and width to bring them to [28]: " in told
    assert "expected an amount in (0, 1], such as 8/255 or 0.1, got eight" in told
    study = written("asked")
    assert (study["threat"]["epsilon"], study["seeds"]) == ("4/255", [0, 1])
    assert study["datasets"]["images"]["image_size"] == 28


def test_folder_whose_smallest_class_gets_no_test_row_is_refused(capsys: Capture) -> None:
    a_folder()  # of 4 images, one is tested
    assert main(["new", "small", "--images", "photos"]) == 1
    assert "expected at least one row of every class, got none of b in the test split" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_end_of_the_answers_writes_nothing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert main(["new", "asked"]) == 2
    assert "expected an answer, got the end of the input; nothing was written" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_tar_file_is_looked_at_too(tmp_path: Path) -> None:
    import tarfile

    a_folder()
    with tarfile.open("photos.tar", "w") as tar:
        tar.add("photos")
    assert survey("photos.tar").num_images == survey("photos").num_images == 4

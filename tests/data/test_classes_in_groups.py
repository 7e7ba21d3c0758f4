import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from pumalib.data.class_groups import find_groups, group_names, parse_words
from pumalib.data.datasets import divide, prepare_dataset, read_class_names, read_split
from pumalib.data.grouped_classes import read_class_groups, regroup
from pumalib.data.images import LabelledImages
from pumalib.data.settings import ClassTreeSettings, FolderSettings
from pumalib.data.sources.folder import class_counts, files
from pumalib.data.sources.raw import ClassCounts, RawDataset
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.files.digests import seal

TREE = "n0 n1\nn0 n2\nn1 n3\nn1 n4\nn2 n5\nn2 n6\nn0 n7\n"
WORDS = "n1\tdog, domestic dog\nn2\tcat\nn3\tpoodle\nn7\thammer, mallet\n"
COUNTS = {"n3": 4, "n4": 2, "n5": 3, "n6": 3, "n7": 1}
"""Images of classes: below n1 6, below n2 6, and n7 with 1."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "is_a.txt").write_text(TREE)
    (tmp_path / "words.txt").write_text(WORDS)
    return tmp_path


def settings_of(place: Path, **changes: Any) -> FolderSettings:
    classes = {"tree": str(place / "is_a.txt"), "groups": 2, "largest": 2, **changes.pop("classes", {})}
    values = {"source": "folder", "path": str(place / "in"), "image_size": 4, "channels": 1, "classes": classes}
    return FolderSettings.model_validate(values | changes)


def raw_of(train: list[int], test: list[int] | None = None) -> RawDataset:
    """Return rows whose pixels are their places, and whose files are their places in words; classes n3 to n7."""

    def images(labels: list[int]) -> LabelledImages:
        places = np.arange(len(labels))
        pixels = np.broadcast_to(places[:, None, None, None], (len(labels), 4, 4, 1)).astype(np.uint8)
        return LabelledImages(pixels, np.array(labels, np.int64), np.array([f"{each}.png" for each in places], object))

    return RawDataset(images(train), None if test is None else images(test), ("n3", "n4", "n5", "n6", "n7"))


def test_rows_get_the_labels_of_their_groups_and_those_left_out_go(place: Path) -> None:
    raw = raw_of([4, 3, 0, 0, 2, 1, 0, 0, 1, 2, 3, 3, 2], [4, 0, 2])
    grouped, groups = regroup(raw, settings_of(place))
    assert grouped.class_names == ("n1", "n2")
    assert grouped.train.labels.tolist() == [1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1]
    assert grouped.train.images[:, 0, 0, 0].tolist() == list(range(1, 13))
    assert grouped.train.files is not None
    assert grouped.train.files.tolist() == [f"{row}.png" for row in range(1, 13)]
    assert grouped.test is not None
    assert (grouped.test.labels.tolist(), grouped.test.images[:, 0, 0, 0].tolist()) == ([0, 1], [1, 2])
    assert [(row.name, row.node, row.is_kept, row.images) for row in groups.rows] == [
        ("n3", "n1", True, 4),
        ("n4", "n1", True, 2),
        ("n5", "n2", True, 3),
        ("n6", "n2", True, 3),
        ("n7", "n7", False, 1),
    ]


def test_the_order_of_labels_is_that_of_the_tree_not_of_names(place: Path) -> None:
    (place / "is_a.txt").write_text("n0 n2\nn0 n1\nn1 n3\nn1 n4\nn2 n5\nn2 n6\nn0 n7\n")
    grouped, _ = regroup(raw_of([0, 1, 2, 3, 4]), settings_of(place, split="seeded", test_fraction=0.5))
    assert grouped.class_names == ("n2", "n1", "n7")
    assert grouped.train.labels.tolist() == [1, 1, 0, 0, 2]


def test_a_seeded_split_is_sized_by_all_rows_that_it_draws_from(place: Path) -> None:
    raw = raw_of([0, 1, 2, 3, 4], [4, 4])
    seeded = settings_of(place, split="seeded", test_fraction=0.5)
    assert regroup(raw, settings_of(place))[1].sizes(is_kept=True) == {"n1": 2, "n2": 2, "n7": 1}
    assert regroup(raw, seeded)[1].sizes(is_kept=True) == {"n1": 2, "n2": 2, "n7": 3}


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 5], [0, 1, 2, 3, -1]])
def test_labels_out_of_range_are_refused_before_they_name_a_class(place: Path, labels: list[int]) -> None:
    with pytest.raises(DataError, match=r"expected labels in \[0, 5\)"):
        regroup(raw_of(labels), settings_of(place))


def test_a_class_without_train_rows_is_refused(place: Path) -> None:
    with pytest.raises(DataError, match="a train image at least of each class, got none of n7"):
        regroup(raw_of([0, 1, 2, 3], [4]), settings_of(place))


def test_words_name_the_groups_and_names_stay_unique() -> None:
    words = {"a": "crane, bird", "b": "crane", "c": "dog, hound", "e": " , x", "f": "e"}
    assert group_names(["a", "b", "c", "d"], words) == ["crane (a)", "crane (b)", "dog", "d"]
    assert group_names(["e", "d"], words) == ["e", "d"]
    assert group_names(["e", "f"], words) == ["e", "e (f)"]
    clash = {"a": "x", "b": "x", "c": "x (a)"}
    assert group_names(["a", "b", "c"], clash) == ["a", "b", "c"]


def test_words_are_read_by_line_and_cannot_command_a_terminal() -> None:
    assert parse_words("n1\tdog,  domestic dog\n\nn2\t\x1b[31mcat\r\n", "w") == {
        "n1": "dog, domestic dog",
        "n2": "\\u001b[31mcat",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n1 dog", "expected a node, a tab and its names in each line, got none in line 1 of words.txt"),
        ("n1\tdog\n\tcat", "expected a node, a tab and its names in each line, got none in line 2 of words.txt"),
        ("n1\tdog\nn1\tcat", "expected each node once, got n1 again in line 2 of words.txt"),
    ],
)
def test_other_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        parse_words(text, "words.txt")
    assert str(refused.value) == message


def test_files_that_cannot_be_read_are_refused_by_their_path(place: Path) -> None:
    with pytest.raises(DataError, match=r"expected a file at .*no\.txt, got: No such file"):
        find_groups(ClassTreeSettings(tree=str(place / "no.txt"), groups=2), COUNTS)
    (place / "is_a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"expected text in UTF-8 at .*is_a\.txt"):
        find_groups(settings_of(place).classes, COUNTS)  # type: ignore[arg-type]


def put_images(place: Path, test: int = 1) -> None:
    for name, count in COUNTS.items():
        for split, number in (("train", count), ("test", test)):
            (place / "in" / split / name).mkdir(parents=True, exist_ok=True)
            for index in range(number):
                Image.new("L", (4, 4), 10 * int(name[1:]) + index).save(place / "in" / split / name / f"{index}.png")


def test_a_dataset_file_holds_groups_as_classes_and_tells_which_class_went_where(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_images(place)
    settings = settings_of(place, classes={"words": str(place / "words.txt")})
    with caplog.at_level(logging.INFO):
        prepare_dataset(settings, 0, place, place / "out.h5")
    assert (
        f"5 classes make 2 groups by {place}/is_a.txt, 2 were wanted: 6 to 6 images each, 12 of 13 in all. "
        "Groups left out: 1" in caplog.text
    )
    assert read_class_names(place / "out.h5") == ("dog", "cat")
    train, test = (read_split(place / "out.h5", split) for split in ("train", "test"))
    assert (train.labels.tolist(), test.labels.tolist()) == ([0] * 6 + [1] * 6, [0, 0, 1, 1])
    assert train.images[:, 0, 0, 0].tolist() == [30, 31, 32, 33, 40, 41, 50, 51, 52, 60, 61, 62]
    assert train.files is not None
    assert train.files[-1] == "train/n6/2.png"
    groups = read_class_groups(place / "out.h5")
    assert groups.rows[0] == ("n3", "poodle", "n1", "dog", True, 4)
    assert groups.rows[4] == ("n7", "hammer, mallet", "n7", "hammer", False, 1)
    assert (groups.class_names, groups.num_wanted, groups.num_divisions) == (("dog", "cat"), 2, 1)
    with h5py.File(place / "out.h5") as file:
        assert set(file["classes"]) == {"name", "words", "node", "group", "kept", "images"}
        assert dict(file["classes"].attrs) == {"wanted": 2, "reached": 2, "divisions": 1}


def test_without_a_tree_nothing_is_told_and_classes_stay(place: Path) -> None:
    put_images(place)
    prepare_dataset(settings_of(place).model_copy(update={"classes": None}), 0, place, place / "out.h5")
    assert read_class_names(place / "out.h5") == tuple(COUNTS)
    with pytest.raises(ArtifactError, match=r"expected classes in groups in .*out\.h5, got a dataset without"):
        read_class_groups(place / "out.h5")


def test_a_seeded_split_of_groups_is_stratified_by_group(place: Path) -> None:
    grouped, _ = regroup(raw_of([0] * 8 + [1] * 2 + [2] * 5 + [3] * 5 + [4]), settings_of(place))
    settings = settings_of(place, split="seeded", test_fraction=0.3)
    assert np.bincount(divide(grouped, settings, 0)["test"].labels).tolist() == [3, 3]


def test_images_are_counted_by_class_without_being_read(place: Path) -> None:
    put_images(place, test=2)
    (place / "in/train/n3/0.png").write_bytes(b"no image")
    counts = class_counts(settings_of(place))
    assert counts == (COUNTS, dict.fromkeys(COUNTS, 2))
    one = settings_of(place, path=str(place / "in/train"), split="seeded", test_fraction=0.2)
    assert class_counts(one) == (COUNTS, dict.fromkeys(COUNTS, 0))


def test_the_tree_and_the_words_are_files_of_the_user(place: Path) -> None:
    tree, words = str(place / "is_a.txt"), str(place / "words.txt")
    assert files(settings_of(place)) == (str(place / "in"), tree)
    assert files(settings_of(place, classes={"words": words})) == (str(place / "in"), tree, words)
    assert files(settings_of(place).model_copy(update={"classes": None})) == (str(place / "in"),)


@pytest.mark.parametrize("classes", [{"groups": 1}, {"largest": 0.9}, {"groups": True}, {"tre": "x"}])
def test_other_settings_are_refused(place: Path, classes: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValueError), match=r"groups|largest|tre"):
        settings_of(place, classes=classes)


def test_a_file_without_a_column_is_refused(place: Path) -> None:
    put_images(place)
    prepare_dataset(settings_of(place), 0, place, place / "out.h5")
    with h5py.File(place / "out.h5", "r+") as file:
        del file["classes/node"]
    with pytest.raises(ArtifactError, match=r"out\.h5"):
        read_class_groups(place / "out.h5")
    seal(place / "out.h5")
    with pytest.raises(ArtifactError, match=r"expected dataset 'node', not in .*out\.h5/classes"):
        read_class_groups(place / "out.h5")


def test_groups_stay_those_that_were_told_when_images_cannot_be_read(place: Path) -> None:
    """Groups of 6 and 6 and, by the tree, 1: told as n1 and n2. Of the second, one image can be read."""
    labels = [label for label, count in enumerate(COUNTS.values()) for _ in range(count)]
    raw = raw_of(labels)
    readable = np.array([row for row, label in enumerate(labels) if label not in (2, 3) or row == labels.index(3)])
    less = replace(raw, train=raw.train.take(readable), listed=ClassCounts(COUNTS, dict.fromkeys(COUNTS, 0)))
    told, found = regroup(raw, settings_of(place))[1], regroup(less, settings_of(place))
    assert found[1].class_names == told.class_names
    assert np.bincount(found[0].train.labels).tolist() == [6, 1]
    with pytest.raises(DataError):
        regroup(replace(less, listed=None), settings_of(place))

import os
import pickle
import shutil
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from stand_ins import NAMES, TRAIN, batch_of, images_of, write_cifar10, write_python2_pickle

from pumalib.data.datasets import prepare_dataset, read_split
from pumalib.data.settings import Cifar10FilesSettings
from pumalib.data.sources.cifar10_files import PUBLISHED, files, load, look, problems
from pumalib.errors import ConfigError, DataError

CIFAR10 = torchvision.datasets.CIFAR10
Change = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path / "cifar-10-batches-py", batch=20, test=30)


def of(folder: Path, **others: Any) -> Cifar10FilesSettings:
    return Cifar10FilesSettings(source="cifar10_files", path=str(folder), published=False, **others)


def test_published_digests_are_those_that_torchvision_has() -> None:
    theirs = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
    assert theirs == PUBLISHED


@pytest.mark.parametrize("is_train", [True, False])
def test_images_labels_and_names_are_those_that_torchvision_reads(folder: Path, is_train: bool) -> None:
    digests = {name: md5((folder / name).read_bytes()).hexdigest() for name in PUBLISHED}

    class StandIn(CIFAR10):  # type: ignore[misc]
        base_folder = folder.name
        train_list = [[name, digests[name]] for name in TRAIN]  # noqa: RUF012
        test_list = [["test_batch", digests["test_batch"]]]  # noqa: RUF012
        meta = {**CIFAR10.meta, "md5": digests["batches.meta"]}  # noqa: RUF012

    theirs = StandIn(str(folder.parent), train=is_train)
    raw = load(of(folder), folder)
    ours = raw.train if is_train else raw.test
    assert ours is not None
    assert len(ours) == (100 if is_train else 30)
    np.testing.assert_array_equal(ours.images, theirs.data)
    np.testing.assert_array_equal(ours.labels, theirs.targets)
    assert list(raw.class_names) == theirs.classes == NAMES


def test_pixels_come_out_where_they_were_put_in(folder: Path) -> None:
    labels = np.arange(20) % 10
    np.testing.assert_array_equal(load(of(folder), folder).train.images[:20], images_of(labels, 1))


def test_dataset_is_made_of_the_files(folder: Path, tmp_path: Path) -> None:
    prepare_dataset(of(folder, validation_fraction=0.1, train_count=50), 0, tmp_path, tmp_path / "out.h5")
    counts = [len(read_split(tmp_path / "out.h5", split)) for split in ("train", "validation", "test")]
    assert counts == [50, 10, 30]


def test_every_file_is_watched_and_nothing_else_of_the_folder(folder: Path) -> None:
    assert {Path(path).name for path in files(of(folder))} == set(PUBLISHED)


def test_look_at_other_files_counts_their_rows_and_at_published_ones_knows_them(folder: Path) -> None:
    assert look(of(folder), "here") == ((32, 32, 3), 10, (100, 30), tuple(NAMES))
    published = Cifar10FilesSettings(source="cifar10_files", path=str(folder))
    assert look(published, "here") == ((32, 32, 3), 10, (50_000, 10_000), ())


def test_files_that_are_not_the_published_ones_are_refused_each_by_its_digest(folder: Path) -> None:
    published = Cifar10FilesSettings(source="cifar10_files", path=str(folder))
    told = problems(published)
    assert len(told) == len(PUBLISHED)
    found = md5((folder / "data_batch_3").read_bytes()).hexdigest()
    assert f"the published file data_batch_3 of CIFAR-10 (MD5 {PUBLISHED['data_batch_3']})" in told[2]
    assert f"of MD5 {found} at {folder / 'data_batch_3'}; download" in told[2]
    with pytest.raises(DataError, match="expected the published file data_batch_1"):
        load(published, folder)


def changed(**entries: Any) -> Change:
    """Return what writes test_batch with other entries; None: without one."""

    def write(folder: Path) -> None:
        contents = {**batch_of("test_batch", 30, 7), **entries}
        kept = {key: value for key, value in contents.items() if value is not None}
        write_python2_pickle(folder / "test_batch", kept)

    return write


def cut(name: str) -> Change:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def few_names(folder: Path) -> None:
    write_python2_pickle(folder / "batches.meta", {"label_names": NAMES[:9]})


def a_list(folder: Path) -> None:
    (folder / "test_batch").write_bytes(pickle.dumps([1]))


PIXELS = np.zeros((30, 3072), np.uint8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "expected the files of CIFAR-10 in {folder}, found no data_batch_1, data_batch_2"),
        (lambda folder: (folder / "data_batch_4").unlink(), "in {folder}, found no data_batch_4"),
        (cut("test_batch"), "expected a whole pickle at {test}, got 46"),
        (cut("batches.meta"), "expected a whole pickle at {folder}/batches.meta, got "),
        (changed(data=None), "expected key 'data' in {test}, got batch_label, labels, filenames"),
        (changed(labels=None), "expected key 'labels' in {test}, got batch_label, data, filenames"),
        (changed(data=PIXELS[:, :1024]), "expected data as uint8 [N, 3072] in {test}, got uint8 [30, 1024]"),
        (changed(data=PIXELS.astype(np.float32)), "expected data as uint8 [N, 3072] in {test}, got float32"),
        (changed(data=PIXELS[:29]), "expected one label for each of 29 images, got 30 labels in {test}"),
        (changed(data=[[0] * 3072] * 30), "expected data as uint8 [N, 3072] in {test}, got list"),
        (changed(data=np.asfortranarray(PIXELS)), "expected a plain array in C order in {test}: got Fortran"),
        (changed(labels=[10] * 30), "expected labels in [0, 10), got 10..10 in {test}"),
        (changed(labels=[0.0] * 30), "expected labels as a list of integers in {test}, got list float"),
        (few_names, "expected label_names as 10 different names in {folder}/batches.meta, got ['airplane', "),
        (a_list, "expected a mapping in {test}, got list"),
    ],
)  # fmt: skip
def test_file_of_another_form_is_told_before_any_job(folder: Path, change: Change, message: str) -> None:
    change(folder)
    told = problems(of(folder))
    assert len(told) == 1
    assert message.format(folder=folder, test=folder / "test_batch") in told[0]
    with pytest.raises(DataError) as error:
        load(of(folder), folder)
    assert str(error.value) == told[0]
    with pytest.raises(ConfigError) as looked:
        look(of(folder), "datasets.c")
    assert str(looked.value) == f"{told[0]}, named at datasets.c.path"


def test_archive_beside_the_folder_is_named_as_what_to_unpack(tmp_path: Path) -> None:
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.touch()
    (told,) = problems(of(tmp_path / "cifar-10-batches-py"))
    assert told.endswith(f"; unpack {archive}")


class Runs:
    """Something that a pickle calls when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_code_in_a_file_is_refused_and_does_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "test_batch").write_bytes(pickle.dumps({"data": Runs(tmp_path / "made"), "labels": []}, 2))
    (told,) = problems(of(folder))
    assert told.startswith("expected numbers, text and arrays alone, got posix.mkdir in ")
    assert not (tmp_path / "made").exists()

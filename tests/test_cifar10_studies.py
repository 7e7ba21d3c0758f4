"""The studies on CIFAR-10: the files that their script writes, and that the studies take them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.study.file import load_study
from pumalib.study.study import Study
from studies.cifar10.split_train import main

ROOT = Path(__file__).parents[1]
STUDIES = ("cifar10.yaml", "cifar10-rdl.yaml", "easycore-cifar10.yaml", "robust-pruning-cifar10.yaml")


def write_train(path: Path, count: int) -> NDArray[np.int64]:
    """Write as many images as CIFAR-10 has, of 8 x 8 pixels, the first two of which say the row; return the labels."""
    rows, labels = np.arange(count), np.random.default_rng(0).permutation(np.arange(count) % 10)
    images = np.zeros((count, 8, 8, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = rows // 256, rows % 256
    np.savez(path, image=images, label=labels)
    return labels


def rows_of(path: Path) -> NDArray[np.int64]:
    with np.load(path) as stored:
        images = stored["image"].astype(np.int64)
    rows: NDArray[np.int64] = 256 * images[:, 0, 0, 0] + images[:, 0, 1, 0]
    return rows


def split(monkeypatch: pytest.MonkeyPatch, npz: Path, out: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["split_train.py", "--npz", str(npz), "--out", str(out)])
    main()


def test_the_last_thousand_of_each_class_are_tested(tmp_path, monkeypatch):
    labels = write_train(tmp_path / "all.npz", 50_000)
    split(monkeypatch, tmp_path / "all.npz", tmp_path)
    train, test = rows_of(tmp_path / "train.npz"), rows_of(tmp_path / "test.npz")
    for label in range(10):
        of_class = [row for row in range(50_000) if labels[row] == label]
        assert list(train[labels[train] == label]) == of_class[:4000]
        assert list(test[labels[test] == label]) == of_class[4000:]
    with np.load(tmp_path / "test.npz") as stored:
        assert (stored["label"] == labels[test]).all()


def test_other_images_than_the_50_000_are_refused(tmp_path, monkeypatch):
    write_train(tmp_path / "test-split.npz", 10_000)
    with pytest.raises(SystemExit, match=r"expected the 50,000 train images of CIFAR-10, got 10,000 images"):
        split(monkeypatch, tmp_path / "test-split.npz", tmp_path)
    assert not (tmp_path / "train.npz").exists()


@pytest.mark.parametrize("file", STUDIES)
def test_the_studies_take_the_files_that_are_written(file, tmp_path, monkeypatch):
    data = tmp_path / "data" / "cifar10-of-train"
    data.mkdir(parents=True)
    write_train(data / "train.npz", 40_000)
    write_train(data / "test.npz", 10_000)
    (tmp_path / file).write_text((ROOT / "studies" / file).read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = load_study(tmp_path / file)
    assert isinstance(study, Study)
    assert study.settings.primary is not None

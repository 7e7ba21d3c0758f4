"""Classes in groups, applied to the rows of a dataset, and told in its file.

A dataset whose settings have `classes` loads this module by its name, so that no other dataset depends on it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.data.class_groups import ClassGroups, ClassRow, find_groups
from pumalib.data.images import LabelledImages, check_labels
from pumalib.data.settings import DatasetSettings, class_tree_of
from pumalib.data.sources.raw import ClassCounts, RawDataset
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import open_artifact, read_array, read_texts, stored

TABLE = "classes"
"""Name of the group in a dataset file that tells which class went where."""

log = logging.getLogger(__name__)


def regroup(raw: RawDataset, settings: DatasetSettings) -> tuple[RawDataset, ClassGroups]:
    """Put the classes of a dataset in groups: other labels and class names, and no rows of what is left out.

    Args:
        raw: as its source gives it; its class names are nodes of the tree.
        settings: of the dataset, with `classes`. The size of a group is that of its train images; with a seeded split,
            which draws from all of them, that of all of its images.

    Raises:
        DataError: labels out of range, files that cannot be read, or classes that the tree does not know or divide.
    """
    tree = class_tree_of(settings)
    assert tree is not None
    parts = [raw.train] if raw.test is None else [raw.train, raw.test]
    for part in parts:
        check_labels(part.labels, len(part), len(raw.class_names), f"the rows of {settings.source}")
    counts = [_counts(part, raw.class_names) for part in parts]
    # Groups are those that were told before any job, whatever could not be read since.
    sizes = raw.listed or ClassCounts(counts[0], counts[1] if len(parts) > 1 else dict.fromkeys(raw.class_names, 0))
    groups = find_groups(tree, sizes.sizes(settings.is_seeded))
    log.info("%s", groups.told(tree.tree))
    labels = groups.labels_of(raw.class_names)
    train, *test = (_relabelled(part, labels) for part in parts)
    return replace(raw, train=train, test=test[0] if test else None, class_names=groups.class_names), groups


def _counts(images: LabelledImages, class_names: Sequence[str]) -> dict[str, int]:
    return dict(zip(class_names, np.bincount(images.labels, minlength=len(class_names)).tolist(), strict=True))


def _relabelled(images: LabelledImages, labels: NDArray[np.int64]) -> LabelledImages:
    """Return images with the labels of their groups; a class of label -1 is left out."""
    rows = np.flatnonzero(labels[images.labels] >= 0)
    taken = images if len(rows) == len(images) else images.take(rows)
    return replace(taken, labels=labels[taken.labels])


def write_class_groups(file: h5py.File, groups: ClassGroups) -> None:
    """Store which class went where: a column of each field of `ClassRow`, in the order of the tree."""
    group = file.create_group(TABLE)
    for field in ("name", "words", "node", "group"):
        group.create_dataset(field, data=[getattr(row, field) for row in groups.rows], dtype=h5py.string_dtype())
    group.create_dataset("kept", data=np.array([row.is_kept for row in groups.rows], bool))
    group.create_dataset("images", data=np.array([row.images for row in groups.rows], np.int64))
    group.attrs["wanted"] = groups.num_wanted
    group.attrs["reached"] = len(groups.class_names)
    group.attrs["divisions"] = groups.num_divisions


def read_class_groups(path: str | Path) -> ClassGroups:
    """Read which class went where out of a dataset file.

    Raises:
        ArtifactError: not a dataset file, or one whose classes are not in groups.
    """
    with open_artifact(path, "dataset") as file:
        if TABLE not in file:
            raise ArtifactError(f"expected classes in groups in {path}, got a dataset without; set its classes")
        group = file[TABLE]
        images, kept = read_array(group, "images", np.int64), read_array(group, "kept", bool)
        texts = [_read_column(group, field, len(images)) for field in ("name", "words", "node", "group")]
        rows = [ClassRow(*row) for row in zip(*texts, kept.tolist(), images.tolist(), strict=True)]
        return ClassGroups(tuple(rows), int(group.attrs["wanted"]), int(group.attrs["divisions"]))


def _read_column(group: h5py.Group, name: str, count: int) -> list[str]:
    stored(group, name)  # refuses a column that is not there
    column = read_texts(group, name, count)
    return [] if column is None else list(column)

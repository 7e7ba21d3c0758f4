"""The pool: every training candidate in one fixed order, real train rows first, then synthetic rows.

A pool file holds virtual datasets over the dataset and synthetic files, so that people can open it; none of images
where some are kept as the bytes of their files. Programs use `open_pool`, because h5py returns zeros without an error
when a source of a virtual dataset is missing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.data.class_names import class_names_in
from pumalib.data.image_groups import expect_images_as_written, image_shape_of, is_encoded, map_images, num_images
from pumalib.data.image_readers import Images, JoinedImages
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import (
    content_fingerprint,
    create_artifact,
    expect_fingerprint,
    open_artifact,
    read_array,
    read_texts,
)
from pumalib.files.origin import NOBODY, Input, Maker, Origin

REAL, SYNTHETIC = 0, 1
SOURCE_NAMES = ("real", "synthetic")


@dataclass(frozen=True)
class _Part:
    """One source of a pool: where its rows lie, and what they must be."""

    path: str
    kind: str
    group: str
    rows: int
    fingerprint: str


@dataclass(frozen=True)
class Pool:
    """An opened pool: all training candidates in one fixed order, real rows first.

    Attributes:
        images: [N, H, W, C] uint8, read from disk when they are asked for.
        labels: [N] int64.
        source: [N] uint8, 0 real, 1 synthetic.
        class_names: names in label order.
        fingerprint: hash of the content, the key that every file about this pool carries.
        parts: where its rows lie.
    """

    images: JoinedImages
    labels: NDArray[np.int64]
    source: NDArray[np.uint8]
    class_names: tuple[str, ...]
    fingerprint: str
    parts: tuple[_Part, ...] = ()

    def read_files(self) -> NDArray[np.object_] | None:
        """Read the names of the files that images were, "" for others; None: none was one.

        Raises:
            ArtifactError: a missing or damaged source.
        """
        names = [_read_files(part) for part in self.parts]
        if all(each is None for each in names):
            return None
        blanks = [np.full(part.rows, "", object) for part in self.parts]
        return np.concatenate([blank if each is None else each for each, blank in zip(names, blanks, strict=True)])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.images.image_shape


@dataclass(frozen=True)
class PoolRows:
    """What selecting needs of a pool: everything but the images."""

    labels: NDArray[np.int64]
    source: NDArray[np.uint8]
    class_names: tuple[str, ...]
    fingerprint: str


def build_pool(
    dataset: Path,
    synthetic: Path | None,
    output: Path,
    settings: Mapping[str, Any],
    maker: Maker = NOBODY,
) -> None:
    """Write a pool over the train rows of a dataset and, after them, the rows of a synthetic set.

    Raises:
        DataError: image shapes differ, or a synthetic label is not a class of the dataset.
    """
    with open_artifact(dataset, "dataset") as file:
        class_names = class_names_in(file)
    parts = [_describe(dataset, "dataset", "train")]
    if synthetic is not None:
        parts.append(_describe(synthetic, "synthetic", "/"))
    source = np.repeat(np.arange(len(parts), dtype=np.uint8), [part.rows for part in parts])
    _write_pool(parts, source, class_names, output, maker.origin(settings, _inputs(parts)))


def build_learned_pool(learned: Path, output: Path, settings: Mapping[str, Any], maker: Maker = NOBODY) -> None:
    """Write a pool over learned images; the source of a row is that of the row it was learned from."""
    with open_artifact(learned, "learned") as file:
        class_names = class_names_in(file)
        source: NDArray[np.uint8] = read_array(file, "source", np.uint8)
    parts = [_describe(learned, "learned", "/")]
    _write_pool(parts, source, class_names, output, maker.origin(settings, _inputs(parts)))


def _inputs(parts: list[_Part]) -> dict[str, Input]:
    return {
        part.kind: Input(Path(part.path), part.fingerprint, part.group if part.kind == "dataset" else "")
        for part in parts
    }


def _write_pool(
    parts: list[_Part], source: NDArray[np.uint8], class_names: tuple[str, ...], output: Path, origin: Origin
) -> None:
    labels, shapes = zip(*[_read_labels(part) for part in parts], strict=True)
    _check_parts(parts, labels, shapes, len(class_names))
    fingerprint = content_fingerprint(*[part.fingerprint for part in parts])
    with create_artifact(output, "pool", origin) as file:
        file.attrs["pool_fingerprint"] = fingerprint
        file.attrs["class_names"] = list(class_names)
        file.attrs["sources"] = json.dumps([_relative(part, output.parent) for part in parts])
        file.create_dataset("source", data=source)
        if not any(map(_is_encoded, parts)):
            _link(file, "images", parts, shapes[0], np.uint8, output.parent)
        _link(file, "labels", parts, (), np.int64, output.parent)


def _describe(path: Path, kind: str, group: str) -> _Part:
    """Describe a source; its images are read once here, to see that they are what was written."""
    with open_artifact(path, kind) as file:
        expect_images_as_written(file[group])
        return _Part(str(path), kind, group, len(file[group]["labels"]), str(file[group].attrs["fingerprint"]))


def _read_labels(part: _Part) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    with open_artifact(part.path, part.kind) as file:
        group = file[part.group]
        return read_array(group, "labels", np.int64), image_shape_of(group)


def _check_parts(parts: list[_Part], labels: Any, shapes: Any, num_classes: int) -> None:
    for part, part_labels, shape in zip(parts, labels, shapes, strict=True):
        if shape != shapes[0]:
            raise DataError(f"expected images of shape {shapes[0]} as in {parts[0].path}, got {shape} in {part.path}")
        if part_labels.min() < 0 or part_labels.max() >= num_classes:
            raise DataError(
                f"expected labels in [0, {num_classes}), the classes of {parts[0].path}, "
                f"got {part_labels.min()}..{part_labels.max()} in {part.path}"
            )


def _is_encoded(part: _Part) -> bool:
    with open_artifact(part.path, part.kind) as file:
        return is_encoded(file[part.group])


def _relative(part: _Part, folder: Path) -> dict[str, Any]:
    return {**vars(part), "path": os.path.relpath(part.path, folder)}


def _link(file: h5py.File, name: str, parts: list[_Part], shape: tuple[int, ...], dtype: Any, folder: Path) -> None:
    """Create a virtual dataset; h5py's own call would store the time of day, and byte equality would be lost."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    whole = (sum(part.rows for part in parts), *shape)
    start = 0
    for part in parts:
        extent = (part.rows, *shape)
        target = h5py.h5s.create_simple(whole)
        target.select_hyperslab((start, *[0] * len(shape)), extent)
        path, dataset = os.path.relpath(part.path, folder), f"{part.group.rstrip('/')}/{name}"
        properties.set_virtual(target, path.encode(), dataset.encode(), h5py.h5s.create_simple(extent))
        start += part.rows
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(whole), properties)


def open_pool(path: str | Path) -> Pool:
    """Open a pool for reading. Its sources are checked, and its images are memory-mapped.

    Args:
        path: of the pool: `pools/<name>/seed<k>.h5` of a study.

    Returns:
        The pool of N rows. `images[rows]` reads those rows alone.

    Raises:
        ArtifactError: a missing or damaged source, or one whose rows or fingerprint are not the pool's.

    Example:
        >>> import numpy as np
        >>> pool = open_pool("results/digits/pools/digits+10k/seed0.h5")
        >>> pool.images[np.array([0, 5])].shape, pool.image_shape
        ((2, 8, 8, 1), (8, 8, 1))
        >>> len(pool) == len(pool.labels) == len(pool.source)
        True
    """
    rows = read_pool_rows(path)
    parts = _resolve(Path(path))
    return Pool(
        images=JoinedImages(tuple(_map_images(part) for part in parts)),
        labels=rows.labels,
        source=rows.source,
        class_names=rows.class_names,
        fingerprint=rows.fingerprint,
        parts=tuple(parts),
    )


def read_pool_rows(path: str | Path) -> PoolRows:
    """Read labels and sources of a pool, from the files it stands on.

    Raises:
        ArtifactError: as `open_pool`.
    """
    parts = _resolve(Path(path))
    found = [_check_part(part, path) for part in parts]
    labels = found[0] if len(found) == 1 else np.concatenate(found)
    num_rows = sum(part.rows for part in parts)
    with open_artifact(path, "pool") as file:
        source = read_array(file, "source", np.uint8)
        if len(source) != num_rows or (num_rows and source.max() > SYNTHETIC):
            raise ArtifactError(
                f"expected {num_rows} values of 'source', 0 or 1, in {path}, got {len(source)} of at most "
                f"{source.max(initial=0)}; make it again"
            )
        class_names, fingerprint = class_names_in(file), str(file.attrs["pool_fingerprint"])
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(class_names):
        raise ArtifactError(
            f"expected labels of the {len(class_names)} classes that the pool {path} names, "
            f"got {labels.min()}..{labels.max()} in the files it stands on; make them again"
        )
    return PoolRows(labels, source, class_names, fingerprint)


def _resolve(path: Path) -> list[_Part]:
    with open_artifact(path, "pool") as file:
        described = json.loads(file.attrs["sources"])
        return [_Part(**{**part, "path": os.path.normpath(path.parent / part["path"])}) for part in described]


def _check_part(part: _Part, pool: str | Path) -> NDArray[np.int64]:
    if not Path(part.path).is_file():
        raise ArtifactError(f"expected {part.path}, a source of the pool {pool}, found nothing; make it again")
    with open_artifact(part.path, part.kind) as file:
        if part.group not in file:
            raise ArtifactError(f"expected group {part.group!r} in {part.path}, a source of the pool {pool}")
        group = file[part.group]
        expect_fingerprint(str(group.attrs["fingerprint"]), part.fingerprint, f"source of pool {pool}", part.path)
        labels = read_array(group, "labels", np.int64)
        count = num_images(group)
        if len(labels) != part.rows or count != part.rows:
            raise ArtifactError(
                f"expected {part.rows} labels and images in {part.path}, got {len(labels)} and {count}; make it again"
            )
    return labels


def _read_files(part: _Part) -> NDArray[np.object_] | None:
    with open_artifact(part.path, part.kind) as file:
        return read_texts(file[part.group], "files", part.rows)


def _map_images(part: _Part) -> Images:
    with open_artifact(part.path, part.kind) as file:
        return map_images(file[part.group])

"""Images as HDF5 groups hold them: decoded, or as the bytes of their files. Imports no torch.

Either way they are contiguous and not compressed, so that they can be memory-mapped, and carry a fingerprint:

* decoded: `images` [N, H, W, C] uint8;
* encoded: `encoded` [bytes] uint8, the files one after another; `offsets` [N + 1] int64, where each begins, and the
  last one ends; `sizes` [N, 2] int32, height and width; and the attribute `view`, what is made of them.

Both: `labels` [N] int64 and, where images were files, their names `files` [N].
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.data.decoding import View
from pumalib.data.encoded_images import EncodedImages, MappedBytes
from pumalib.data.image_readers import Images, LazyImages, blocks_of
from pumalib.data.images import LabelledImages
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, read_array, read_texts, stored, to_json


def write_images(group: h5py.Group, split: LabelledImages) -> None:
    """Store images, labels and names of files, with a fingerprint."""
    if isinstance(split.images, EncodedImages):
        _write_encoded(group, split.images)
    elif isinstance(split.images, LazyImages):
        column = group.create_dataset("images", split.images.shape, np.uint8)
        for rows, block in blocks_of(split.images):
            column[rows] = block
    else:
        group.create_dataset("images", data=np.ascontiguousarray(split.images))
    group.create_dataset("labels", data=split.labels.astype(np.int64))
    if split.files is not None:
        group.create_dataset("files", data=split.files, dtype=h5py.string_dtype())
    group.attrs["fingerprint"] = fingerprint_of_group(group)


def _write_encoded(group: h5py.Group, images: EncodedImages) -> None:
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(images.lengths, dtype=np.int64)])
    column = group.create_dataset("encoded", (int(offsets[-1]),), np.uint8)
    place = 0
    for block in images.blocks():
        column[place : place + len(block)] = block
        place += len(block)
    group.create_dataset("offsets", data=offsets)
    group.create_dataset("sizes", data=images.sizes.astype(np.int32))
    group.attrs["view"] = to_json(asdict(images.view))


def bytes_of(images: Images) -> int:
    """Return how many bytes images take in a file."""
    return int(images.lengths.sum()) if isinstance(images, EncodedImages) else int(images.size)


def is_encoded(group: h5py.Group) -> bool:
    """Return whether a group holds the bytes of files."""
    return "encoded" in group


def image_shape_of(group: h5py.Group) -> tuple[int, int, int]:
    """Return (H, W, C) of the images of a group.

    Raises:
        ArtifactError: it has none.
    """
    if is_encoded(group):
        return _view(group).image_shape
    shape = stored(group, "images").shape
    if len(shape) != 4:
        raise ArtifactError(f"expected images [N, H, W, C], got {list(shape)} in {group.file.filename}; make it again")
    height, width, channels = shape[1:]
    return int(height), int(width), int(channels)


def num_images(group: h5py.Group) -> int:
    """Return how many images a group holds."""
    return len(stored(group, "offsets")) - 1 if is_encoded(group) else len(stored(group, "images"))


def map_images(group: h5py.Group) -> Images:
    """Return the images of a group, memory-mapped; the file may be closed then.

    Raises:
        ArtifactError: they are not as `write_images` stores them.
    """
    return _map_encoded(group) if is_encoded(group) else _mapped(group, "images", 4)


def _map_encoded(group: h5py.Group) -> EncodedImages:
    content, path = _mapped(group, "encoded", 1), group.file.filename
    offsets, sizes = _mapped(group, "offsets", 1, np.int64), _mapped(group, "sizes", 2, np.int32)
    count = len(offsets) - 1
    is_right = count >= 0 and offsets[0] == 0 and offsets[-1] == len(content) and (offsets[1:] > offsets[:-1]).all()
    if not is_right or sizes.shape != (count, 2):
        raise ArtifactError(
            f"expected offsets of {len(sizes)} images that follow each other, from 0 to {len(content)}, got others in "
            f"{path}; make it again"
        )
    files = MappedBytes(content, offsets, sizes, str(path))
    return EncodedImages(files, np.arange(count, dtype=np.int64), _view(group))


def _mapped(group: h5py.Group, name: str, ndim: int, dtype: Any = np.uint8) -> NDArray[Any]:
    column = stored(group, name)
    if column.size == 0 and column.ndim == ndim:
        return np.empty(column.shape, dtype)
    offset = column.id.get_offset()
    if offset is None or column.dtype != dtype or column.ndim != ndim:
        layout = "chunked" if offset is None else "contiguous"
        raise ArtifactError(
            f"expected contiguous, uncompressed {name} {np.dtype(dtype)} with {ndim} dimensions, got {layout} "
            f"{column.dtype} {list(column.shape)} in {group.file.filename}; make it again"
        )
    return np.memmap(group.file.filename, dtype, "r", offset, column.shape)


def _view(group: h5py.Group) -> View:
    return View(**json.loads(group.attrs["view"]))


def fingerprint_of_group(group: h5py.Group) -> str:
    """Take the fingerprint of labels and images as they stand in a group, reading all of them once."""
    labels = read_array(group, "labels", np.int64)
    if not is_encoded(group):
        return content_fingerprint(labels, stored(group, "images"))
    parts = (stored(group, name) for name in ("offsets", "encoded"))
    return content_fingerprint(labels, *parts, str(group.attrs["view"]))


def expect_images_as_written(group: h5py.Group) -> None:
    """Refuse labels and images that have another fingerprint than their group says.

    Raises:
        ArtifactError: they have.
    """
    if fingerprint_of_group(group) != group.attrs["fingerprint"]:
        raise ArtifactError(
            f"expected the images of {group.file.filename}{group.name} as they were written, got others; "
            "delete the file and run again"
        )


def read_images(group: h5py.Group) -> LabelledImages:
    """Return labels, names and images of a group, the images memory-mapped; all are held to the fingerprint.

    Raises:
        ArtifactError: they are not those that were written.
    """
    expect_images_as_written(group)
    labels: NDArray[np.int64] = read_array(group, "labels", np.int64)
    return LabelledImages(map_images(group), labels, read_texts(group, "files", len(labels)))

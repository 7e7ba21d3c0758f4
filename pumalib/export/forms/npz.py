"""An npz file with `image` and `label`, as published sets of generated images have them, and what else is known."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.image_readers import LazyImages
from pumalib.export.exported import Exported
from pumalib.export.image_files import blocks_of
from pumalib.files.artifacts import expect_room, writing


def write(exported: Exported, out: Path) -> None:
    """Write rows, their images decoded and not compressed.

    Raises:
        ResourceError: no room.
    """
    images = exported.pool.images
    expect_room(out, len(exported.rows) * math.prod(images.image_shape), "the images")
    with writing(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add_images(archive, images, exported.rows)
        for name, column in _columns(exported).items():
            with _member(archive, name) as stream:
                np.lib.format.write_array(stream, column, allow_pickle=False)


def _columns(exported: Exported) -> dict[str, NDArray[Any]]:
    """Return the other arrays, all of plain numbers and text: nothing needs pickle."""
    table = exported.table(slice(None))
    columns = {str(name): table[name].to_numpy() for name in table if name not in ("class", "source", "file")}
    if "attack_steps" in columns:
        columns["attack_steps"] = columns["attack_steps"].astype(np.int64)
    if exported.files is not None:
        columns["file"] = table["file"].to_numpy().astype(str)
    return {
        **columns,
        "source": exported.pool.source[exported.rows],
        "class_names": np.array(exported.pool.class_names, str),
        "origin": np.array(json.dumps(exported.origin)),
    }


def _add_images(archive: zipfile.ZipFile, images: LazyImages, rows: NDArray[np.int64]) -> None:
    shape = (len(rows), *images.image_shape)
    with _member(archive, "image") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(images.dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks_of(np.full(len(rows), math.prod(images.image_shape))):
            stream.write(images[rows[block]].data)


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    """Open a member, without the time of day, so that equal content gives equal bytes."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
        yield stream

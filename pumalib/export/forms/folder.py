"""A folder per class with an image file per row, and `metadata.csv`, whose `file_name` leads to each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pumalib.export.exported import Exported
from pumalib.export.forms.csv import add_lines
from pumalib.export.image_files import blocks_of, class_folders, file_name, file_sizes, read_files
from pumalib.files.artifacts import write_text
from pumalib.files.folders import writing_folder

METADATA, ORIGIN = "metadata.csv", "origin.json"


def write(exported: Exported, out: Path) -> None:
    """Write rows; classes without any get no folder.

    Raises:
        ResourceError: no room.
    """
    classes = class_folders(exported.pool.class_names, (METADATA, ORIGIN))
    sizes = file_sizes(exported.pool.images, exported.rows)
    with writing_folder(out) as temporary:
        for label in np.unique(exported.labels[exported.rows]).tolist():
            (temporary / classes[label]).mkdir()
        with (temporary / METADATA).open("w", encoding="utf-8", newline="") as file:
            for block in blocks_of(sizes):
                table = exported.table(block)
                folders = [classes[label] for label in table["label"]]
                names = _put_images(temporary, folders, exported, block)
                table.insert(0, "file_name", names)
                add_lines(file, table, is_first=block.start == 0)
        write_text(temporary / ORIGIN, json.dumps(exported.origin, indent=2) + "\n")


def _put_images(root: Path, folders: list[str], exported: Exported, block: slice) -> list[str]:
    """Write the files of a block; return where they are below the root."""
    rows, originals = exported.rows[block], exported.originals(block)
    contents = read_files(exported.pool.images, rows)
    return [
        f"{folder}/{_put(root / folder, file_name(row, content, original), content, row)}"
        for folder, content, original, row in zip(folders, contents, originals, rows.tolist(), strict=True)
    ]


def _put(folder: Path, name: str, content: bytes, row: int) -> str:
    """Write a file under a name that is not taken in the folder; return the name."""
    while True:
        try:
            with (folder / name).open("xb") as file:
                file.write(content)
            return name
        except FileExistsError:
            path = Path(name)
            name = f"{path.stem}-{row}{path.suffix}"

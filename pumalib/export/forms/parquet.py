"""A table as Parquet, with images as Hugging Face `datasets` decodes them. Needs the optional package `pyarrow`."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pumalib.errors import ConfigError
from pumalib.export.exported import Exported
from pumalib.export.image_files import blocks_of, file_name, file_sizes, read_files
from pumalib.files.artifacts import writing

_LINE_BYTES = 1 << 10
"""Memory of a row without its image, about; large enough for its texts."""


def expect_package() -> None:
    """Refuse to begin without pyarrow.

    Raises:
        ConfigError: it is not installed; with the command that installs it.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(
            'expected the package pyarrow for --to parquet, found none; pip install "pumalib[export]", '
            "or write --to csv"
        )


def write(exported: Exported, out: Path, with_images: bool) -> None:
    """Write rows, in groups that fit in memory.

    Raises:
        ResourceError: no room.
    """
    sizes = np.full(len(exported.rows), _LINE_BYTES, np.int64)
    if with_images:
        sizes += file_sizes(exported.pool.images, exported.rows)
    schema = _schema(exported, with_images)
    package = importlib.import_module("pyarrow")
    with writing(out) as temporary, importlib.import_module("pyarrow.parquet").ParquetWriter(temporary, schema) as file:
        for block in blocks_of(sizes):
            columns: dict[str, Any] = {str(name): column for name, column in exported.table(block).items()}
            if with_images:
                columns["image"] = _images(exported, block)
            arrays = [package.array(columns[field.name], field.type, from_pandas=True) for field in schema]
            file.write_table(package.Table.from_arrays(arrays, schema=schema))


def _images(exported: Exported, block: slice) -> list[dict[str, Any]]:
    rows, originals = exported.rows[block], exported.originals(block)
    contents = read_files(exported.pool.images, rows)
    return [
        {"bytes": content, "path": file_name(row, content, original)}
        for row, content, original in zip(rows.tolist(), contents, originals, strict=True)
    ]


def _schema(exported: Exported, with_images: bool) -> Any:
    """Return names and types of the columns, and what `datasets` is told of labels and images."""
    package = importlib.import_module("pyarrow")
    table = exported.table(slice(0))
    fields = [package.field(name, _type(table[name])) for name in table]
    features: dict[str, Any] = {"label": {"names": list(exported.pool.class_names), "_type": "ClassLabel"}}
    if with_images:
        image = package.struct({"bytes": package.binary(), "path": package.string()})
        fields.append(package.field("image", image))
        features["image"] = {"_type": "Image"}
    told = {"huggingface": json.dumps({"info": {"features": features}}), "pumalib": json.dumps(exported.origin)}
    return package.schema(fields, told)


def _type(column: pd.Series[Any]) -> Any:
    package = importlib.import_module("pyarrow")
    if column.name in ("file", "class", "source", "pruned_by"):
        return package.string()
    kinds = {"Int64": "int64", "int64": "int64", "float32": "float32", "bool": "bool_"}
    return getattr(package, kinds[str(column.dtype)])()

"""docs/export.md can be followed by scripts without this library; `make test-export` installs what else it takes."""

import importlib.util
import io
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from document_blocks import ROOT, Block, blocks_of
from PIL import Image

from pumalib.cli.export import EXAMPLES
from pumalib.cli.main import main
from pumalib.data.pool import open_pool
from tests.export.conftest import run_without_the_library

PACKAGES = ("datasets", "pyarrow")
BLOCKS = [block for block in blocks_of(ROOT / "docs/export.md") if block.language in ("sh", "python")]

_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason="the extra huggingface is not installed; see make test-export",
)


def needs_packages(block: Block) -> bool:
    return "datasets" in block.text or "parquet" in block.text


def follow(blocks: list[Block], folder: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run blocks from top to bottom; return what the scripts print."""
    (folder / "results").mkdir()
    (folder / "results/digits").symlink_to(study)
    monkeypatch.chdir(folder)
    printed = []
    for block in blocks:
        if block.language == "sh":
            _, *words = shlex.split(block.text.replace("puma-20", "puma"))
            assert main(words) == 0
        else:
            printed.append(run_script(block.text, folder))
    return printed


def test_examples_of_the_help_work(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [Block("sh", f"puma {example}") for example in EXAMPLES]
    follow([block for block in blocks if not needs_packages(block)], tmp_path, digits, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == {"results", "kept", "kept.npz"}


def run_script(code: str, folder: Path) -> str:
    return run_without_the_library(code, folder, HF_HOME=str(folder / "cache"), HF_HUB_OFFLINE="1")


def test_page_can_be_followed_without_optional_packages(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in BLOCKS if not needs_packages(block)]
    trained, read, table = follow(blocks, tmp_path, digits, monkeypatch)
    assert float(trained.removeprefix("loss of the last batch: ")) > 0
    assert read == ""
    assert "margin easiest 10 %" in table


@_packages
def test_page_can_be_followed_with_hugging_face_datasets(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in BLOCKS if needs_packages(block) or "--to folder" in block.text]
    folder, parquet = follow(blocks, tmp_path, digits, monkeypatch)
    assert folder.startswith("(8, 8) ")
    assert parquet.startswith("['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'] (8, 8) ")


READ = """
from datasets import load_dataset
import numpy as np
rows = load_dataset({form}, split="train")
print(rows.features["image"].__class__.__name__)
np.savez("read.npz", row=rows["row"], label=rows["label"], epsilon=rows["epsilon"], margin=rows["margin"],
         image=[np.asarray(image.convert("RGB").resize((12, 12))) for image in rows["image"]])
"""


@_packages
@pytest.mark.parametrize(
    ("to", "name", "form"),
    [
        ("folder", "kept", "'imagefolder', data_dir='kept'"),
        ("parquet", "kept.parquet", "'parquet', data_files='kept.parquet'"),
    ],
)
def test_hugging_face_datasets_gives_every_row_with_its_image(
    photographs: Path, export: Callable[..., dict[str, Any]], tmp_path: Path, to: str, name: str, form: str
) -> None:
    selection = photographs / "selections/mine/seed0.h5"
    options = ("--images", "--kept-only") if to == "parquet" else ()
    export(selection, to, tmp_path / name, *options)
    export(selection, "npz", tmp_path / "kept.npz")
    assert run_script(READ.format(form=form), tmp_path) == "Image\n"
    with np.load(tmp_path / "read.npz") as read, np.load(tmp_path / "kept.npz") as kept:
        for column in ("row", "label"):
            assert read[column].tolist() == kept[column].tolist()
        for column in ("epsilon", "margin"):
            np.testing.assert_array_equal(read[column].astype(np.float32), kept[column])
        synthetic = kept["source"] == 1
        np.testing.assert_array_equal(read["image"][synthetic], kept["image"][synthetic])
    assert synthetic.any()


@_packages
def test_parquet_has_bytes_names_types_and_nothing_where_a_row_was_pruned(
    photographs: Path, export: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    parquet = importlib.import_module("pyarrow.parquet")
    export(photographs / "selections/mine/seed0.h5", "parquet", tmp_path / "rows.parquet", "--images")
    table = parquet.read_table(tmp_path / "rows.parquet")
    rows = table.to_pylist()
    pool = open_pool(photographs / "pools/mine/seed0.h5")
    assert [row["row"] for row in rows] == list(range(len(pool)))
    assert {str(field.type) for field in table.schema} >= {"int64", "float", "bool", "string"}
    for row in rows:
        assert (row["epsilon"] is None) == (row["attack_steps"] is None) == (not row["kept"]) == bool(row["pruned_by"])
        if row["source"] == "real":
            assert row["image"]["bytes"] == (photographs.parents[1] / "real" / row["file"]).read_bytes()
            assert row["image"]["path"].endswith(".JPG")
        else:
            image = np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
            np.testing.assert_array_equal(image, pool.images[np.array([row["row"]])][0])


@_packages
def test_blocks_change_no_row_of_parquet(
    photographs: Path, export: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, parquet = (importlib.import_module(name) for name in ("pumalib.export.forms.parquet", "pyarrow.parquet"))
    selection = photographs / "selections/mine/seed0.h5"
    export(selection, "parquet", tmp_path / "whole.parquet", "--images")
    monkeypatch.setattr(form, "blocks_of", lambda sizes: (slice(row, row + 1) for row in range(len(sizes))))
    export(selection, "parquet", tmp_path / "blocks.parquet", "--images")
    whole, blocks = (parquet.ParquetFile(tmp_path / f"{name}.parquet") for name in ("whole", "blocks"))
    assert whole.num_row_groups < blocks.num_row_groups == blocks.metadata.num_rows
    assert whole.read().equals(blocks.read())

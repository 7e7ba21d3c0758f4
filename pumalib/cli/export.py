"""Write what a selection keeps for use outside this project.

Writes images, labels, margins and epsilons of the rows kept (npz, folder), or a table of all rows of the pool with the
cut that removed each of the others (csv, parquet). docs/export.md shows how PyTorch, Hugging Face datasets and
published training code read each form.
"""

from __future__ import annotations

import argparse
import importlib

from pumalib.cli.output import add_json, facts, print_json
from pumalib.cli.paths import existing, writable
from pumalib.cli.usage import UsageError
from pumalib.export.exported import Exported, read_exported
from pumalib.lineage.headers import read_header

EXAMPLES = (
    "export results/digits/selections/puma-20/seed0.h5 --to npz --out kept.npz",
    "export results/digits/selections/puma-20/seed0.h5 --to folder --out kept",
    "export results/digits/selections/puma-20/seed0.h5 --to parquet --images --kept-only --out kept.parquet",
)

_OF_IMAGES = ("npz", "folder")
"""Forms of what to train on: the rows kept, with their images."""
_TABLES = ("csv", "parquet")
"""Forms of a table of all rows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the selection, the form, and where to write."""
    parser.add_argument("file", help="a selection, such as results/digits/selections/puma-20/seed0.h5")
    parser.add_argument("--to", choices=(*_OF_IMAGES, *_TABLES), required=True, help="the form to write")
    parser.add_argument("--out", type=writable, required=True, help="file or folder to write; nothing may be there yet")
    parser.add_argument("--kept-only", action="store_true", help="csv, parquet: leave out pruned rows")
    parser.add_argument("--images", action="store_true", help="parquet: with the images (npz and folder have them)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write the export, and say what is in it."""
    _expect_fitting(options)
    kept_only = options.kept_only or options.to in _OF_IMAGES
    exported = read_exported(read_header(existing(options.file)), kept_only)
    form = importlib.import_module(f"pumalib.export.forms.{options.to}")
    form.write(exported, options.out, **({"with_images": options.images} if options.to == "parquet" else {}))
    told = _told(exported)
    if options.json:
        print_json({"path": options.file, "out": options.out, "to": options.to, **told, "notes": exported.notes})
    else:
        print("\n".join([f"{options.out}:", *facts(told), *exported.notes]))
    return 0


def _expect_fitting(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, before anything is read."""
    if options.images and options.to == "csv":
        raise UsageError("expected a form that holds images with --images, got csv; use --to parquet, folder or npz")
    if options.to != "folder" and options.out.suffix != f".{options.to}":
        raise UsageError(f"expected a file name that ends in .{options.to} at --out, got {options.out}")
    if options.out.exists() or options.out.is_symlink():
        raise UsageError(f"expected nothing at {options.out} yet, found something; delete it, or name another --out")
    if options.to == "parquet":
        from pumalib.export.forms.parquet import expect_package

        expect_package()


def _told(exported: Exported) -> dict[str, object]:
    told: dict[str, object] = {
        "rows_written": len(exported.rows),
        "rows_kept": len(exported.selection.rows),
        "rows_in_pool": len(exported.pool),
    }
    return told | ({} if exported.origin["margin"] is None else {"margin_of_score": exported.origin["margin"]})

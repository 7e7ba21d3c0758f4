"""Draw rows of a file as a contact sheet: each image with its row, label, prediction and values.

Takes score tables and tracks (hardest rows, easiest rows), selections (kept rows and those that each cut removed),
attack tables (clean, adversarial and difference, if the attack has `keep_points: true`), pools, datasets, synthetic
and learned sets. The images are found through the study's folder.
"""

from __future__ import annotations

import argparse
import re

import numpy as np
from numpy.typing import NDArray

from pumalib.cli.output import add_json, print_json, wrapped
from pumalib.cli.paths import existing
from pumalib.cli.pictures import picture
from pumalib.errors import DataError
from pumalib.inspection.files import read_samples
from pumalib.inspection.samples import Samples, drawn, ordered, positions_of, row_table
from pumalib.lineage.headers import read_header

EXAMPLES = (
    "show results/digits/scores/margin/seed0.h5 --rows hardest --count 24 --out hardest.png",
    "show results/digits/selections/puma-20/seed0.h5 --out pruned.png",
    "show results/digits/pools/digits+10k/seed0.h5 --rows 0,5,100-107 --out rows.png",
    "show results/digits/attacks/puma-20/seed0/cw.h5 --rows easiest --out robust.png",
)

_GROUPED = ("selection", "attack", "dataset", "pool")
"""Kinds whose groups (of reason, outcome, split, source) are drawn apart."""

_PER_GROUP = 16
_MOST = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, the rows and the picture."""
    parser.add_argument("file", help="a file about rows, such as a score table")
    parser.add_argument(
        "--rows",
        type=_rows,
        help="hardest, easiest, or numbers such as 0,5,10-19 (default: hardest; files without order: drawn at random)",
    )
    parser.add_argument("--count", type=_count, default=_PER_GROUP, help="how many rows of each group (16)")
    parser.add_argument("--out", type=picture, required=True, help="PNG to write")
    add_json(parser)


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"expected a number in [1, {_MOST}], got {text}")
    return int(text)


def _rows(text: str) -> str | NDArray[np.int64]:
    """Read `hardest`, `easiest` or a list of row numbers."""
    if text in ("hardest", "easiest"):
        return text
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"expected hardest, easiest or numbers such as 0,5,10-19, got {text}")
    ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
    rows = [row for part in ends for row in range(part[0], part[-1] + 1)]
    if not 0 < len(rows) <= _MOST:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MOST} rows, got {len(rows)}")
    return np.array(rows, np.int64)


def run(options: argparse.Namespace) -> int:
    """Write the sheet and say what is on it."""
    path = existing(options.file)
    samples = read_samples(path)
    chosen = _choose(samples, read_header(path).kind, options)
    if not chosen:
        raise DataError(f"expected rows to draw, got none with {options.rows or 'a score'} in {path}")
    from pumalib.reporting.contact_sheet import Block, write_contact_sheet

    names_groups = len(set(samples.groups.tolist())) > len(chosen)
    blocks = [Block(name, positions, names_groups) for name, positions in chosen.items()]
    write_contact_sheet(samples, blocks, str(path), options.out)
    if options.json:
        tables = {name: row_table(name, samples, positions) for name, positions in chosen.items()}
        groups = {
            name: [dict(zip(each.columns, row, strict=True)) for row in each.rows] for name, each in tables.items()
        }
        print_json({"path": path, "picture": options.out, "groups": groups})
    else:
        counted = ", ".join(f"{len(positions)} {name}" for name, positions in chosen.items())
        print("\n".join(wrapped(counted, f"{options.out}: ", "  ")))
    return 0


def _choose(samples: Samples, kind: str, options: argparse.Namespace) -> dict[str, NDArray[np.int64]]:
    """Return the positions to draw under each heading."""
    if isinstance(options.rows, np.ndarray):
        return {"rows asked for": positions_of(samples, options.rows)}
    side = options.rows or ("hardest" if samples.hardness is not None else None)
    groups = list(dict.fromkeys(samples.groups.tolist())) if kind in _GROUPED else [None]
    blocks: dict[str, NDArray[np.int64]] = {}
    for group in sorted(groups, key=str):
        positions = (
            drawn(samples, options.count, group) if side is None else ordered(samples, side, options.count, group)
        )
        order = f"{side} first" if side else "drawn at random"
        name = order if group is None else f"{group} ({order})"
        blocks |= {name: positions} if len(positions) else {}
    return blocks

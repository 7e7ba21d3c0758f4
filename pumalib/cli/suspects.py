"""List rows whose label the margin model denies: suspected label errors, worst first.

Takes a margin score of a study that has run. Writes all suspects as CSV (`--out`: row, source, label, prediction,
margin, file name) and the worst as a picture (`--picture`).
"""

from __future__ import annotations

import argparse

from pumalib.cli.output import add_json, aligned, facts, print_json
from pumalib.cli.paths import existing, writable
from pumalib.cli.pictures import picture
from pumalib.errors import DataError
from pumalib.inspection.samples import row_table
from pumalib.inspection.suspects import Suspects, detection, find_suspects
from pumalib.lineage.headers import read_header

EXAMPLES = (
    "suspects results/digits/scores/margin/seed0.h5",
    "suspects results/digits/scores/margin/seed0.h5 --out suspects.csv --picture suspects.png",
)

_SHOWN = 20
_DRAWN = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the score, how many rows, and where to write."""
    parser.add_argument("file", help="a margin score, such as results/digits/scores/margin/seed0.h5")
    parser.add_argument("--count", type=_count, default=_SHOWN, help=f"how many to print and to draw ({_SHOWN})")
    parser.add_argument("--out", type=writable, help="CSV to write, of all suspects")
    parser.add_argument("--picture", type=picture, help="PNG to write, of the worst")
    add_json(parser)


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= _DRAWN:
        raise argparse.ArgumentTypeError(f"expected a number in [1, {_DRAWN}], got {text}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print the worst suspects and how many there are; write what is asked for."""
    path = existing(options.file)
    suspects = find_suspects(read_header(path))
    found = detection(suspects)
    worst = row_table("suspects", suspects.rows, suspects.positions[: options.count])
    told = {"rows": len(suspects.rows.rows), "suspects": len(suspects.positions)}
    told |= {} if found is None else {f"planted_{name}": value for name, value in found._asdict().items()}
    if options.out is not None or options.picture is not None:
        _write(suspects, options, str(path))
    if options.json:
        rows = [dict(zip(worst.columns, row, strict=True)) for row in worst.rows]
        print_json({"path": path, **told, "worst": rows})
        return 0
    print("\n".join(facts(told, indent="")))
    print("\n".join(aligned(worst.columns, worst.rows, has_units=False)) if worst.rows else "no row is suspect")
    return 0


def _write(suspects: Suspects, options: argparse.Namespace, title: str) -> None:
    from pumalib.reporting.contact_sheet import Block, write_contact_sheet
    from pumalib.reporting.files import write_csv
    from pumalib.reporting.kinds.suspects import listed

    if options.out is not None:
        write_csv(options.out, listed(suspects))
    if options.picture is not None:
        positions = suspects.positions[: options.count]
        if not len(positions):
            raise DataError(f"expected suspects to draw, got no negative margin in {title}; leave --picture out")
        write_contact_sheet(
            suspects.rows, [Block("lowest margins first", positions, names_groups=True)], title, options.picture
        )

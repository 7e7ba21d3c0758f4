"""Say what a file of a study holds.

Where it comes from (study, name, seed, settings, fingerprints of its inputs), rows by class and source, how its
numbers are spread, and the hardest and easiest rows. Takes every file of docs/artifacts.md: datasets, pools,
synthetic and learned sets, score tables, selections, weights (or their folder), tracks, attack tables, CSV tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pumalib.cli.output import add_json, aligned, facts, flat, has_unicode, line_width, plain, print_json, wrapped
from pumalib.cli.paths import existing
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, to_json
from pumalib.inspection.files import inspect_file
from pumalib.inspection.inspection import QUANTILES, Distribution, Inspection, Table
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.places import Place, place_of
from pumalib.reporting.terminal import text_histogram

EXAMPLES = (
    "inspect results/digits/scores/margin/seed0.h5",
    "inspect results/digits/selections/puma-20/seed0.h5 --count 10",
    "inspect results/digits/models/puma-20/seed0",
    "inspect results/digits/results.csv --json",
)

_SHOWN = 12
_NUM_HISTOGRAMS = 2
_RANGE_WIDTH = 36
"""Characters of a histogram's line beside its bar."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file."""
    parser.add_argument("file", help="HDF5, safetensors, CSV or TSV file, or the folder of a model")
    parser.add_argument("--count", type=int, default=5, help="how many of the hardest, and of the easiest, rows (5)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the file holds."""
    path = existing(options.file)
    inspection = inspect_file(path, max(options.count, 0))
    header = None if path.suffix in (".csv", ".tsv") else read_header(path)
    if options.json:
        print_json(_as_json(path, header, inspection))
    else:
        print("\n".join(_lines(path, header, inspection)))
    return 0


def _place(path: Path) -> Place | None:
    """Return where a file stands in a study; None: nowhere, it was taken out of one."""
    try:
        return place_of(path)
    except ArtifactError:
        return None


def _as_json(path: Path, header: Header | None, inspection: Inspection) -> dict[str, Any]:
    place = _place(path)
    origin: dict[str, Any] = {}
    if place is not None:
        origin |= {"study": place.study, "group": place.group, "name": place.name, "seed": place.seed}
    if header is not None:
        names = ("settings", "code", "library_versions")
        origin |= {
            "kind": header.kind,
            "inputs": header.fingerprints,
            **{name: getattr(header, name) for name in names},
            **{name: value for name, value in header.attributes.items() if name == "precision"},
        }
    return {
        "path": path,
        "what": inspection.what,
        "origin": origin,
        "facts": inspection.facts,
        "tables": {
            table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows]
            for table in inspection.tables
        },
        "distributions": {each.name: _spread(each) for each in inspection.distributions},
        "notes": inspection.notes,
    }


def _spread(spread: Distribution) -> dict[str, Any]:
    quantiles = dict(zip(map(str, QUANTILES), plain(spread.quantiles), strict=False))
    names = ("num_values", "num_not_finite", "mean", "edges", "counts")
    return {**{name: getattr(spread, name) for name in names}, "quantiles": quantiles}


def _lines(path: Path, header: Header | None, inspection: Inspection) -> Iterator[str]:
    yield from wrapped(inspection.what, f"{path}: ", "  ")
    yield ""
    if header is not None:
        yield from _origin(path, header)
    yield from facts(inspection.facts)
    for table in inspection.tables:
        yield from _table(table)
    if inspection.distributions:
        yield from _quantiles(inspection.distributions)
    for spread in inspection.distributions[:_NUM_HISTOGRAMS] if header is not None else ():
        yield from _histogram(spread)
    for note in inspection.notes:
        yield ""
        yield from wrapped(note, "Note: ", "  ")


def _origin(path: Path, header: Header) -> Iterator[str]:
    place = _place(path)
    pairs: dict[str, Any] = {}
    if place is not None:
        attack = f", attack {place.attack}" if place.attack else ""
        epoch = f", epoch {place.epoch}" if place.epoch is not None else ""
        pairs["from"] = f"study {place.study}, {place.group}/{place.name}{attack}{epoch}"
        if place.seed is not None:
            pairs["seed"] = place.seed
    if "precision" in header.attributes:
        pairs["precision"] = header.attributes["precision"]
    pairs["settings"] = "  ".join(flat(header.settings))
    inputs = [f"{name} {fingerprint[:_SHOWN]}" for name, fingerprint in header.fingerprints.items() if fingerprint]
    pairs["made_of"] = ", ".join(inputs)
    if header.code:
        pairs["made_by"] = f"code {content_fingerprint(to_json(header.code))[:_SHOWN]} ({len(header.code) - 1} modules)"
    pairs["libraries"] = ", ".join(f"{name} {version}" for name, version in header.library_versions.items())
    yield from facts(pairs)
    yield ""


def _table(table: Table) -> Iterator[str]:
    if table.rows:
        yield ""
        yield f"{table.name[0].upper()}{table.name[1:]}"
        yield from aligned(table.columns, table.rows)


def _quantiles(spreads: tuple[Distribution, ...]) -> Iterator[str]:
    header = ["mean", "min", *(f"{100 * share:g} %" for share in QUANTILES[1:-1]), "max"]
    rows = [_filled([each.mean, *each.quantiles.tolist()], len(header)) for each in spreads]
    yield ""
    yield "Quantiles"
    if len(rows) == 1:  # the name would take the room of the numbers
        (spread,) = spreads
        yield from wrapped(f"{spread.name}: {spread.num_values} values, {spread.num_not_finite} left out", "  ", "    ")
        yield from aligned(header, rows)
    else:
        named = [
            [each.name, each.num_values, each.num_not_finite, *row] for each, row in zip(spreads, rows, strict=True)
        ]
        yield from aligned(["", "values", "left out", *header], named, has_units=False)


def _filled(row: list[Any], length: int) -> list[Any]:
    return [*row, *[None] * (length - len(row))]


def _histogram(spread: Distribution) -> Iterator[str]:
    if len(spread.counts) > 1:
        yield ""
        yield from wrapped(f"Histogram of {spread.name}", "", "  ")
        width = max(min(line_width() - _RANGE_WIDTH, 60), 10)
        for line in text_histogram(spread.edges.tolist(), spread.counts.tolist(), width, has_unicode()):
            yield f"  {line}"

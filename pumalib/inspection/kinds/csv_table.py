"""Tables in CSV: results, histories, the tables of the theories and of reports; and in TSV: what jobs cost."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

from pumalib.errors import ArtifactError
from pumalib.files.tables import read_table
from pumalib.inspection.inspection import Distribution, Inspection, Table, distribution

_RESULTS = {"study", "run", "seed", "attack", "metric", "value"}
_MOST_NAMED = 8


def inspect_csv(path: Path) -> Inspection:
    """Describe a table: of results by run and metric, of others column by column.

    Raises:
        ArtifactError: empty, not text, or lines of different lengths.
    """
    header, lines = _read(path)
    columns = {name: [line[index] for line in lines] for index, name in enumerate(header)}
    values = _numbers(columns.get("value", [""]))
    if set(columns) >= _RESULTS and values is not None:
        facts = {"runs": len(set(columns["run"])), "seeds": sorted(set(columns["seed"])), "lines": len(lines)}
        return Inspection(
            f"the results of study {columns['study'][0]}, one line a number", facts, (_by_run(columns, values),)
        )
    tables, spread = _columns(columns)
    return Inspection(f"a table of {len(lines)} lines", {"lines": len(lines)}, tables, spread)


def _read(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        lines_read = read_table(path).splitlines()
        header, *lines = list(csv.reader(lines_read, delimiter="	" if path.suffix == ".tsv" else ","))
    except (ValueError, csv.Error) as error:
        raise ArtifactError(f"expected a table with a line of names in {path}, got: {error}") from None
    if not lines or any(len(line) != len(header) for line in lines):
        raise ArtifactError(f"expected lines of {len(header)} cells in {path}, got {'others' if lines else 'none'}")
    return header, lines


def _by_run(columns: dict[str, list[str]], values: list[float]) -> Table:
    """Return mean and standard deviation over seeds of each run and metric, in per cent."""
    groups: dict[tuple[str, str, str], list[float]] = {}
    for run, attack, metric, value in zip(*(columns[key] for key in ("run", "attack", "metric")), values, strict=True):
        groups.setdefault((run, metric.replace("_", " "), attack), []).append(100 * value)
    rows = [(*names, mean(group), _deviation(group), len(group)) for names, group in groups.items()]
    names = ("run", "metric", "attack", "mean (%)", "deviation (%)", "seeds")
    return Table("accuracy by run, over seeds", names, tuple(rows))


def _deviation(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def _columns(columns: dict[str, list[str]]) -> tuple[tuple[Table, ...], tuple[Distribution, ...]]:
    """Describe columns: names by how many there are, numbers by their spread."""
    words, numbers = [], []
    for name, cells in columns.items():
        values = _numbers(cells)
        if values is not None:
            numbers.append(distribution(name, values))
            continue
        distinct = list(dict.fromkeys(cells))
        rest = len(distinct) - _MOST_NAMED
        words.append(
            (name, len(distinct), ", ".join(distinct[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else ""))
        )
    tables = (Table("columns of words", ("column", "different", "values"), tuple(words)),) if words else ()
    return tables, tuple(numbers)


def _numbers(cells: Sequence[str]) -> list[float] | None:
    """Return cells as numbers, empty ones as nan; None if one is a word."""
    try:
        return [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        return None

"""A line of results.csv, and the chain of files behind its number. Imports no torch."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pumalib.data.selection import StoredSelection, read_selection
from pumalib.errors import ArtifactError, ResourceError
from pumalib.evaluation.table import StoredAttack, read_attack
from pumalib.files.tables import is_as_written
from pumalib.lineage.chain import Node, Tracer
from pumalib.lineage.headers import read_header
from pumalib.lineage.links import Link, is_imported
from pumalib.lineage.places import attack_path, model_path, selection_path

KEYS = ("run", "seed", "attack", "metric")
"""What tells one line of results.csv from another."""

_NUMBERS = ("value", "num_samples", "num_kept", "pruned_fraction", "mean_epsilon")
_OF_SELECTION = ("num_kept", "pruned_fraction", "mean_epsilon")
_COLUMNS = {*KEYS, "study", "pool", "value", "num_samples", *_OF_SELECTION}


@dataclass(frozen=True)
class TracedLine:
    """A line of results.csv and the chain behind it.

    Attributes:
        line: the cells, by column.
        node: the table of the attack, with all that it was made from.
        problems: in what the line is not what its files give.
    """

    line: Mapping[str, str]
    node: Node
    problems: tuple[str, ...]

    @property
    def all_problems(self) -> list[str]:
        """Problems of the line, then of the chain."""
        return [*self.problems, *self.node.all_problems]


def read_lines(path: Path) -> list[dict[str, str]]:
    """Read results.csv as text.

    Raises:
        ArtifactError: missing, empty, or another table.
    """
    if not path.is_file():
        raise ArtifactError(f"expected results.csv of a study, found nothing at {path}")
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except (ValueError, csv.Error) as error:
        raise ArtifactError(
            f"expected results.csv of a study, got another file or a damaged one at {path}: {error}"
        ) from None
    absent = sorted(_COLUMNS - set(lines[0] if lines else ()))
    if absent:
        raise ArtifactError(f"expected results.csv of a study, got a table without {', '.join(absent)} at {path}")
    for number, line in enumerate(lines, 2):
        if None in line or None in line.values() or not all(_is_number(line[key]) for key in _NUMBERS):
            raise ArtifactError(f"expected a cell and a number for each column in line {number} of {path}, got others")
    return lines


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return cell == ""


def find_line(path: Path, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the one line of results.csv that has the wanted cells.

    Args:
        path: of results.csv.
        wanted: some of `KEYS`, as text.

    Raises:
        ArtifactError: no line, or several; the message names what there is.
    """
    lines = read_lines(path)
    found = [line for line in lines if all(line[key] == value for key, value in wanted.items())]
    if len(found) == 1:
        return found[0]
    asked = ", ".join(f"{key} {value}" for key, value in wanted.items()) or "no key"
    if not found:
        there = "; ".join(f"{key}: {_choices(lines, key)}" for key in wanted)
        raise ArtifactError(f"expected a line of {path} with {asked}, found none; there is {there}")
    open_keys = [key for key in KEYS if len({line[key] for line in found}) > 1]
    there = "; ".join(f"{key}: {_choices(found, key)}" for key in open_keys)
    raise ArtifactError(f"expected one line of {path}, got {len(found)} with {asked}; say which {there}")


def _choices(lines: list[dict[str, str]], key: str) -> str:
    return ", ".join(dict.fromkeys(line[key] for line in lines))


def trace_line(path: Path, wanted: Mapping[str, str]) -> TracedLine:
    """Follow one number of results.csv back to the dataset, and compute it again from its files.

    Args:
        path: of `results.csv` of a study.
        wanted: cells that tell the line from others, as text: some of `run`, `seed`, `attack` and `metric`.

    Returns:
        The line, the files behind it, and what does not agree.

    Raises:
        ArtifactError: no such line, or no attack table to read it from.

    Example:
        >>> from pathlib import Path
        >>> wanted = {"run": "puma-20", "seed": "0", "attack": "cw"}
        >>> traced = trace_line(Path("results/digits/results.csv"), wanted)
        >>> traced.line["metric"], traced.all_problems
        ('robust_accuracy', [])
    """
    line = find_line(path, wanted)
    if not line["seed"].isdecimal() or not line["value"]:
        raise ArtifactError(f"expected a seed and a value in each line of {path}, got others")
    table, problems = table_of(path.parent, line), problems_of(path, line)
    return TracedLine(line, Tracer().follow(Link("attack table", table)), tuple(problems))


def problems_of(path: Path, line: Mapping[str, str]) -> list[str]:
    """Compute a line of results.csv again from its attack table and its selection; return what does not agree.

    Raises:
        ArtifactError: no attack table to read it from.
    """
    folder, seed = path.parent, int(line["seed"])
    problems = _wrong_numbers(line, table_of(folder, line), selection_path(folder, line["run"], seed))
    if not is_as_written(path, path.read_bytes()):
        problems.append(f"expected {path} as it was written, got one that was changed or cut short")
    return problems


def table_of(folder: Path, line: Mapping[str, str]) -> Path:
    """Return the attack table behind a line; clean accuracy is read off the largest of the test split."""
    seed = int(line["seed"])
    if line["attack"] != "none":
        return attack_path(folder, line["run"], seed, line["attack"])
    tables = sorted(attack_path(folder, line["run"], seed, "any").parent.glob("*.h5"))
    sized = [(table.split == "test", len(table.label), path) for path in tables for table in [read_attack(path)]]
    if not sized:
        raise ArtifactError(
            f"expected attack tables of {line['run']}, seed {seed}, found none under {folder / 'attacks'}"
        )
    return max(sized, key=lambda entry: entry[:2])[2]


def _wrong_numbers(line: Mapping[str, str], table: Path, selection: Path) -> list[str]:
    problems = []
    for path, read in ((table, _accuracy_cells), (selection, _selection_cells)):
        try:
            expected = read(path, line)
        except (ArtifactError, ResourceError) as error:
            problems += [str(error)] if path.is_file() else []  # the chain tells of what is not there
            continue
        problems += [
            f"expected {key} {_spell(value)} as {path} gives it, got {line[key] or 'nothing'} in results.csv"
            for key, value in expected.items()
            if not _is_same(line[key], value)
        ]
    return problems


def _accuracy_cells(path: Path, line: Mapping[str, str]) -> dict[str, float]:
    table: StoredAttack = read_attack(path)
    value = table.clean_accuracy if line["metric"] == "clean_accuracy" else table.robust_accuracy
    return {"value": value, "num_samples": len(table.label)}


def _selection_cells(path: Path, line: Mapping[str, str]) -> dict[str, float]:
    """Return what the selection gives; nothing for a line of a model trained elsewhere, which has none."""
    if not any(line[key] for key in _OF_SELECTION) and _is_of_imported(path, line):
        return {}
    selection: StoredSelection = read_selection(path)
    return {
        "num_kept": len(selection.rows),
        "pruned_fraction": selection.pruned_fraction,
        "mean_epsilon": selection.mean_epsilon,
    }


def _is_of_imported(selection: Path, line: Mapping[str, str]) -> bool:
    """Say whether the model behind a line was trained elsewhere; a selection may lie there from another study."""
    model = model_path(selection.parents[2], line["run"], int(line["seed"]))
    return model.is_file() and is_imported(read_header(model))


def _is_same(cell: str, value: float) -> bool:
    if math.isnan(value):
        return cell == ""
    return bool(cell) and math.isclose(float(cell), value, rel_tol=1e-12)


def _spell(value: float) -> str:
    return "nothing" if math.isnan(value) else f"{value:.6g}"

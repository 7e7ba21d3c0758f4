"""Trained models: architecture, tensors, and the last line of the history beside them."""

from __future__ import annotations

import csv

from pumalib.files.tables import read_table
from pumalib.inspection.inspection import Inspection
from pumalib.inspection.weights import describe_weights
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Describe a model and how its training ended."""
    history = header.path.with_name("history.csv")
    last: dict[str, str] = {}
    if history.is_file():
        last = next(reversed(list(csv.DictReader(read_table(history).splitlines()))), last)
    name = header.attributes["architecture"]["name"]
    ended = {f"last {key}": _number(value) for key, value in last.items() if value}
    return describe_weights(header, f"a trained model, architecture {name}", {"architecture": name, **ended})


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell

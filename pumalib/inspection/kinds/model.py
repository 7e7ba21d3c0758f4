"""Trained models: architecture, tensors, and the line of the history beside them at their epoch."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

from pumalib.files.tables import read_table
from pumalib.inspection.inspection import Inspection
from pumalib.inspection.weights import describe_weights
from pumalib.lineage.headers import Header
from pumalib.lineage.links import is_imported


def describe(header: Header, count: int) -> Inspection:
    """Describe a model, and what its history says at its epoch: the last, where the file does not name one."""
    if is_imported(header):
        return _describe_imported(header)
    history = header.path.with_name("history.csv")
    lines = list(csv.DictReader(read_table(history).splitlines())) if history.is_file() else []
    name, epoch = header.attributes["architecture"]["name"], header.attributes.get("epoch")
    facts: dict[str, Any] = {"architecture": name, **({} if epoch is None else {"epoch": epoch})}
    return describe_weights(header, f"a trained model, architecture {name}", {**facts, **_history(lines, epoch)})


def _describe_imported(header: Header) -> Inspection:
    """Describe a model that was trained elsewhere; a history beside it would be of another model."""
    facts = {"architecture": header.attributes["architecture"]["name"], "checkpoint": header.settings["checkpoint"]}
    return describe_weights(header, f"a model trained elsewhere, architecture {facts['architecture']}", facts)


def _history(lines: list[dict[str, str]], epoch: int | None) -> Mapping[str, float | str]:
    """Return the cells of one line, named `last` where it is the last and by its epoch elsewhere."""
    if not lines:
        return {}
    last = lines[-1]
    chosen = next((line for line in lines if line.get("epoch") == str(epoch)), last)
    at = "last" if chosen is last else f"epoch {epoch}"
    return {f"{at} {key}": _number(value) for key, value in chosen.items() if value}


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell

"""Where two results come from: datasets, libraries and code, as far as their files record it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumalib.across.differences import Line
from pumalib.errors import ArtifactError
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.places import place_of


@dataclass(frozen=True)
class Origins:
    """What made one of the two results.

    Attributes:
        datasets: source, split and fractions, by name.
        libraries: the versions that files record, by library; more than one where files differ.
        code: the hashes of the modules that made attack tables and models, by module.
    """

    datasets: Mapping[str, Mapping[str, Any]]
    libraries: Mapping[str, tuple[str, ...]]
    code: Mapping[str, frozenset[str]]


def origins_of(lines: Sequence[Line], side: str) -> Origins:
    """Gather what the files of one side record: all attack tables, and the model of one seed of each run.

    Args:
        lines: what both sides have.
        side: `first` or `second`.
    """
    libraries: dict[str, set[str]] = {}
    code: dict[str, set[str]] = {}
    datasets: dict[str, Mapping[str, Any]] = {}
    for header in _headers(lines, side):
        if header.kind == "dataset":
            datasets[place_of(header.path).name] = header.settings
            continue
        for name, version in header.library_versions.items():
            libraries.setdefault(name, set()).add(str(version))
        for name, digest in header.code.items():
            code.setdefault(name, set()).add(digest)
    return Origins(
        datasets,
        {name: tuple(sorted(versions)) for name, versions in sorted(libraries.items())},
        {name: frozenset(digests) for name, digests in sorted(code.items())},
    )


def changed_libraries(first: Origins, second: Origins) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the libraries whose versions differ, by name."""
    names = [name for name in first.libraries if name in second.libraries]
    pairs = {name: (first.libraries[name], second.libraries[name]) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def changed_modules(first: Origins, second: Origins) -> list[str]:
    """Return the modules that made files of both sides and differ; another Python makes all hashes others."""
    if first.code.get("python") != second.code.get("python"):
        return []
    return [name for name, digests in first.code.items() if name in second.code and digests != second.code[name]]


def _headers(lines: Sequence[Line], side: str) -> Iterator[Header]:
    """Yield the headers of attack tables, of the datasets behind them and of models, each file once."""
    seen = set()
    for line in lines:
        tables = list((getattr(line, side).tables or {}).values())
        paths = [link for table in tables[:1] for link in (table.dataset.path, table.model) if link is not None]
        for header in [table.header for table in tables] + [found for path in paths for found in _read(path)]:
            if header.path not in seen:
                seen.add(header.path)
                yield header


def _read(path: Path) -> list[Header]:
    """Return the header of a file behind a table; nothing where it is not there any more."""
    try:
        return [read_header(path)]
    except ArtifactError:
        return []

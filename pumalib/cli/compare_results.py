"""What `puma compare` prints of two results files, or of two studies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumalib.across.accuracies import read_side
from pumalib.across.differences import Comparison, compare_results
from pumalib.across.origins import Origins, changed_libraries, changed_modules, origins_of
from pumalib.across.places import NamedStudy, edited_keys, named_study
from pumalib.across.settings_changes import Change, changed_settings
from pumalib.across.tables import caption, readable_table, table_of
from pumalib.cli.output import aligned, facts, print_json, wrapped
from pumalib.cli.study import expect_study
from pumalib.errors import ArtifactError, ConfigError
from pumalib.reporting.files import write_csv

_LONGEST_VALUE = 40
"""Characters of a setting from which it is cut."""


def compare_files(options: argparse.Namespace) -> None:
    """Print what two results files have in common, and write it where `--out` says."""
    paths = [Path(path) for path in (options.first, options.second)]
    _refuse_the_same(options, *paths)
    comparison = _compared(options, *paths)
    if options.json:
        print_json({"kind": "results", "first": options.first, "second": options.second, **_told(comparison)})
        return
    print("\n".join(facts({"first": options.first, "second": options.second})))
    _print_results(comparison, options.out)


def compare_studies(options: argparse.Namespace) -> None:
    """Print what differs between two studies, and what their results have in common where both have run."""
    for path in (options.first, options.second):
        if not Path(path).is_dir():
            expect_study(path)
    studies = named_study(options.first), named_study(options.second)
    changes = changed_settings(*_with_common_names(studies[0].settings, studies[1].settings, options.runs))
    notes = [note for study in studies for note in _notes_of(study)]
    comparison, reason = None, _without_results(*studies, options.runs)
    if not reason:
        comparison = _compared(options, studies[0].results, studies[1].results)
    elif options.out or options.runs:
        raise ConfigError(f"expected two studies that have run, for --out and --runs: {reason}")
    origins = tuple(origins_of(comparison.lines, side) for side in ("first", "second")) if comparison else ()
    if options.json:
        told = {"kind": "study", "first": options.first, "second": options.second, "settings": _settings(changes)}
        told |= {"notes_on_studies": [*notes, *([reason] if reason else [])]}
        told |= _told_origins(*origins) if origins else {}
        print_json(told | (_told(comparison) if comparison else {"lines": None}))
        return
    print("\n".join(facts({"first": _head(studies[0]), "second": _head(studies[1])})))
    _print_settings(changes)
    _print_notes(notes)
    if comparison is None:
        print(f"\nNothing is compared but settings: {reason}")
        return
    _print_origins(*origins)
    _print_results(comparison, options.out)


def _with_common_names(
    first: Mapping[str, Any], second: Mapping[str, Any], runs: Mapping[str, str] | None
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return settings with the runs that are compared alone, under their names in the first."""
    if runs is None:
        return first, second
    one = {run: first["runs"][run] for run in runs if run in first["runs"]}
    two = {run: second["runs"][other] for run, other in runs.items() if other in second["runs"]}
    return {**first, "runs": one}, {**second, "runs": two}


def _refuse_the_same(options: argparse.Namespace, first: Path, second: Path) -> None:
    """Refuse one results file twice, unless each run of it is set beside another one."""
    are_others = bool(options.runs) and all(run != other for run, other in options.runs.items())
    if first.exists() and second.exists() and first.samefile(second) and not are_others:
        raise ArtifactError(
            f"expected two results, got {options.first} twice; name another one, or set runs of it beside others, such "
            "as --runs trades=puma-20"
        )


def _compared(options: argparse.Namespace, first: Path, second: Path) -> Comparison:
    comparison = compare_results(read_side(first), read_side(second), options.runs, options.common_seeds)
    if options.out:
        write_csv(options.out, table_of(comparison))
    return comparison


def _without_results(first: NamedStudy, second: NamedStudy, runs: Mapping[str, str] | None) -> str:
    """Return why there are no results to compare; empty: there are."""
    for study in (first, second):
        try:
            study.expect_results()
        except ConfigError as error:
            return str(error)
    if first.results.samefile(second.results):
        return f"both studies have their results in {first.folder}; give one of them another name"
    sides = [read_side(study.results) for study in (first, second)]
    if runs is None and not set(sides[0].runs) & set(sides[1].runs):
        alike = f"{sides[0].runs[0]}={sides[1].runs[0]}"
        return f"no run has the same name in both; say which are alike, such as --runs {alike}"
    return ""


def _notes_of(study: NamedStudy) -> list[str]:
    keys = edited_keys(study)
    if not keys:
        return []
    return [
        f"{study.given} was edited after its results were made: {_listed(keys)} had another value then; run it again, "
        f"or name {study.folder} to compare the settings of then"
    ]


def _listed(words: Sequence[str], most: int = 5) -> str:
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")


def _head(study: NamedStudy) -> str:
    return study.given if Path(study.given) == study.folder else f"{study.given}, results in {study.folder}"


def _print_settings(changes: Sequence[Change]) -> None:
    print("\nSettings that differ" if changes else "\nNo setting differs.")
    for change in changes:
        if not change.is_whole:
            text = f"{_value(change.first)} -> {_value(change.second)}"
            print("\n".join(wrapped(text, f"  {change.key}: ", "    ")))
    whole = [change for change in changes if change.is_whole]
    _print_alone("first", [change.key for change in whole if change.second is None])
    _print_alone("second", [change.key for change in whole if change.first is None])


def _print_alone(side: str, keys: Sequence[str]) -> None:
    """Print what one side alone has by name, a line for each kind of thing."""
    names: dict[str, list[str]] = {}
    for key in keys:
        group, _, name = key.partition(".")
        names.setdefault(group, []).append(name)
    for group, listed in names.items():
        print("\n".join(wrapped(", ".join(listed), f"  {group} in the {side} alone: ", "    ")))


def _value(value: Any) -> str:
    """Spell a setting on one line."""
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _print_origins(first: Origins, second: Origins) -> None:
    told = {
        "datasets": " -> ".join(dict.fromkeys(_datasets(each) for each in (first, second))),
        "torch": " -> ".join(dict.fromkeys(", ".join(each.libraries.get("torch", ("-",))) for each in (first, second))),
    }
    others = {name: pair for name, pair in changed_libraries(first, second).items() if name != "torch"}
    told |= {name: " -> ".join(", ".join(each) for each in pair) for name, pair in others.items()}
    print("\nWhere they come from")
    print("\n".join(facts(told)))
    if modules := changed_modules(first, second):
        print("\n".join(wrapped(_listed(modules), "  code that differs: ", "    ")))


def _datasets(origins: Origins) -> str:
    return ", ".join(f"{name} ({each.get('source')}, {each.get('split')})" for name, each in origins.datasets.items())


def _print_results(comparison: Comparison, out: Path | None) -> None:
    print("\nResults of both")
    print("\n".join(aligned(*readable_table(comparison))))
    for line in caption(comparison):
        print("\n".join(wrapped(line, "  ", "  ")))
    for side in ("first", "second"):
        alone = [
            f"{each.run} ({each.measured})" if each.measured else each.run
            for each in comparison.alone
            if each.side == side
        ]
        if alone:
            print("\n" + "\n".join(wrapped(", ".join(alone), f"In the {side} alone: ", "  ")))
    _print_notes(comparison.notes)
    if out:
        print(f"\n{out}: every number of the table")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print("\n" + "\n".join(wrapped(note, "Note: ", "  ")))


def _told(comparison: Comparison) -> dict[str, Any]:
    lines = table_of(comparison).to_dict("records")
    return {"lines": lines, "alone": [each._asdict() for each in comparison.alone], "notes": comparison.notes}


def _settings(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [{"key": change.key, "first": change.first, "second": change.second} for change in changes]


def _told_origins(first: Origins, second: Origins) -> dict[str, Any]:
    sides = {"first": first, "second": second}
    return {
        "datasets": {side: each.datasets for side, each in sides.items()},
        "libraries": {side: each.libraries for side, each in sides.items()},
        "changed_modules": changed_modules(first, second),
    }

"""Follow a file, or a number of results.csv, back to the dataset.

Prints every file on the way with its settings, seed, code and libraries, and holds the fingerprints that
files recorded of each other to the files that lie there. What does not agree is listed last (status 1). Code that
changed since is named; that is no disagreement.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pumalib.cli.output import add_json, flat, has_unicode, print_json, wrapped
from pumalib.cli.paths import existing
from pumalib.cli.usage import UsageError
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, to_json
from pumalib.files.provenance import changed_since
from pumalib.lineage.chain import Node, Tracer
from pumalib.lineage.headers import Header
from pumalib.lineage.results_line import KEYS, TracedLine, trace_line

EXAMPLES = (
    "trace results/digits/results.csv --run puma-20 --seed 0 --attack cw",
    "trace results/digits/results.csv --run puma-20 --seed 0 --metric clean_accuracy",
    "trace results/digits/selections/puma-20/seed0.h5",
    "trace results/digits/models/trades/seed0 --json",
)

_SHOWN = 12
"""How many digits of a fingerprint are printed."""

_BESIDE = {"model.safetensors": ("history.csv", "run.yaml")}
"""Files that one job writes together: the first tells the origin of the others."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the target and what picks a line of results.csv."""
    parser.add_argument("target", help="any file of a study, a model's folder, or results.csv")
    for key in KEYS:
        parser.add_argument(f"--{key}", help=f"{key} of a line of results.csv")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the chain; status 1 if something on the way does not agree."""
    path = existing(options.target)
    wanted = {key: value for key in KEYS if (value := getattr(options, key)) is not None}
    if path.suffix == ".csv" and path.name != "history.csv":
        traced = trace_line(path, wanted)
        node, problems = traced.node, traced.all_problems
    else:
        if wanted:
            raise UsageError(f"expected results.csv with {', '.join(f'--{key}' for key in wanted)}, got {path}")
        traced, node = None, Tracer().trace(_with_origin(path))
        problems = node.all_problems
    if options.json:
        line = {} if traced is None else {"line": traced.line}
        print_json({**line, "chain": _as_json(node), "problems": problems})
    else:
        _print(node, traced, problems)
    return 1 if problems else 0


def _with_origin(path: Path) -> Path:
    for origin, names in _BESIDE.items():
        if path.name in names:
            return path.with_name(origin)
    if path.suffix in (".md", ".png", ".svg", ".txt", ".log", ".tsv"):
        raise ArtifactError(f"expected a file that records its origin, got {path}; trace a line of results.csv")
    return path


def _as_json(node: Node) -> dict[str, Any]:
    header = node.header
    described = {
        "role": node.role,
        "path": node.path,
        "kind": None if header is None else header.kind,
        "seed": node.seed,
        "recorded_fingerprint": node.recorded or None,
        "fingerprint": node.found or None,
        "problems": node.problems,
        "is_repeated": node.is_repeated,
        "inputs": [_as_json(child) for child in node.inputs],
    }
    if header is None or node.is_repeated:
        return described
    names = ("settings", "code", "library_versions")
    recorded: dict[str, Any] = {"recorded_inputs": header.fingerprints}
    recorded["changed_code"] = changed_since(header.code, header.run_folder)
    return {**described, **recorded, **{name: getattr(header, name) for name in names}}


def _print(node: Node, traced: TracedLine | None, problems: Sequence[str]) -> None:
    if traced is not None:
        line = traced.line
        attack = "" if line["attack"] == "none" else f" under {line['attack']}"
        print(
            f"{line['metric'].replace('_', ' ')} of {line['run']}, seed {line['seed']}{attack}: "
            f"{float(line['value']):.6g} ({line['num_samples']} images, study {line['study']})"
        )
    print("\n".join(_tree(node, "", "")))
    print()
    for versions, count in _libraries(node).items():
        print("\n".join(wrapped(versions, f"Libraries ({count} files): ", "  ")))
    print(_code_today(node))
    if problems:
        print(f"\n{len(problems)} problem{'s' if len(problems) > 1 else ''}:")
        for problem in problems:
            print("\n".join(wrapped(problem, "  * ", "    ")))
    else:
        print("Every recorded fingerprint agrees with the files.")


def _tree(node: Node, first: str, then: str) -> Iterator[str]:
    """Yield the lines of a node and of all below it; `first` stands before its own line, `then` before the others."""
    branch, last, bar = ("├─ ", "└─ ", "│  ") if has_unicode() else ("+- ", "`- ", "|  ")
    yield f"{first}{node.role}  {node.path or '?'}{_mark(node)}"
    below = then + (bar if node.inputs else "   ")
    if not node.is_repeated and node.header is not None:
        yield from wrapped("  ".join(_details(node)), below, below)
    for index, child in enumerate(node.inputs):
        is_last = index == len(node.inputs) - 1
        yield from _tree(child, then + (last if is_last else branch), then + ("   " if is_last else bar))


def _mark(node: Node) -> str:
    if node.problems:
        return "  PROBLEM"
    if node.is_repeated:
        return "  (above)"
    return f"  {node.found[:_SHOWN]}{' as recorded' if node.recorded else ''}"


def _details(node: Node) -> Iterator[str]:
    """Yield the seed, the settings and the code of a file."""
    header = node.header
    assert header is not None
    if node.seed is not None:
        yield f"seed {node.seed}"
    yield from flat({key: value for key, value in header.settings.items() if key != "seed"})
    if header.code:
        code = content_fingerprint(to_json(header.code))
        yield f"[code {code[:_SHOWN]}, {len(header.code) - 1} modules{_changes(header)}]"


def _changes(header: Header) -> str:
    changed = changed_since(header.code, header.run_folder)
    if changed == ["python"]:
        return f", made with Python {header.code.get('python', '?')}: not to be compared with today's"
    return f", changed since: {', '.join(changed)}" if changed else ""


def _code_today(node: Node) -> str:
    """Say of how many files of the chain the code is still what made them."""
    headers = {each.path: each.header for each in node.walk() if each.header is not None and each.header.code}
    num_changed = sum(bool(changed_since(header.code, header.run_folder)) for header in headers.values())
    if num_changed:
        return f"The code that made {num_changed} of {len(headers)} files is not today's: a run may make them again."
    return f"The code that made the {len(headers)} files is today's."


def _libraries(node: Node) -> Mapping[str, int]:
    """Return how many files of the chain were made with which versions."""
    seen = {each.path: each.header.library_versions for each in node.walk() if each.header is not None}
    counts: dict[str, int] = {}
    for versions in seen.values():
        text = ", ".join(f"{name} {version}" for name, version in versions.items())
        counts[text] = counts.get(text, 0) + 1
    return counts

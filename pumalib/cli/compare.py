"""Compare two selections, two score tables, two results or two studies.

Selections: rows in both (with Jaccard, and what chance alone would give), rows in one alone by class and source,
correlation of the epsilons. Scores: rank and linear correlation of hardness over the rows that both scored: each
score is turned so that higher means harder, and a positive number means that they agree. `--out X.png` draws a scatter.

Results (results.csv) and studies (a study file, or a folder such as results/digits): means of the runs that both have,
and the difference second - first with its interval. Of studies also the settings that differ. `--out X.csv` writes
every number.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pumalib.across.places import Kind, kind_of
from pumalib.cli.output import add_json, aligned, facts, print_json
from pumalib.cli.paths import existing, writable
from pumalib.cli.pictures import picture
from pumalib.cli.usage import UsageError
from pumalib.data.selection import read_selection
from pumalib.errors import ArtifactError, ResourceError
from pumalib.inspection.pools import pool_rows_of
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.places import place_of
from pumalib.reporting.correlation import compare_scores, draw_scores
from pumalib.reporting.overlap import Overlap, compare_selections, count_by_class
from pumalib.scores.table import read_scores

EXAMPLES = (
    "compare results/digits/selections/random-20/seed0.h5 results/digits/selections/puma-20/seed0.h5",
    "compare results/easycore-digits/scores/margin-natural/seed0.h5 "
    "results/easycore-digits/scores/difficulty/seed0.h5 --out scatter.png",
    "compare config.yaml studies/mine.yaml",
    "compare results/digits results/mine --runs trades puma-20=puma --out compared.csv",
)

_NOUNS: dict[Kind | None, str] = {"results": "a results file", "study": "a study", None: "another file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two that are compared, and what is compared of results."""
    parser.add_argument("first", help="selection, score table, results.csv, study file or folder of a study's results")
    parser.add_argument("second", help="another of the same kind; selections and scores: of the same pool")
    parser.add_argument("--out", type=_output, help="of two scores, PNG to draw; of results or studies, CSV to write")
    parser.add_argument(
        "--runs",
        nargs="+",
        metavar="RUN[=RUN]",
        help="runs of results or studies to compare, such as trades, or puma-20=puma where the second has another name",
    )
    parser.add_argument("--common-seeds", action="store_true", help="leave out seeds that only one of two runs has")
    add_json(parser)


def _output(text: str) -> Path:
    return writable(text) if text.endswith(".csv") else picture(text)


def run(options: argparse.Namespace) -> int:
    """Print what the two have in common."""
    kinds = kind_of(options.first), kind_of(options.second)
    if kinds[0] != kinds[1]:
        _refuse_two_kinds(options, kinds)
    is_csv = options.out is not None and options.out.suffix == ".csv"
    if kinds[0] is None:
        if options.runs or options.common_seeds or is_csv:
            raise UsageError("expected --runs, --common-seeds and --out X.csv with two results or studies, got files")
        return _compare_artifacts(options)
    if options.out is not None and not is_csv:
        raise UsageError(f"expected --out of a name that ends with .csv, got {options.out}; results are not drawn")
    options.runs = _mapping(options.runs) if options.runs else None
    from pumalib.cli.compare_results import compare_files, compare_studies

    (compare_studies if kinds[0] == "study" else compare_files)(options)
    return 0


def _refuse_two_kinds(options: argparse.Namespace, kinds: tuple[Kind | None, Kind | None]) -> None:
    for path in (options.first, options.second):
        if not Path(path).exists():
            existing(path)  # which says what is near
    raise UsageError(
        f"expected two of one kind, got {_NOUNS[kinds[0]]} ({options.first}) and {_NOUNS[kinds[1]]} "
        f"({options.second}); name two studies, two results files, two selections or two score tables"
    )


def _mapping(words: Sequence[str]) -> dict[str, str]:
    """Read `trades puma-20=puma` as runs of the first, and what each is called in the second."""
    runs = {first: second or first for first, _, second in (word.partition("=") for word in words)}
    if "" in runs or len(runs) < len(words):
        raise UsageError(f"expected --runs with each run of the first once, got {' '.join(words)}")
    return runs


def _compare_artifacts(options: argparse.Namespace) -> int:
    first, second = (read_header(existing(path)) for path in (options.first, options.second))
    kinds = {first.kind, second.kind}
    if kinds == {"selection"}:
        if options.out:
            raise UsageError("expected --out with two score tables, got it with selections; they are not drawn")
        _compare_selections(first, second, options.json)
    elif kinds == {"scores"}:
        _compare_scores(first, second, options)
    else:
        raise ArtifactError(f"expected two selections or two score tables, got {first.noun} and {second.noun}")
    return 0


def _compare_selections(first: Header, second: Header, as_json: bool) -> None:
    overlap = compare_selections(read_selection(first.path), read_selection(second.path))
    counts, note = _counts(overlap, first)
    told: dict[str, Any] = {
        "rows_in_pool": overlap.num_rows,
        "in_both": len(overlap.both),
        "only_in_first": len(overlap.only_first),
        "only_in_second": len(overlap.only_second),
        "jaccard": overlap.jaccard,
        "jaccard_by_chance": overlap.jaccard_by_chance,
        "epsilon_pearson": overlap.epsilon_pearson,
        "epsilon_spearman": overlap.epsilon_spearman,
        "mean_epsilon_difference": overlap.mean_epsilon_difference,
    }
    columns = ("class", "source", "in_both", "only_in_first", "only_in_second")
    if as_json:
        by_class = [dict(zip(columns, line, strict=True)) for line in counts]
        print_json({"kind": "selection", **_paths(first, second), **told, "by_class": by_class, "notes": note})
        return
    print("\n".join(facts({**_paths(first, second), **told})))
    if counts:
        print("\nRows by class and source")
        print("\n".join(aligned([name.replace("_", " ") for name in columns], counts)))
    for line in note:
        print(f"\nNote: {line}")


def _counts(overlap: Overlap, header: Header) -> tuple[list[tuple[str, str, int, int, int]], list[str]]:
    """Return counts by class and source, where the pool is there; else a note."""
    try:
        return count_by_class(overlap, pool_rows_of(header)), []
    except (ArtifactError, ResourceError) as error:
        return [], [f"labels and sources are not known: {error}"]


def _compare_scores(first: Header, second: Header, options: argparse.Namespace) -> None:
    tables = read_scores(first.path), read_scores(second.path)
    correlation = compare_scores(*tables)
    told: dict[str, Any] = {
        "first_higher_is": tables[0].higher_is,
        "second_higher_is": tables[1].higher_is,
        "rows_in_pool": len(tables[0].score),
        "rows_in_both": len(correlation.rows),
        "spearman_of_hardness": correlation.spearman,
        "pearson_of_hardness": correlation.pearson,
    }
    if options.out:
        draw_scores(correlation, *tables, (_name(first), _name(second)), options.out)
        told["picture"] = str(options.out)
    if options.json:
        print_json({"kind": "scores", **_paths(first, second), **told})
    else:
        print("\n".join(facts({**_paths(first, second), **told})))


def _paths(first: Header, second: Header) -> dict[str, str]:
    return {"first": str(first.path), "second": str(second.path)}


def _name(header: Header) -> str:
    """Return the name of a score, or of its file where it lies outside a study."""
    try:
        return place_of(header.path).name
    except ArtifactError:
        return Path(header.path).stem

"""Write a page to look at what a selection keeps and prunes: one HTML file that needs no network.

Takes a selection of a study that has run; the pool, its images and the scores are found through the study's folder.
Attack tables (`--attack`) get a tab each. Open the page in any browser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pumalib.cli.output import add_json, facts, print_json
from pumalib.cli.paths import existing, writable
from pumalib.lineage.headers import Header, read_header

if TYPE_CHECKING:
    from pumalib.browsing.collection import Collection

EXAMPLES = (
    "browse results/digits/selections/puma-20/seed0.h5 --out browse.html",
    "browse results/digits/selections/random-20/seed0.h5 --score results/digits/scores/margin/seed0.h5 "
    "--out browse.html",
    "browse results/digits/selections/puma-20/seed0.h5 --attack results/digits/attacks/puma-20/seed0/cw.h5 "
    "--out browse.html",
)

_COUNT = 50_000
_MOST = 1_000_000
_MOST_PERTURBED = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the selection, what is shown beside it, how many rows, and where to write."""
    parser.add_argument("file", help="a selection, such as results/digits/selections/puma-20/seed0.h5")
    parser.add_argument("--score", action="append", default=[], help="a score table of the same pool, shown first")
    parser.add_argument("--attack", action="append", default=[], help="an attack table, shown in a tab of its own")
    parser.add_argument("--rows", type=_rows, default=_COUNT, help=f"show a sample where there are more ({_COUNT})")
    parser.add_argument("--seed", type=_seed, default=0, help="of that sample (0)")
    parser.add_argument(
        "--adversarial", type=_perturbed, metavar="N", help="perturb the N rows nearest to the cut, by PGD (none)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to perturb (auto)")
    parser.add_argument("--out", type=_page, required=True, help="HTML file to write")
    add_json(parser)


def _rows(text: str) -> int:
    return _number(text, _MOST)


def _perturbed(text: str) -> int:
    return _number(text, _MOST_PERTURBED)


def _number(text: str, most: int) -> int:
    if not text.isdigit() or not 0 < int(text) <= most:
        raise argparse.ArgumentTypeError(f"expected a number in [1, {most}], got {text}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text}")
    return int(text)


def _page(text: str) -> Path:
    if Path(text).suffix != ".html":
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .html, got {text}")
    return writable(text)


def run(options: argparse.Namespace) -> int:
    """Write the page and say what is on it."""
    from pumalib.browsing.study_page import page_of_selection

    header = read_header(existing(options.file))
    scores, attacks = ([existing(path) for path in paths] for paths in (options.score, options.attack))
    prepare = None if options.adversarial is None else _perturbing(header, scores, options)
    page = page_of_selection(
        header, scores=scores, attacks=attacks, count=options.rows, seed=options.seed, prepare=prepare
    )
    page.write(options.out)
    shown = {tab.shown.name: len(tab.shown) for tab in page.tabs}
    totals = {tab.whole.name: len(tab.whole) for tab in page.tabs}
    if options.json:
        print_json({"path": header.path, "page": options.out, "shown": shown, "rows": totals})
        return 0
    told = {
        name: f"{shown[name]:,} of {total:,} rows" if shown[name] < total else f"{total:,} rows"
        for name, total in totals.items()
    }
    print(f"{options.out}: open it in a browser")
    print("\n".join(facts(told)))
    return 0


def _perturbing(header: Header, scores: Sequence[Path], options: argparse.Namespace) -> Callable[..., Collection]:
    """Return what perturbs the rows that are shown."""
    from pumalib.browsing.perturbing import perturbed
    from pumalib.browsing.selections import score_paths
    from pumalib.jobs.devices import resolve_device

    def prepare(rows: Collection) -> Collection:
        tables = score_paths(header, scores)
        return perturbed(rows, options.adversarial, header, tables, resolve_device(options.device))

    return prepare

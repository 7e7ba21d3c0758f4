"""Draw the rules of a study: which of them read files of which.

Each box is a rule, and all reports are one box. A dashed arrow closes a circle, such as from a score back to the
selection of a later run. Nothing is run.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from pumalib.cli.paths import writable
from pumalib.cli.study import add_study_file, expect_study
from pumalib.cli.usage import UsageError
from pumalib.files.artifacts import writing
from pumalib.running.driver import expect_snakemake
from pumalib.study.file import load_study
from pumalib.study.reruns import NAMED
from pumalib.study.study import OWN_REPORTS

EXAMPLES = ("graph", "graph studies/mine.yaml --out mine.svg")

_FORMS = (".svg", ".png", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file, and the picture to write."""
    add_study_file(parser)
    parser.add_argument("--out", type=writable, default=Path("rules.svg"), help="picture to write (default: rules.svg)")


def run(options: argparse.Namespace) -> int:
    """Draw the rules; nothing is left of a picture that could not be written whole."""
    out: Path = options.out
    if out.suffix not in _FORMS:
        raise UsageError(f"expected --out that ends with .svg, .png or .pdf, got {out}")
    expect_study(options.study)
    expect_snakemake()
    reports = load_study(options.study).settings.reports
    from pumalib.reporting.graphs import draw, reduced, without_returns
    from pumalib.running.rule_graph import rule_graph

    graph, returns = without_returns(rule_graph(options.study, [*reports, *OWN_REPORTS]), tuple(NAMED))
    with TemporaryDirectory() as folder:
        picture = Path(folder, f"rules{out.suffix}")
        draw(reduced(graph), picture, returns)
        with writing(out) as part:
            shutil.copyfile(picture, part)
    print(f"{out}: {len(graph)} rules")
    return 0

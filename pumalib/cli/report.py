"""Put a study that has run into one HTML file, which needs no network and no other file to be read."""

from __future__ import annotations

import argparse
from pathlib import Path

from pumalib.cli.study import add_study_file, expect_results, expect_study
from pumalib.cli.usage import UsageError
from pumalib.running.driver import expect_snakemake, run_snakemake

EXAMPLES = ("report", "report studies/mine.yaml --out mine.html")

_FORMS = (".html", ".zip")
_MEGABYTE = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file, and the file to write."""
    add_study_file(parser)
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: report.html)")


def run(options: argparse.Namespace) -> int:
    """Write the report; nothing is left of one that could not be written whole."""
    out: Path = options.out
    if out.suffix not in _FORMS or not out.parent.is_dir():
        raise UsageError(f"expected --out of a name that ends with .html or .zip, in a folder that is there, got {out}")
    expect_study(options.study)
    expect_snakemake()
    expect_results(options.study)
    part = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        if not run_snakemake(["--report", str(part)], options.study):
            return 1
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{out}: {out.stat().st_size / _MEGABYTE:.1f} MB; open it in a browser")
    return 0

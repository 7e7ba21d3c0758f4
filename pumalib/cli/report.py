"""Put a study that has run, or several, into one HTML file, which needs no network and no other file to be read.

Of one study: Snakemake's report. Of several, each a study file or a folder such as results/digits: every run of all of
them, clean against robust accuracy for each dataset, and what gates and primary contrasts said.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pumalib.cli.paths import writable
from pumalib.cli.study import expect_results, expect_study
from pumalib.cli.usage import UsageError
from pumalib.files.artifacts import writing
from pumalib.running.driver import expect_snakemake, run_snakemake

if TYPE_CHECKING:
    from pumalib.across.finished import FinishedStudy

EXAMPLES = (
    "report",
    "report studies/mine.yaml --out mine.html",
    "report config.yaml studies/mine.yaml --out studies.html",
)

_FORMS = (".html", ".zip")
_MEGABYTE = 1e6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study files, and the file to write."""
    parser.add_argument(
        "studies",
        nargs="*",
        default=["config.yaml"],
        metavar="study",
        help="study file (default: config.yaml); of several, also folders of results",
    )
    parser.add_argument(
        "--out", type=writable, default=Path("report.html"), help="file to write (default: report.html)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the report; nothing is left of one that could not be written whole."""
    out: Path = options.out
    if out.suffix not in _FORMS:
        raise UsageError(f"expected --out of a name that ends with .html or .zip, got {out}")
    is_written = _report_several if len(options.studies) > 1 else _report_one
    if not is_written(options.studies, out):
        return 1
    print(f"{out}: {out.stat().st_size / _MEGABYTE:.1f} MB; open it in a browser")
    return 0


def _report_one(studies: Sequence[str], out: Path) -> bool:
    (study,) = studies
    expect_study(study)
    expect_snakemake()
    expect_results(study)
    with TemporaryDirectory() as folder:
        page = Path(folder, f"report{out.suffix}")
        if not run_snakemake(["--report", str(page)], study):
            return False
        with writing(out) as part:
            shutil.copyfile(page, part)
    return True


def _report_several(studies: Sequence[str], out: Path) -> bool:
    if out.suffix != ".html":
        raise UsageError(f"expected --out of a name that ends with .html for several studies, got {out}")
    from pumalib.across.finished import finished_study
    from pumalib.across.page import write_page

    for study in studies:
        if not Path(study).is_dir():
            expect_study(study)
    finished = [finished_study(study) for study in studies]
    _refuse_repeats(finished)
    write_page(finished, out)
    return True


def _refuse_repeats(studies: Sequence[FinishedStudy]) -> None:
    folders: dict[Path, str] = {}
    for study in studies:
        folder, given = study.named.folder.resolve(), study.named.given
        if folder in folders:
            raise UsageError(
                f"expected each study once, got {given} and {folders[folder]}, both of {study.named.folder}"
            )
        folders[folder] = given

"""What several kinds of report are made from: the results of runs, or a file of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pumalib.reporting.colours import run_styles
from pumalib.reporting.report_settings import Needs, ReportSettings
from pumalib.reporting.study_view import StudyFiles, StudyView


def styles_of(study: StudyView, runs: Sequence[str]) -> dict[str, list[str]]:
    """Return colour and marker of some runs: theirs in every figure of the study."""
    styles = run_styles(list(study.runs))
    return {run: list(styles[run]) for run in runs}


def needs_of_results(report: ReportSettings, study: StudyView, files: StudyFiles) -> Needs:
    """Return the results of a report's runs: `study`, `files` and `styles`."""
    runs = report.runs_needed(study)
    arguments = {"study": study.name, "files": files.results(runs), "styles": styles_of(study, runs)}
    return Needs(files.result_inputs(runs), arguments)


def needs_of_runs(report: ReportSettings, study: StudyView, file: Callable[[str, int], str], **others: Any) -> Needs:
    """Return a file of each of a report's runs and seeds: `files`, `styles`, and other arguments as they are."""
    runs = report.runs_needed(study)
    entries = [{"run": run, "seed": seed, "path": file(run, seed)} for run in runs for seed in study.settings.seeds]
    arguments = {"files": entries, "styles": styles_of(study, runs), **others}
    return Needs([str(entry["path"]) for entry in entries], arguments)


def drawn_seed(study: StudyView, seed: int | None) -> int:
    """Return the seed of a report about one; None: the first of the study."""
    return study.settings.seeds[0] if seed is None else seed

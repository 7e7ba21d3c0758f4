"""Make all files and reports of `study.yaml`, in this process: run in a folder with a copy of the library."""

from dataclasses import fields
from pathlib import Path

from pumalib.reporting.parts import ReportFiles
from pumalib.reporting.stage import write_report
from pumalib.reporting.study_view import StudyFiles
from pumalib.study.file import load_study
from pumalib.study.study import Study
from tests.golden.workflow import Workflow


def not_asked_for(*names: object) -> str:
    raise AssertionError(f"expected reports of selections alone, got one that reads {names}")


def make_report(name: str, study: Study, workflow: Workflow) -> None:
    settings = study.settings.reports[name]
    places = {place.name: not_asked_for for place in fields(StudyFiles)}
    files = StudyFiles(**{**places, "selection": lambda run, seed: str(workflow.selection(run))})
    outputs = {place.name: workflow.results / f"reports/{name}.{place.name}" for place in fields(ReportFiles)}
    write_report(settings.model_dump(), settings.needs(study, files).arguments, ReportFiles(**outputs))


if __name__ == "__main__":
    study = load_study("study.yaml")
    assert isinstance(study, Study)
    workflow = Workflow(study, Path("results"))
    workflow.all_results()
    for name in study.settings.reports:
        make_report(name, study, workflow)

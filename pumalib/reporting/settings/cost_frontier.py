"""Settings of a cost frontier: robust accuracy against what trainings cost."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import ClassVar, Literal

from pydantic import Field

from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.needs import needs_of_results
from pumalib.reporting.report_settings import Names, Needs, ReportSettings, SeveralNames
from pumalib.reporting.section_settings import Section
from pumalib.reporting.settings.cost import EVALUATION, cost_parts
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class CostFrontierSettings(ReportSettings):
    """A figure of robust accuracy against the passes of a training, one point a run."""

    section: ClassVar[Section] = "Training and cost"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["cost_frontier"] = "cost_frontier"
    """Which report this is."""
    runs: Names | None = None
    """Runs of the figure; null: all runs that the study trains. The baseline is always drawn."""
    baseline: Name
    """Run whose training costs 100 %, and that accuracies are compared with."""
    attack: Name
    """Attack whose robust accuracy is drawn."""
    frontiers: dict[Name, SeveralNames] = Field(default_factory=dict)
    """Runs of one knob, by label, such as the steps of the inner attack: a line goes through their points."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that leaves out a run, and runs of several datasets."""
        expect_perturbing(self, study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)
        expect_one_split(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs, and every part of what they cost."""
        results = needs_of_results(self, study, files)
        pairs = [(run, seed) for run in self.runs_needed(study) for seed in study.settings.seeds]
        parts = [part for run, seed in pairs for part in cost_parts(study, files, run, seed) if part.kind != EVALUATION]
        parts = [replace(part, benchmarks=()) for part in parts]
        scored = {score for run, seed in pairs for score in study.behind_run(run, seed)[1]}
        sources = [path for score, seed in scored for path in files.pool_sources(study.score_pool(score), seed)]
        inputs = [path for part in parts for path in part.files]
        return Needs([*results.inputs, *inputs, *sources], {**results.arguments, "parts": [asdict(p) for p in parts]})

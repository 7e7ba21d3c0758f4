"""A study that has run: its numbers, the differences that its own comparisons report, and its verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pumalib.across.accuracies import Threat, read_side
from pumalib.across.places import NamedStudy, named_study, settings_of_results
from pumalib.errors import ArtifactError
from pumalib.files.frames import read_frame
from pumalib.reporting.estimates import Interval
from pumalib.reporting.families import LEFT_OUT
from pumalib.reporting.results import CLEAN_ACCURACY, Metric
from pumalib.reporting.statistics import MIN_SEEDS_FOR_CLAIM, Summary, summarise

_VERDICTS = {"gate": ("**Gate ",), "primary": ("**Primary contrast",)}
"""Reports with a verdict, and how the paragraph of the verdict begins."""


class Difference(NamedTuple):
    """A difference to a baseline, as a comparison of the study reports it."""

    report: str
    baseline: str
    value: float
    interval: Interval
    is_told: bool
    """Whether Holm's test tells it, with seeds enough: a star."""


@dataclass(frozen=True)
class AttackedRun:
    """A run under one attack.

    Attributes:
        run, dataset: which.
        pruned_fraction, mean_epsilon: means over seeds; nan: a model trained elsewhere.
        clean, robust: over seeds; None: not measured.
        clean_difference, robust_difference: to the baseline of the study's first comparison with the run.
        attack: its name; empty: none but clean images.
    """

    run: str
    dataset: str
    pruned_fraction: float
    mean_epsilon: float
    clean: Summary | None
    clean_difference: Difference | None
    attack: str
    robust: Summary | None
    robust_difference: Difference | None


@dataclass(frozen=True)
class FinishedStudy:
    """A study that has run.

    Attributes:
        named: as the user named it.
        settings: that its results were made with.
        results: its lines.
        differences: by run and column of the metric.
        verdicts: a paragraph of Markdown each.
    """

    named: NamedStudy
    settings: Mapping[str, Any]
    results: pd.DataFrame
    differences: Mapping[tuple[str, str], Difference]
    verdicts: list[str]

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.named.name

    def runs(self) -> list[AttackedRun]:
        """Return a line for each run and attack, in the order of the results."""
        return [
            self._line(run, attack)
            for run in dict.fromkeys(map(str, self.results["run"]))
            for attack in self._attacks_of(run) or [""]
        ]

    def threat(self, attack: str) -> Threat:
        """Return the ball of an attack."""
        settings = self.settings["attacks"][attack]
        return Threat(str(settings["norm"]), float(settings["epsilon"]))

    def split(self, attack: str) -> str:
        """Return the split of an attack."""
        return str(self.settings["attacks"][attack].get("split", "test"))

    @property
    def main_attack(self) -> str:
        """The attack of the primary contrast; else the first that perturbs, on test rows if any is; empty: none."""
        measured = [str(attack) for attack in dict.fromkeys(self.results["attack"]) if attack != "none"]
        asked = (self.settings.get("primary") or {}).get("attack")
        if asked in measured:
            return str(asked)
        return next((attack for attack in measured if self.split(attack) == "test"), *measured[:1] or [""])

    def source_of(self, dataset: str) -> str:
        """Return where the images of a dataset come from."""
        return str(self.settings["datasets"][dataset]["source"])

    def _line(self, run: str, attack: str) -> AttackedRun:
        lines = self.results[self.results["run"] == run]
        seeds = lines.drop_duplicates("seed")
        robust = Metric("robust_accuracy", attack)
        return AttackedRun(
            run,
            self._dataset_of(str(lines["pool"].iloc[0])),
            float(seeds["pruned_fraction"].mean()),
            float(seeds["mean_epsilon"].mean()),
            _summary(lines, CLEAN_ACCURACY),
            self.differences.get((run, CLEAN_ACCURACY.column)),
            attack,
            _summary(lines, robust) if attack else None,
            self.differences.get((run, robust.column)),
        )

    def _attacks_of(self, run: str) -> list[str]:
        lines = self.results[(self.results["run"] == run) & (self.results["attack"] != "none")]
        return [str(attack) for attack in dict.fromkeys(lines["attack"])]

    def _dataset_of(self, pool: str) -> str:
        settings = self.settings["pools"][pool]
        learned = settings.get("learned")
        return str(settings["dataset"]) if learned is None else self._dataset_of(str(learned["pool"]))


def finished_study(path: str) -> FinishedStudy:
    """Read what a study has given.

    Raises:
        ConfigError: no study, or one that has not run.
        ArtifactError: damaged or missing files of its results.
    """
    named = named_study(path)
    results = read_side(named.expect_results()).results
    has_page = (named.folder / "settings.html").is_file()
    settings = settings_of_results(named.folder) if has_page else named.settings
    differences: dict[tuple[str, str], Difference] = {}
    for report, described in _comparisons(settings).items():
        for key, difference in _reported(named.folder, report, str(described["baseline"])).items():
            differences.setdefault(key, difference)
    study = FinishedStudy(named, settings, results, differences, _verdicts(named.folder, settings))
    try:
        _expect_whole(study)
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"expected the settings of {path} to name all that {named.results} has, found no {error}; run the study "
            "again"
        ) from None
    return study


def _expect_whole(study: FinishedStudy) -> None:
    """Look up all that the page asks of the settings."""
    for line in study.runs():
        study.source_of(line.dataset)
        if line.attack:
            study.threat(line.attack)


def _comparisons(settings: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of the reports that compare runs with a baseline, by name."""
    reports = settings.get("reports") or {}
    return {str(name): report for name, report in reports.items() if report.get("kind") == "comparison"}


def _reported(folder: Path, report: str, baseline: str) -> dict[tuple[str, str], Difference]:
    """Return the differences to the baseline in the table of a comparison."""
    table = read_frame(folder / "reports" / f"{report}.csv", "the table of a comparison", dtype={"run": "str"})
    end = "_minus_baseline"
    metrics = [str(column).removesuffix(end) for column in table.columns if str(column).endswith(end)]
    found = {}
    for row in table.to_dict("records"):
        for metric in metrics:
            value, low, high, p_value = (float(row[f"{metric}{end}{part}"]) for part in ("", "_low", "_high", "_p"))
            is_told = p_value < LEFT_OUT and row[f"{metric}_num_seeds"] >= MIN_SEEDS_FOR_CLAIM
            if not math.isnan(value):
                difference = Difference(report, baseline, value, Interval(low, high), bool(is_told))
                found[str(row["run"]), metric] = difference
    return found


def _verdicts(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return the paragraph of the gate's verdict and that of the primary contrast, where the study has them."""
    found = []
    for report, begins in _VERDICTS.items():
        page = folder / "reports" / f"{report}.md"
        if settings.get(report) is None:
            continue
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        paragraphs = [each for each in text.split("\n\n") if each.startswith(begins)]
        if not paragraphs:
            raise ArtifactError(f"expected the verdict of a study at {page}, found none; run the study again")
        found.append(paragraphs[0].strip())
    return found


def _summary(lines: pd.DataFrame, metric: Metric) -> Summary | None:
    values = lines.loc[(lines["metric"] == metric.name) & (lines["attack"] == metric.attack), "value"]
    return summarise(values.tolist()) if len(values) else None

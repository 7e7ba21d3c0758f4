"""Checks that the settings of several kinds of report share: attacks, scores and pools that fit."""

from __future__ import annotations

from pumalib.errors import ConfigError
from pumalib.reporting.needs import split_of_report, splits_of_run
from pumalib.reporting.report_settings import ReportSettings
from pumalib.reporting.study_view import StudyView
from pumalib.scores.settings import MarginSettings


def expect_perturbing(report: ReportSettings, study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that measures clean accuracy alone, or leaves out a run of the report."""
    refuse_clean(study, attack, where)
    expect_on_every_run(report, study, attack, where)


def refuse_clean(study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that is not there, or measures clean accuracy alone."""
    study.expect("attack", attack, where)
    if study.settings.attacks[attack].method == "clean":
        raise ConfigError(
            f"expected an attack that perturbs, got {attack}, which measures clean accuracy alone, at {where}"
        )


def refuse_worst_of(study: StudyView, attack: str, where: str) -> None:
    """Refuse a worst case over attacks, which is made for models and not for the epochs that runs kept."""
    if study.settings.attacks[attack].method == "worst_of":
        raise ConfigError(
            f"expected an attack on kept epochs, got {attack}, a worst_of, which is made for models alone, at {where}; "
            "name one of its attacks"
        )


def expect_on_every_run(report: ReportSettings, study: StudyView, attack: str, where: str) -> None:
    """Refuse an attack that leaves out a run of the report."""
    for run in report.runs_needed(study):
        if attack not in study.attacks_of(run):
            raise ConfigError(
                f"expected an attack on every run of the report, got {attack}, which leaves {run} out, at {where}; "
                f"add {run} to attacks.{attack}.runs"
            )


def expect_one_dataset(report: ReportSettings, study: StudyView, where: str) -> None:
    """Refuse numbers of one figure or table that were measured on different images."""
    runs = report.runs_needed(study)
    first = study.dataset_of_run(runs[0])
    for run in runs:
        if study.dataset_of_run(run) != first:
            raise ConfigError(
                f"expected runs of one dataset, got {runs[0]} on {first} and {run} on {study.dataset_of_run(run)} "
                f"at {where}; make a report for each dataset"
            )


def expect_one_split(report: ReportSettings, study: StudyView, where: str) -> None:
    """Refuse attacks on several splits, and a run without an attack on the split that the report is about."""
    attacks = report.named_attacks()
    splits = {name: study.settings.attacks[name].split for name in attacks}
    if len(set(splits.values())) > 1:
        told = ", ".join(f"{name} on {split} rows" for name, split in splits.items())
        raise ConfigError(f"expected attacks on one split, got {told} at {where}; make a report for each")
    runs = report.runs_needed(study)
    split = split_of_report(study, runs, attacks)
    for run in runs:
        if split not in splits_of_run(study, run):
            raise ConfigError(
                f"expected an attack on test rows for every run of the report, or on validation rows for every one, "
                f"got none on {split} rows for {run} at {where}"
            )


def expect_margin_score(study: StudyView, score: str, where: str) -> None:
    """Refuse a score that is not there, or is no margin."""
    study.expect("score", score, where)
    if not isinstance(study.settings.scores[score], MarginSettings):
        raise ConfigError(f"expected a margin score, got {score} at {where}")


def expect_whole_scores(study: StudyView, score: str, where: str) -> None:
    """Refuse a score that stops at a distance: what is drawn or ranked are numbers that it leaves open."""
    up_to = getattr(study.settings.scores[score], "up_to", None)
    if up_to is not None:
        raise ConfigError(
            f"expected a score that is measured to its end, got {score}, which stops at up_to {up_to:g}, at {where}; "
            f"leave up_to out at scores.{score}, or name another score"
        )


def expect_same_pool(study: StudyView, score: str, first: str, where: str) -> None:
    """Refuse a score of another pool than that of the first."""
    pool = study.score_pool(first)
    if study.score_pool(score) != pool:
        raise ConfigError(
            f"expected a score of pool {pool}, as {first} is, got {score}, a score of pool "
            f"{study.score_pool(score)}, at {where}"
        )

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


def needs_of_results(
    report: ReportSettings,
    study: StudyView,
    files: StudyFiles,
    attacks: Sequence[str] | None = None,
    **others: Any,
) -> Needs:
    """Return the results of a report's runs on one split: `study`, `files`, `styles`, `test_to_train`, and others.

    Args:
        report: the report.
        study: the study.
        files: where its files lie.
        attacks: that decide the split; None: those that the report names.
        others: further arguments, as they are.
    """
    runs = report.runs_needed(study)
    split = split_of_report(study, runs, report.named_attacks() if attacks is None else attacks)
    on_split = [name for name, attack in study.settings.attacks.items() if attack.split == split]
    entries = results_on(study, files, runs, on_split)
    arguments = {
        "study": study.name,
        "files": entries,
        "styles": styles_of(study, runs),
        "test_to_train": overlap_of_splits(study, runs[0], split),
        **others,
    }
    return Needs(paths_of(entries), arguments)


def results_on(
    study: StudyView, files: StudyFiles, runs: Sequence[str], attacks: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what results of some runs under some attacks are read from: mappings as in `RunFiles`."""
    return [
        {**entry, "attacks": {name: path for name, path in entry["attacks"].items() if name in attacks}}
        for entry in files.results(runs)
    ]


def paths_of(entries: Sequence[dict[str, Any]]) -> list[str]:
    """Return the paths in such mappings."""
    paths = [path for entry in entries for path in (entry["selection"], *entry["attacks"].values())]
    return [path for path in paths if path is not None]


def split_of_report(study: StudyView, runs: Sequence[str], attacks: Sequence[str]) -> str:
    """Return the split that a report is about, so that no number of it is of other images.

    It is that of the attacks named; without one, `test` where every run is attacked there, else `validation`.
    """
    splits = {study.settings.attacks[name].split for name in attacks}
    if not splits:
        splits = {"test"} if all("test" in splits_of_run(study, run) for run in runs) else {"validation"}
    return "test" if "test" in splits else "validation"


def splits_of_run(study: StudyView, run: str) -> set[str]:
    """Return the splits that a run is attacked on."""
    return {study.settings.attacks[name].split for name in study.attacks_of(run)}


def overlap_of_splits(study: StudyView, run: str, split: str = "test") -> float | None:
    """Return the rows of a split over those of the train split where each seed draws them anew; else None.

    Rows are those before `train_count` and `test_count` leave some out: these counts change how many rows there are,
    but not how much the splits of two seeds overlap (a choice of ours).
    """
    settings = study.settings.datasets[study.dataset_of_run(run)]
    if not settings.is_seeded:
        return None
    return overlap_of_fractions(settings.test_fraction, settings.validation_fraction, settings.held_out_fraction, split)


def overlap_of_fractions(test: float, validation: float, held_out: float, split: str) -> float:
    """Return the rows of a split over those of the train split, from the fractions of a dataset."""
    others = 1 - test
    train = others * (1 - validation - held_out)
    return (test if split == "test" else others * validation) / train


def primary_contrast(study: StudyView) -> dict[str, Any] | None:
    """Return the primary contrast with its attack spelled out, as `primary.Contrast` has it; None: there is none."""
    primary = study.settings.primary
    if primary is None:
        return None
    attack = "none"
    if primary.metric == "robust_accuracy":
        attack = primary.attack or common_attacks(study, primary.run, primary.against)[0]
    split = split_of_report(study, [primary.run, primary.against], [] if attack == "none" else [attack])
    return {
        "run": primary.run,
        "against": primary.against,
        "metric": primary.metric,
        "attack": attack,
        "margin": primary.margin / 100,
        "split": split,
    }


def common_attacks(study: StudyView, run: str, other: str) -> list[str]:
    """Return the attacks on both runs that perturb: those on test rows, or where there are none on validation rows."""
    attacks = [name for name in study.attacks_of(run) if name in study.attacks_of(other)]
    perturbing = [name for name in attacks if study.settings.attacks[name].method != "clean"]
    return [name for name in perturbing if study.settings.attacks[name].split == "test"] or perturbing


def needs_of_runs(report: ReportSettings, study: StudyView, file: Callable[[str, int], str], **others: Any) -> Needs:
    """Return a file of each of a report's runs and seeds: `files`, `styles`, and other arguments as they are."""
    runs = report.runs_needed(study)
    entries = [{"run": run, "seed": seed, "path": file(run, seed)} for run in runs for seed in study.settings.seeds]
    arguments = {"files": entries, "styles": styles_of(study, runs), **others}
    return Needs([str(entry["path"]) for entry in entries], arguments)


def drawn_seed(study: StudyView, seed: int | None) -> int:
    """Return the seed of a report about one; None: the first of the study."""
    return study.settings.seeds[0] if seed is None else seed

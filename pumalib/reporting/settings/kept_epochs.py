"""Settings of a report of kept epochs: runs, and the attack on the weights that they kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_one_dataset, refuse_clean, refuse_worst_of
from pumalib.reporting.needs import overlap_of_splits, styles_of
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name
from pumalib.training.kept_epochs import kept_epochs, takes_best


@dataclass(frozen=True)
class KeptRun:
    """What is read of one run and seed.

    Attributes:
        run, seed: which.
        history: its history, by which the best epoch is told.
        tables: attack table of each kept epoch, by epoch; the last is that of the end of the training.
        best: attack table of its model, where that is of the best of all measured epochs; None: the best is a kept one.
    """

    run: str
    seed: int
    history: Path
    tables: Mapping[int, Path]
    best: Path | None = None

    @property
    def files(self) -> list[str]:
        """Every file that it is read from."""
        return [str(path) for path in (self.history, *self.tables.values(), self.best) if path is not None]


class KeptEpochsSettings(ReportSettings):
    """A figure of accuracies over epochs, from the weights that runs kept, and a table of the best against the last."""

    section: ClassVar[Section] = "Training and cost"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["kept_epochs"] = "kept_epochs"
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order; each has `keep_every`."""
    baseline: Name | None = None
    """Run drawn dashed; it need not be among `runs`; null: none."""
    attack: Name
    """Attack on the kept weights; its `split` says on which images."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse attacks that perturb no kept weights, runs of several datasets, and runs without a best epoch."""
        refuse_clean(study, self.attack, f"{where}.attack")
        refuse_worst_of(study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)
        for run in self.runs_needed(study):
            _expect_kept(study, run, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the attack tables of kept epochs, and the history, of each run and seed."""
        runs = self.runs_needed(study)
        kept = [self._kept(study, files, run, seed) for run in runs for seed in study.settings.seeds]
        entries = [_in_plain_words(each) for each in kept]
        arguments = {
            "kept": entries,
            "styles": styles_of(study, runs),
            "test_to_train": overlap_of_splits(study, runs[0], study.settings.attacks[self.attack].split),
        }
        return Needs([path for each in kept for path in each.files], arguments)

    def _kept(self, study: StudyView, files: StudyFiles, run: str, seed: int) -> KeptRun:
        training = study.trained[run].training
        epochs = kept_epochs(training)
        tables = {epoch: Path(files.kept_attack(run, seed, self.attack, epoch)) for epoch in epochs}
        best = Path(files.attack(run, seed, self.attack)) if takes_best(training) else None
        return KeptRun(run, seed, Path(files.history(run, seed)), tables, best)


def _in_plain_words(kept: KeptRun) -> dict[str, object]:
    """Return its fields as text and numbers, which stand in the params of a rule."""
    tables = {epoch: str(path) for epoch, path in kept.tables.items()}
    best = None if kept.best is None else str(kept.best)
    return {**asdict(kept), "history": str(kept.history), "tables": tables, "best": best}


def _expect_kept(study: StudyView, run: str, where: str) -> None:
    """Refuse a run that keeps nothing, or whose kept epochs are not measured on validation rows."""
    training, dataset = study.trained[run].training, study.dataset_of_run(run)
    if training.keep_every is None:
        raise ConfigError(
            f"expected keep_every of every run of the report, got none of {run} at {where}; give it under "
            f"runs.{run}.training"
        )
    if study.settings.datasets[dataset].validation_fraction == 0:
        raise ConfigError(
            f"expected validation_fraction above 0 in datasets.{dataset}, by which the best epoch of {run} is told, "
            f"got 0 at {where}; give the dataset validation rows"
        )
    if training.keep_every % training.history_every != 0:
        raise ConfigError(
            f"expected keep_every to be a multiple of history_every, so that the history measures each kept epoch, got "
            f"{training.keep_every} and {training.history_every} of {run} at {where}"
        )

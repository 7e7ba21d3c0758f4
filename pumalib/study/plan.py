"""What a study will do, told before it does it: rows, draws, passes over the pool, jobs, and what may surprise.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pumalib.data.settings import DatasetSettings, FolderSyntheticSettings, NpzSyntheticSettings
from pumalib.data.sources.class_folders import listing_of
from pumalib.data.sources.image_places import place_at
from pumalib.data.sources.npz import look_at
from pumalib.data.sources.raw import SourceShape
from pumalib.reporting.settings.kept_epochs import KeptEpochsSettings
from pumalib.scores.settings import looks_through_a_model
from pumalib.study.check_amounts import large_amounts
from pumalib.study.check_pools import Shapes, look_at_datasets, rows_as_they_come, rows_left, rows_tested
from pumalib.study.study import Study
from pumalib.training.kept_epochs import kept_epochs, takes_best
from pumalib.training.length import num_draws, of_pool

MANY_PASSES = 50
"""Passes over a pool from which a plan warns. A choice of ours."""


@dataclass(frozen=True)
class PlannedRun:
    """What one training of a run will do.

    Attributes:
        run: name.
        pool: name.
        rows: of the pool, before any cut; None: not known before the data are loaded.
        draws: rows drawn; None: follows from the rows.
    """

    run: str
    pool: str
    rows: int | None
    draws: int | None

    @property
    def passes(self) -> float | None:
        """How often a row of the pool is drawn on average."""
        return None if self.rows is None or self.draws is None else self.draws / self.rows


@dataclass(frozen=True)
class Plan:
    """What a study will do.

    Attributes:
        runs: one of each that is trained.
        jobs: how many of each kind, over all seeds.
        warnings: sentences about what may surprise.
    """

    runs: tuple[PlannedRun, ...]
    jobs: Mapping[str, int]
    warnings: tuple[str, ...]


def plan_of(study: Study) -> Plan:
    """Plan a checked study.

    Raises:
        DataError, ConfigError: a user's files that changed since they were checked.
    """
    shapes = look_at_datasets(study)
    rows = {pool: rows_of_pool(study, pool, shapes) for pool in study.settings.pools}
    runs = tuple(_planned(study, run, rows) for run in study.trained)
    warnings = [_many_passes(run) for run in runs if run.passes is not None and run.passes > MANY_PASSES]
    warnings += [*large_amounts(study, shapes), *_unnumbered_classes(study, shapes)]
    return Plan(runs, _jobs(study), tuple(warnings))


def _planned(study: Study, run: str, rows: Mapping[str, int | None]) -> PlannedRun:
    resolved = study.trained[run]
    num_rows = rows[resolved.pool]
    is_known = num_rows is not None or resolved.training.samples_per_epoch is not None
    draws = num_draws(of_pool(resolved.training, num_rows or 0)) if is_known else None
    return PlannedRun(run, resolved.pool, num_rows, draws)


def _many_passes(run: PlannedRun) -> str:
    return (
        f"run {run.run} draws {run.draws:,} rows from a pool of {run.rows:,}, {run.passes:,.0f} passes over it: "
        "lower epochs or samples_per_epoch, unless that is meant"
    )


def rows_of_pool(study: Study, pool: str, shapes: Shapes) -> int | None:
    """Return the rows of a pool before any cut; None: not known before the data are loaded."""
    settings = study.settings.pools[study.pools_behind(pool)[-1]]
    dataset = study.settings.datasets[str(settings.dataset)]
    splits = _rows_of_splits(dataset, shapes[str(settings.dataset)])
    if splits is None:
        return None
    train, held_out = splits
    synthetic = settings.synthetic
    if synthetic is None:
        return train
    if synthetic.count is not None:
        return train + synthetic.count
    if isinstance(synthetic, NpzSyntheticSettings):
        return train + look_at(synthetic.path, f"pools.{pool}.synthetic.path")[0]
    if isinstance(synthetic, FolderSyntheticSettings):
        root = Path(synthetic.path)
        return train + len(listing_of(place_at(root), "", root).files)
    return train + held_out


def _rows_of_splits(dataset: DatasetSettings, shape: SourceShape) -> tuple[int, int] | None:
    """Return the rows of the train and the held-out split, as `data.datasets.divide` makes them."""
    num_rows = rows_as_they_come(dataset, shape)
    if num_rows is None:
        return None
    left, held_out = rows_left(dataset, num_rows)
    return (left if dataset.train_count is None else min(left, dataset.train_count)), held_out


def rows_of_split(dataset: DatasetSettings, shape: SourceShape, split: str) -> int | None:
    """Return the rows of the test or the validation split, as `data.datasets.divide` makes them; None: not known.

    Args:
        dataset: its settings.
        shape: what its images are.
        split: `test` or `validation`.
    """
    counted = rows_as_they_come(dataset, shape)
    if counted is None:
        return None
    test = rows_tested(dataset, counted)
    if split == "validation":
        return round(dataset.validation_fraction * (sum(counted) - test))
    return test if dataset.test_count is None else min(test, dataset.test_count)


def _jobs(study: Study) -> dict[str, int]:
    """Count the jobs that take long."""
    seeds, settings = len(study.settings.seeds), study.settings
    shards = sum(getattr(score, "shards", 1) for score in settings.scores.values() if looks_through_a_model(score))
    learned = sum(pool.learned is not None for pool in settings.pools.values())
    counts = {
        "generators": len(settings.generators) * seeds,
        "learned pools": learned * seeds,
        "trainings": len(study.trained) * seeds,
        "imported models": len(study.imported) * seeds,
        "score shards": shards * seeds,
        "attacks": sum(len(set(study.attacks_of(run)) - set(study.worst_of)) for run in study.runs) * seeds,
        "attacks on kept epochs": len(_attacks_for_reports(study)) * seeds,
        "reports": len(settings.reports),
    }
    return {name: count for name, count in counts.items() if count}


def _attacks_for_reports(study: Study) -> set[tuple[str, str, int | None]]:
    """Return run, attack and epoch of each attack that reports alone ask for; None: on a model of the best epoch."""
    reports = [report for report in study.settings.reports.values() if isinstance(report, KeptEpochsSettings)]
    found: set[tuple[str, str, int | None]] = set()
    for run, attack in {(run, report.attack) for report in reports for run in report.runs_needed(study)}:
        training = study.trained[run].training
        found |= {(run, attack, epoch) for epoch in kept_epochs(training)}
        found |= {(run, attack, None)} if takes_best(training) and attack not in study.attacks_of(run) else set()
    return found


def _unnumbered_classes(study: Study, shapes: Shapes) -> list[str]:
    """Warn of datasets whose classes are other numbers than their labels, beside images that know labels alone."""
    told = []
    for name, pool in study.settings.pools.items():
        if pool.dataset is None or not isinstance(pool.synthetic, NpzSyntheticSettings):
            continue
        names = shapes[pool.dataset].class_names
        if names and all(each.isdigit() for each in names) and [int(each) for each in names] != [*range(len(names))]:
            told.append(
                f"the classes of dataset {pool.dataset} are numbers, but class {names[0]} has label 0: label 0 of "
                f"{pool.synthetic.path} in pool {name} counts as class {names[0]}"
            )
    return told

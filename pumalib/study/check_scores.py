"""Checks of scores: their pools, models and functions. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from pumalib.errors import ConfigError, DataError
from pumalib.scores.functions import load_function
from pumalib.scores.settings import (
    CustomScoreSettings,
    FileScoreSettings,
    ModelReference,
    TrackedScore,
    looks_through_a_model,
)
from pumalib.study.check_pools import Shapes
from pumalib.study.check_tracks import check_one_pool
from pumalib.study.names import expect_name
from pumalib.study.plan import rows_of_pool
from pumalib.study.study import Study


def check_score_pools(study: Study) -> None:
    """Refuse scores of pools or runs that are not there.

    Raises:
        ConfigError: the first problem found.
    """
    for name, score in study.settings.scores.items():
        if isinstance(score, TrackedScore):
            for run in score.tracked:
                study.expect_trained(run, f"scores.{name}.tracked")
            check_one_pool(study, score, f"scores.{name}")
        else:
            expect_name(study.score_pool(name), study.settings.pools, "pool", f"scores.{name}.pool")


def check_scores(study: Study, shapes: Shapes) -> None:
    """Refuse scores whose model or function is not there, or does not fit the pool.

    Raises:
        ConfigError: the first problem found.
    """
    for name, score in study.settings.scores.items():
        if looks_through_a_model(score):
            _check_reference(study, name, score.model, shapes)  # type: ignore[union-attr]
        elif isinstance(score, FileScoreSettings):
            _check_file(study, name, score, shapes)
    for name, score in study.settings.scores.items():
        if isinstance(score, CustomScoreSettings):
            _check_function(score, f"scores.{name}.method")


def _check_reference(study: Study, name: str, model: ModelReference, shapes: Shapes) -> None:
    where = f"scores.{name}.model"
    if model.checkpoint is not None:
        if not Path(model.checkpoint).is_file():
            raise ConfigError(f"expected a file, found none at {model.checkpoint}, named at {where}.checkpoint")
        return
    run = model.run or ""
    study.expect("run", run, where)
    _check_model_seed(study, model, f"{where}.seed")
    scored, trained_on = shapes[study.dataset_of_pool(study.score_pool(name))], shapes[study.dataset_of_run(run)]
    if trained_on != scored:
        raise ConfigError(
            f"expected a model of images {scored.image_shape}, as in pool {study.score_pool(name)}, got run {run}, "
            f"trained on {trained_on.image_shape}, at {where}"
        )


def _check_file(study: Study, name: str, score: FileScoreSettings, shapes: Shapes) -> None:
    """Refuse a file that is not there for a seed, or that the pool can take no scores from."""
    from pumalib.scores.file import look  # pandas takes longer to load than all other checks take

    where, num_rows = f"scores.{name}.path", rows_of_pool(study, study.score_pool(name), shapes)
    for path in dict.fromkeys(score.path_of(seed) for seed in study.settings.seeds):
        if not Path(path).is_file():
            raise ConfigError(f"expected a file, found none at {path}, named at {where}")
        try:
            look(score, Path(path), num_rows)
        except DataError as error:
            raise ConfigError(f"{error}, named at {where}") from None


def _check_function(score: CustomScoreSettings, where: str) -> None:
    try:
        load_function(score)
    except ConfigError as error:
        raise ConfigError(f"{error} at {where}") from None


def _check_model_seed(study: Study, reference: ModelReference, where: str) -> None:
    """Refuse a seed that has no model, or whose model was trained on rows that another seed tests on."""
    if reference.seed is None or reference.run is None:
        return
    if reference.run in study.imported:
        raise ConfigError(
            f"expected no seed with {reference.run}, a checkpoint, which is one model with every seed, got "
            f"{reference.seed} at {where}; leave it out"
        )
    if reference.seed not in study.settings.seeds:
        raise ConfigError(f"expected a seed among {list(study.settings.seeds)}, got {reference.seed} at {where}")
    dataset = study.dataset_of_run(reference.run)
    settings = study.settings.datasets[dataset]
    if len(study.settings.seeds) > 1 and settings.train_rows == "disjoint":
        raise ConfigError(
            f"expected the model of each seed's own train rows, got seed {reference.seed} for all seeds of dataset "
            f"{dataset}, whose train rows are disjoint; leave seed out at {where}"
        )
    if len(study.settings.seeds) > 1 and settings.is_seeded:
        raise ConfigError(
            f"expected the model of each seed's own split, got seed {reference.seed} for all seeds: dataset {dataset} "
            f"is divided anew for each seed, so that model has seen test rows of the others; leave seed out at {where}"
        )

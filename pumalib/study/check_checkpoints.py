"""Checks of checkpoints that are runs, that scores look through or that runs start from.

Each is read once, which takes torch and seconds. For `puma check`; a job reads the one that it needs anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pumalib.data.sources.raw import SourceShape
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.models.imported_settings import ImportedModelSettings
from pumalib.models.settings import ArchitectureSettings, CheckpointWeights
from pumalib.study.check_pools import look_at_datasets
from pumalib.study.slices import imported_settings
from pumalib.study.study import Study


class Checkpoint(NamedTuple):
    """A checkpoint that a study names; without `architecture` it is a model of this library."""

    path: Path
    architecture: ArchitectureSettings | None
    weights: CheckpointWeights | None
    pool: str
    where: str


def check_checkpoints(study: Study) -> None:
    """Refuse checkpoints that do not fit the architecture or the images.

    Raises:
        ConfigError: the first one found.
    """
    named = list(checkpoints_of(study))
    shapes = look_at_datasets(study) if named or study.imported else {}
    for name, run in study.imported.items():
        _check_run(imported_settings(study, name), shapes[study.dataset_of_pool(run.pool)], f"runs.{name}")
    for checkpoint in named:
        check_checkpoint(checkpoint, shapes[study.dataset_of_pool(checkpoint.pool)])


def check_checkpoint(checkpoint: Checkpoint, shape: SourceShape) -> None:
    """Refuse a checkpoint that does not fit its architecture or the images.

    Raises:
        ConfigError: it does not, or cannot be read.
    """
    if shape.num_classes is None:
        return
    from pumalib.models.imported import load_checkpoint
    from pumalib.models.trained import expect_images, load_trained

    path, architecture, weights, pool, where = checkpoint
    try:
        if architecture is None:
            expect_images(load_trained(path, "cpu"), shape.image_shape, shape.num_classes, f"pools.{pool}")
        else:
            load_checkpoint(path, architecture, shape.image_shape, shape.num_classes, weights)
    except (ArtifactError, ConfigError, DataError) as error:
        raise ConfigError(f"{error}, named at {where}") from None


def _check_run(settings: ImportedModelSettings, shape: SourceShape, where: str) -> None:
    """Refuse a checkpoint that its run cannot be made from."""
    if shape.num_classes is None:
        return
    from pumalib.evaluation.imported_model import load_as_described

    try:
        load_as_described(settings, shape.image_shape, shape.num_classes)
    except (ArtifactError, ConfigError) as error:
        raise ConfigError(f"{error}, named at {where}") from None


def checkpoints_of(study: Study) -> Iterator[Checkpoint]:
    """Yield every checkpoint that a score looks through or a run starts from."""
    for name, score in study.settings.scores.items():
        model = getattr(score, "model", None)
        if model is not None and model.checkpoint is not None:
            where, pool = f"scores.{name}.model", study.score_pool(name)
            yield Checkpoint(Path(model.checkpoint), model.architecture, model.weights, pool, where)
    for name, run in study.trained.items():
        start = run.start_from
        if start is not None and start.checkpoint is not None:
            yield Checkpoint(
                Path(start.checkpoint), run.architecture, start.weights, run.pool, f"runs.{name}.start_from"
            )

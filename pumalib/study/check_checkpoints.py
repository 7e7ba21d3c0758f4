"""Checks of checkpoints that scores look through: each is read once, which takes torch and seconds.

For `puma check`; a job reads the one that it needs anyway.
"""

from __future__ import annotations

from pathlib import Path

from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.study.check_pools import Shapes, look_at_datasets
from pumalib.study.study import Study


def check_checkpoints(study: Study) -> None:
    """Refuse checkpoints that do not fit the architecture or the images.

    Raises:
        ConfigError: the first one found.
    """
    shapes: Shapes | None = None
    for name, score in study.settings.scores.items():
        reference = getattr(score, "model", None)
        if reference is None or reference.checkpoint is None:
            continue
        shapes = shapes or look_at_datasets(study)
        shape = shapes[study.dataset_of_pool(study.score_pool(name))]
        if shape.num_classes is None:
            continue
        from pumalib.models.imported import load_checkpoint
        from pumalib.models.trained import expect_images, load_trained

        path = Path(reference.checkpoint)
        try:
            if reference.architecture is None:
                expect_images(load_trained(path, "cpu"), shape.image_shape, shape.num_classes, f"scores.{name}.pool")
            else:
                load_checkpoint(path, reference.architecture, shape.image_shape, shape.num_classes, reference.weights)
        except (ArtifactError, ConfigError, DataError) as error:
            raise ConfigError(f"{error}, named at scores.{name}.model") from None

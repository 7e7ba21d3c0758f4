"""How large what a study works on is: rows of pools and splits, shapes of images. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pumalib.errors import ConfigError
from pumalib.planning.images import Images
from pumalib.study.check_pools import Shapes, look_at_datasets
from pumalib.study.plan import rows_of_pool, rows_of_split
from pumalib.study.study import Study

_CLASSES_IF_UNKNOWN = 10


@dataclass(frozen=True)
class StudyShapes:
    """The sizes of a checked study.

    Attributes:
        study: the study.
    """

    study: Study

    @cached_property
    def datasets(self) -> Shapes:
        """Return what the images of each dataset are."""
        return look_at_datasets(self.study)

    def rows(self, pool: str) -> int:
        """Return the rows of a pool before any cut.

        Raises:
            ConfigError: they are not known before the data are loaded.
        """
        return _known(rows_of_pool(self.study, pool, self.datasets), f"pools.{pool}")

    def rows_attacked(self, run: str, attack: str) -> int:
        """Return the images of an attack on a run.

        Raises:
            ConfigError: they are not known before the data are loaded.
        """
        settings, name = self.study.settings.attacks[attack], self.study.dataset_of_run(run)
        rows = rows_of_split(self.study.settings.datasets[name], self.datasets[name], settings.split)
        count = _known(rows, f"datasets.{name}")
        return count if settings.num_images is None else min(count, settings.num_images)

    def images(self, pool: str) -> Images:
        """Return what the images of a pool are."""
        start = self.study.settings.pools[self.study.pools_behind(pool)[-1]]
        return self.images_of_dataset(str(start.dataset), start.synthetic is not None)

    def images_of_dataset(self, dataset: str, has_synthetic: bool = False) -> Images:
        """Return what the images of a dataset are; ten classes where only reading all of them could tell."""
        shape = self.datasets[dataset]
        return Images(shape.image_shape, shape.num_classes or _CLASSES_IF_UNKNOWN, has_synthetic)


def _known(rows: int | None, where: str) -> int:
    if rows is None:
        raise ConfigError(
            f"expected rows whose number is known before any job, got images to be loaded first, at {where}; "
            "give a count there"
        )
    return rows

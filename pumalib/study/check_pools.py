"""Checks of datasets and pools. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from pumalib.data.settings import (
    DatasetSettings,
    FolderSyntheticSettings,
    HeldOutSyntheticSettings,
    ImageFilesSettings,
    NpzSyntheticSettings,
    source_module,
)
from pumalib.data.sources.class_folders import listing_of
from pumalib.data.sources.image_files import count_images
from pumalib.data.sources.image_places import place_at
from pumalib.data.sources.npz import expect_shape, look_at
from pumalib.data.sources.raw import SourceShape
from pumalib.errors import ConfigError, DataError
from pumalib.learning.settings import TriLevelSettings
from pumalib.study.check_classes import grouped_shape
from pumalib.study.names import expect_name
from pumalib.study.study import Study

Shapes = Mapping[str, SourceShape]
"""What the images of each dataset are."""


def look_at_datasets(study: Study) -> Shapes:
    """Return what the images of each dataset are.

    Raises:
        ConfigError: a file that is not there or cannot be read, or one class.
    """
    shapes: dict[str, SourceShape] = {}
    for name, settings in study.settings.datasets.items():
        where = f"datasets.{name}"
        shape = importlib.import_module(source_module(settings.source)).look(settings, where)
        shape = shapes[name] = grouped_shape(settings, shape, where)
        if shape.num_classes is not None and shape.num_classes < 2:
            raise ConfigError(f"expected at least two classes, got {shape.num_classes} at {where}")
        _expect_rows(settings, shape, where)
        _expect_rows_for_each_seed(study, settings, shape, where)
    return shapes


def rows_as_they_come(dataset: DatasetSettings, shape: SourceShape) -> tuple[int, int] | None:
    """Return the train and the test images before any division, listing those that are files; None: not known."""
    if shape.num_rows is None and isinstance(dataset, ImageFilesSettings):
        return count_images(dataset)
    return shape.num_rows


def rows_tested(dataset: DatasetSettings, num_rows: tuple[int, int]) -> int:
    """Return the test rows that `data.datasets.divide` sets aside before `test_count`."""
    return round(dataset.test_fraction * sum(num_rows)) if dataset.is_seeded else num_rows[1]


def rows_left(dataset: DatasetSettings, num_rows: tuple[int, int]) -> tuple[int, int]:
    """Return the rows that `data.datasets.divide` leaves for training before `train_count`, and the held-out ones."""
    train = sum(num_rows) - rows_tested(dataset, num_rows)
    validation, held_out = (round(share * train) for share in (dataset.validation_fraction, dataset.held_out_fraction))
    return train - validation - held_out, held_out


def _expect_rows(dataset: DatasetSettings, shape: SourceShape, where: str) -> None:
    """Refuse counts of train or test rows that a dataset has not, or that leave a class without a row, as far as the
    number of its rows tells."""
    counts = {"train_count": dataset.train_count, "test_count": dataset.test_count}
    asked = {key: count for key, count in counts.items() if count is not None}
    num_rows = rows_as_they_come(dataset, shape) if asked else None
    if num_rows is None:
        return
    most = {"train_count": rows_left(dataset, num_rows)[0], "test_count": rows_tested(dataset, num_rows)}
    fewest = shape.num_classes or 1
    for key, count in asked.items():
        if not fewest <= count <= most[key]:
            raise ConfigError(
                f"expected from {fewest}, a row of each class, to {most[key]:,}, the rows that there are, got {count} "
                f"at {where}.{key}"
            )


def _expect_rows_for_each_seed(study: Study, dataset: DatasetSettings, shape: SourceShape, where: str) -> None:
    """Refuse seeds for which a dataset has no train rows of their own, as far as the number of its rows tells."""
    if dataset.train_rows != "disjoint" or dataset.train_count is None:
        return
    num_rows = rows_as_they_come(dataset, shape)
    if num_rows is None:
        return
    left, highest = rows_left(dataset, num_rows)[0], max(study.settings.seeds)
    if (highest + 1) * dataset.train_count > left:
        raise ConfigError(
            f"expected seeds below {left // dataset.train_count}, for each of which {where} has {dataset.train_count} "
            f"of {left:,} train rows, got seed {highest}; lower train_count, or use lower seeds"
        )


def check_pools(study: Study, shapes: Shapes) -> None:
    """Refuse pools whose parts do not fit each other.

    Raises:
        ConfigError: the first problem found.
    """
    settings = study.settings
    for name, generator in settings.generators.items():
        expect_name(generator.dataset, settings.datasets, "dataset", f"generators.{name}.dataset")
    check_starts(study)
    for name, pool in settings.pools.items():
        where = f"pools.{name}"
        if pool.dataset is None:
            continue
        expect_name(pool.dataset, settings.datasets, "dataset", f"{where}.dataset")
        synthetic = pool.synthetic
        if isinstance(synthetic, NpzSyntheticSettings):
            check_npz_pool(pool.dataset, synthetic, shapes[pool.dataset], f"{where}.synthetic")
        elif isinstance(synthetic, FolderSyntheticSettings):
            _check_folder_pool(pool.dataset, synthetic, shapes[pool.dataset], f"{where}.synthetic")
        elif isinstance(synthetic, HeldOutSyntheticSettings):
            if settings.datasets[pool.dataset].held_out_fraction == 0:
                raise ConfigError(
                    f"expected held_out_fraction above 0 in datasets.{pool.dataset} for {where}.synthetic, got 0"
                )
            _check_held_out_pool(settings.datasets[pool.dataset], synthetic, shapes[pool.dataset], f"{where}.synthetic")
        elif synthetic is not None:
            expect_name(synthetic.generator, settings.generators, "generator", f"{where}.synthetic.generator")
            trained_on = settings.generators[synthetic.generator].dataset
            if trained_on != pool.dataset:
                raise ConfigError(
                    f"expected a generator trained on {pool.dataset}, the pool's dataset, got {synthetic.generator}, "
                    f"trained on {trained_on}, at {where}.synthetic.generator"
                )


def check_npz_pool(dataset: str, synthetic: NpzSyntheticSettings, expected: SourceShape, where: str) -> None:
    """Refuse a file of generated images that does not fit its dataset, or holds too few.

    Raises:
        ConfigError: the first problem found.
    """
    count, found = look_at(synthetic.path, f"{where}.path")
    expect_shape(found.image_shape, expected.image_shape, f"dataset {dataset}", f"{where}.path")
    known, num_classes = expected.num_classes, found.num_classes or 0
    if known is not None and num_classes > known:
        raise ConfigError(
            f"expected labels in [0, {known}), the classes of dataset {dataset}, got {num_classes - 1} "
            f"in {synthetic.path} at {where}.path"
        )
    if synthetic.count is not None and synthetic.count > count:
        raise ConfigError(
            f"expected a count of at most {count}, the rows of {synthetic.path}, got {synthetic.count} at {where}.count"
        )


def _check_held_out_pool(
    dataset: DatasetSettings, synthetic: HeldOutSyntheticSettings, shape: SourceShape, where: str
) -> None:
    """Refuse a count of more rows than are held out, as far as the number of rows tells."""
    num_rows = None if synthetic.count is None else rows_as_they_come(dataset, shape)
    if synthetic.count is None or num_rows is None:
        return
    held_out = rows_left(dataset, num_rows)[1]
    if synthetic.count > held_out:
        raise ConfigError(
            f"expected a count of at most {held_out:,}, the rows held out, got {synthetic.count} at {where}.count; "
            "raise held_out_fraction"
        )


def _check_folder_pool(dataset: str, synthetic: FolderSyntheticSettings, expected: SourceShape, where: str) -> None:
    """Refuse folders of other classes than the dataset has, and images that are not square there.

    Raises:
        ConfigError: the first problem found.
    """
    height, width, _ = expected.image_shape
    if height != width:
        raise ConfigError(f"expected a dataset of square images, got {height}x{width} of {dataset} at {where}")
    root = Path(synthetic.path)
    if not root.exists():
        raise ConfigError(f"expected a folder or a tar file, found none at {synthetic.path}, named at {where}.path")
    try:
        listing = listing_of(place_at(root), "", root)
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.path") from None
    names, count = listing.class_names, len(listing.files)
    if synthetic.count is not None and synthetic.count > count:
        raise ConfigError(
            f"expected a count of at most {count}, the images of {synthetic.path}, got {synthetic.count} "
            f"at {where}.count"
        )
    unknown = [name for name in names if expected.class_names and name not in expected.class_names]
    if unknown:
        raise ConfigError(
            f"expected class folders named by classes of dataset {dataset}, got {', '.join(unknown[:5])} in "
            f"{synthetic.path}, named at {where}.path"
        )


def check_starts(study: Study) -> None:
    """Refuse learned pools that do not lead back to a pool of a dataset.

    Raises:
        ConfigError: an unknown pool, or a pool learned from itself, directly or not.
    """
    pools = study.settings.pools
    for name in pools:
        chain = [name]
        while (learned := pools[chain[-1]].learned) is not None:
            expect_name(learned.pool, pools, "pool", f"pools.{chain[-1]}.learned.pool")
            chain.append(learned.pool)
            if learned.pool in chain[:-1]:
                raise ConfigError(
                    f"expected a pool learned from another, got {' -> '.join(chain)} at pools.{name}.learned.pool; "
                    "start from a pool of a dataset"
                )


def check_learned_pools(study: Study) -> None:
    """Refuse models of other images than those to learn or to guide.

    Raises:
        ConfigError: the first problem found.
    """
    for name, pool in study.settings.pools.items():
        if pool.learned is not None and not isinstance(pool.learned, TriLevelSettings):
            _check_model(study, name, pool.learned.model, f"pools.{name}.learned.model")
        if pool.guide is not None:
            _check_model(study, name, pool.guide, f"pools.{name}.synthetic.guidance.model")


def _check_model(study: Study, pool: str, run: str, where: str) -> None:
    """Refuse a model of another dataset: it sees other images, or was trained on rows that this one tests on."""
    study.expect("run", run, where)
    dataset, trained_on = study.dataset_of_pool(pool), study.dataset_of_run(run)
    if trained_on != dataset:
        raise ConfigError(
            f"expected a run on dataset {dataset}, as the pool is, got {run}, trained on {trained_on}, at {where}"
        )

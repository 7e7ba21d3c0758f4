"""What classes in groups make of a dataset, known before any job. Imports no torch."""

from __future__ import annotations

import importlib

from pumalib.data.class_groups import find_groups
from pumalib.data.settings import DatasetSettings, class_tree_of, source_module
from pumalib.data.sources.raw import ClassCounts, SourceShape
from pumalib.errors import ConfigError, DataError


def grouped_shape(dataset: DatasetSettings, shape: SourceShape, where: str) -> SourceShape:
    """Return what the images of a dataset are once its classes are in groups; without groups, the same.

    The images of each class are listed and counted, and none is read.

    Args:
        dataset: its settings.
        shape: what its source tells of the images.
        where: path of the dataset's key, for messages.

    Raises:
        ConfigError: files that cannot be read, or classes that the tree does not know or divide.
    """
    tree = class_tree_of(dataset)
    if tree is None:
        return shape
    try:
        counts: ClassCounts = importlib.import_module(source_module(dataset.source)).class_counts(dataset)
        groups = find_groups(tree, counts.sizes(dataset.is_seeded))
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.classes") from None
    kept = [row.name for row in groups.rows if row.is_kept]
    num_rows = sum(counts.train[name] for name in kept), sum(counts.test[name] for name in kept)
    return shape._replace(num_classes=len(groups.class_names), num_rows=num_rows, class_names=groups.class_names)

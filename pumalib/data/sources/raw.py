"""What every data source hands over.

A source is a module with three functions: `look(settings, where)`, what its images are, for checks before any job;
`files(settings)`, the user's own files, which the workflow watches; and `load(settings, data_dir)`. One whose classes
may be put in groups has a fourth, `class_counts(settings)`, which counts the images of each class without reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pumalib.data.images import LabelledImages


class SourceShape(NamedTuple):
    """What the images of a source are.

    Attributes:
        image_shape: (H, W, C).
        num_classes: None where only reading all of them could tell.
        num_rows: of the train and the test images, 0 where there are none of their own; None where only listing all
            of them could tell.
        class_names: in label order, where they are known.
    """

    image_shape: tuple[int, int, int]
    num_classes: int | None
    num_rows: tuple[int, int] | None = None
    class_names: tuple[str, ...] = ()


class ClassCounts(NamedTuple):
    """How many images of each class there are, by name, in label order.

    Attributes:
        train: of the train images.
        test: of the test images; 0 where they are drawn from the train images.
    """

    train: dict[str, int]
    test: dict[str, int]

    def sizes(self, is_seeded: bool) -> dict[str, int]:
        """Return how many images train rows are drawn from, by class: with a seeded split, all of them."""
        return {name: count + (self.test[name] if is_seeded else 0) for name, count in self.train.items()}


@dataclass(frozen=True)
class RawDataset:
    """A dataset as its source gives it, before any division of ours.

    Attributes:
        train: train images.
        test: test images; None: the source has none of its own.
        class_names: in label order.
        skipped: names of the user's files that could not be read and are left out, as was asked for.
        listed: how many images each class has, with those left out; None: as many as there are.
    """

    train: LabelledImages
    test: LabelledImages | None
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    listed: ClassCounts | None = None

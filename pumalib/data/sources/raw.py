"""What every data source hands over.

A source is a module with three functions: `look(settings, where)`, what its images are, for checks before any job;
`files(settings)`, the user's own files, which the workflow watches; and `load(settings, data_dir)`.
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


@dataclass(frozen=True)
class RawDataset:
    """A dataset as its source gives it, before any division of ours."""

    train: LabelledImages
    test: LabelledImages | None
    class_names: tuple[str, ...]

"""What every data source hands over."""

from __future__ import annotations

from dataclasses import dataclass

from pumalib.data.images import LabelledImages


@dataclass(frozen=True)
class RawDataset:
    """A dataset as its source gives it, before any division of ours."""

    train: LabelledImages
    test: LabelledImages | None
    class_names: tuple[str, ...]

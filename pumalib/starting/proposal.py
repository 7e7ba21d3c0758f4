"""Settings to begin with, each by a rule that can be said in a sentence. All rules are choices of ours."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pumalib.jobs.device_locks import count_devices
from pumalib.starting.survey import Survey

_SIZES = (8, 16, 28, 32, 48, 64)
"""Up to 64: a robust training costs by the pixel, and 224 x 224 takes 12 times as long."""

_TEST_FRACTION = 0.2
_ROWS_OF_VALIDATION = 200
_BATCHES_OF_AN_EPOCH = 10
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 128


@dataclass(frozen=True)
class Proposal:
    """What a study of a folder of images says.

    Attributes:
        image_size: the largest usual size that nearly all images have, 64 at most.
        enlarge: whether some images are smaller.
        test_fraction: of all images; 0 where there is a test folder.
        validation_fraction: about 200 rows, from 5 to 20 % of them.
        samples_per_epoch: rows that are left to train on: an epoch is one pass.
        batch_size: 128, or down to 32 so that an epoch has ten steps.
        learning_rate: 0.1 for a batch of 128, in proportion for smaller ones.
        epsilon: as papers have it for images of this kind.
        architecture: a large network where there is a GPU, else a small one.
        crop_padding: an eighth of the size.
        horizontal_flip: for photographs in colour.
    """

    image_size: int
    enlarge: bool
    test_fraction: float
    validation_fraction: float
    samples_per_epoch: int
    batch_size: int
    learning_rate: float
    epsilon: str
    architecture: str
    crop_padding: int
    horizontal_flip: bool


def propose(found: Survey, image_size: int | None = None, epsilon: str | None = None) -> Proposal:
    """Propose settings.

    Args:
        found: what the folder holds.
        image_size: that was asked for; None: by the images.
        epsilon: the same.
    """
    size = image_size or usual_size(found)
    test_fraction = 0.0 if found.has_test else _TEST_FRACTION
    train = found.num_images - round(test_fraction * found.num_images)
    validation = round(float(np.clip(_ROWS_OF_VALIDATION / train, 0.05, 0.2)), 2)
    rows = train - round(validation * train)
    batch_size = _batch_size(rows)
    return Proposal(
        image_size=size,
        enlarge=min(found.sides) < size,
        test_fraction=test_fraction,
        validation_fraction=validation,
        samples_per_epoch=rows,
        batch_size=batch_size,
        learning_rate=0.1 * batch_size / _LARGEST_BATCH,
        epsilon=epsilon or usual_epsilon(found, size),
        architecture="preactresnet-18" if _has_gpu() else "small-cnn",
        crop_padding=size // 8,
        horizontal_flip=not found.is_grey,
    )


def usual_size(found: Survey) -> int:
    """Return the size to bring images to; where all have one of up to 64 pixels, that."""
    if len(set(found.sides)) == 1 and found.sides[0] <= _SIZES[-1]:
        return found.sides[0]
    nearly_all = float(np.quantile(found.sides, 0.05, method="lower"))
    return max([size for size in _SIZES if size <= nearly_all], default=max(int(nearly_all), 1))


def usual_epsilon(found: Survey, size: int) -> str:
    """Return the L-inf epsilon of papers: of grey drawings, of small photographs, of large ones."""
    if found.is_grey:
        return "0.1"
    return "8/255" if size <= _SIZES[-1] else "4/255"


def _batch_size(rows: int) -> int:
    """Return a power of two."""
    wanted = max(rows // _BATCHES_OF_AN_EPOCH, _SMALLEST_BATCH)
    return min(1 << (wanted.bit_length() - 1), _LARGEST_BATCH)


def _has_gpu() -> bool:
    return count_devices(os.environ.get("CUDA_VISIBLE_DEVICES")) > 0

"""Divide CIFAR-10's 50,000 train images into 40,000 to train on and 10,000 to test on, as npz files.

    python studies/cifar10/split_train.py --folder data/cifar-10-batches-py --out data/cifar10-of-train
    python studies/cifar10/split_train.py --npz cifar10-train.npz --out data/cifar10-of-train

The test images are the last 1,000 train images of each class in the official order, so no result is of the official
test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from pumalib.data.image_readers import read_all
from pumalib.data.settings import Cifar10FilesSettings
from pumalib.data.sources.cifar10_files import load
from pumalib.data.sources.npz import read_npz

TESTED = 1000
"""Images of each class that are set aside."""


def main() -> None:
    """Write train.npz and test.npz."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    given = arguments.add_mutually_exclusive_group(required=True)
    given.add_argument("--folder", help="the published files")
    given.add_argument("--npz", help="`image` [50000, 32, 32, 3] uint8 and `label` [50000], in the official order")
    arguments.add_argument("--out", type=Path, default=Path("data/cifar10-of-train"))
    chosen = arguments.parse_args()
    if chosen.npz:
        train = read_npz(chosen.npz)
    else:
        train = load(Cifar10FilesSettings(source="cifar10_files", path=chosen.folder), Path()).train
    if len(train.labels) != 50_000:
        raise SystemExit(f"expected the 50,000 train images of CIFAR-10, got {len(train.labels):,} images")
    of_class = [np.flatnonzero(train.labels == label) for label in range(10)]
    tested = np.sort(np.concatenate([rows[-TESTED:] for rows in of_class]))
    trained = np.setdiff1d(np.arange(len(train.labels)), tested)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", trained), ("test", tested)):
        np.savez(chosen.out / f"{name}.npz", image=read_all(train.images)[rows], label=train.labels[rows])


if __name__ == "__main__":
    main()

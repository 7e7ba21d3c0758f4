"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN through torchvision, which checks each file's md5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pumalib.data.images import LabelledImages
from pumalib.data.settings import TorchvisionSettings
from pumalib.data.sources.raw import RawDataset
from pumalib.errors import DataError

_CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
}


def load(settings: TorchvisionSettings, data_dir: Path) -> RawDataset:
    """Load a torchvision dataset from ``data_dir``, downloading what is not there yet.

    Raises:
        DataError: the files are neither there nor can be downloaded.
    """
    train = _open(settings.source, data_dir, is_train=True)
    test = _open(settings.source, data_dir, is_train=False)
    names = getattr(train, "classes", [str(digit) for digit in range(10)])
    return RawDataset(_convert(train), _convert(test), tuple(names))


def _open(source: str, data_dir: Path, is_train: bool) -> Any:
    import torchvision.datasets

    factory = getattr(torchvision.datasets, _CLASSES[source])
    split = {"split": "train" if is_train else "test"} if source == "svhn" else {"train": is_train}
    try:
        return factory(root=str(data_dir), download=True, **split)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"expected the files of {source} in {data_dir}, or a network to download them; {error}; "
            "put the original files there or set data_dir"
        ) from None


def _convert(dataset: Any) -> LabelledImages:
    images = np.asarray(dataset.data)
    labels = dataset.labels if hasattr(dataset, "labels") else dataset.targets
    if images.ndim == 3:
        images = images[..., None]
    elif images.shape[1] == 3 and images.shape[-1] != 3:
        images = images.transpose(0, 2, 3, 1)
    return LabelledImages(np.ascontiguousarray(images, np.uint8), np.asarray(labels).astype(np.int64))

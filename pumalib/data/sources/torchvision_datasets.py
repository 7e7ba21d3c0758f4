"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN through torchvision.

torchvision checks the md5 of each download, and of CIFAR's and SVHN's files each time it reads them; CIFAR's are
pickles, which run what stands in them. What it unpacks of MNIST's it reads unchecked, so they are checked here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pumalib.data.images import LabelledImages
from pumalib.data.settings import TORCHVISION_SHAPES, TorchvisionSettings
from pumalib.data.sources.raw import RawDataset, SourceShape
from pumalib.errors import DataError
from pumalib.files.artifacts import file_fingerprint

_CLASSES = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "CIFAR10",
    "cifar100": "CIFAR100",
    "svhn": "SVHN",
}


_NUM_ROWS = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "svhn": (73_257, 26_032),
}

_UNPACKED = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
"""SHA-256 of MNIST's files as unpacked from those with torchvision's md5."""


def look(settings: TorchvisionSettings, where: str) -> SourceShape:
    """Return what the images are, without loading them."""
    return SourceShape(*TORCHVISION_SHAPES[settings.source], _NUM_ROWS[settings.source])


def files(settings: TorchvisionSettings) -> tuple[str, ...]:
    """Return the user's own files: none, torchvision checks what it downloads."""
    return ()


def load(settings: TorchvisionSettings, data_dir: Path) -> RawDataset:
    """Load a torchvision dataset from ``data_dir``, downloading what is not there yet.

    Raises:
        DataError: the files are neither there nor can be downloaded, or are not the published ones.
    """
    folder = data_dir / _CLASSES[settings.source]
    if settings.source in _UNPACKED and (folder / "processed").exists():
        raise DataError(
            f"expected the original files of {settings.source}, got {folder / 'processed'}, which torchvision would "
            "read instead of them; remove it"
        )
    train = _open(settings.source, data_dir, is_train=True)
    test = _open(settings.source, data_dir, is_train=False)
    for name, digest in _UNPACKED.get(settings.source, {}).items():
        if file_fingerprint(folder / "raw" / name) != digest:
            raise DataError(
                f"expected the published file {name} of {settings.source}, got other bytes at {folder / 'raw' / name}; "
                "delete it, and it is unpacked or downloaded again"
            )
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

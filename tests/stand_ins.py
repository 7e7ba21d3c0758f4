"""Files of the form that the paper's tables need, with made-up images: made for a test, shipped nowhere."""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as Python 2 wrote its `str`, which the published files are full of."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_python2_text(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[str] = dispatch[bytes] = save_python2_text


def write_python2_pickle(path: Path, contents: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(contents)
    path.write_bytes(path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def images_of(labels: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Draw images [N, 32, 32, 3]: an upper and a lower half in the two colours of the class, under blocks of noise.

    Classes differ in colours, which a small network tells apart after a few steps; noise hides those of some rows.
    """
    generator = np.random.default_rng(seed)
    levels = np.stack(np.meshgrid(*[[0.0, 127.5, 255.0]] * 3), -1).reshape(27, 3)  # of red, green and blue
    colours = levels[np.random.default_rng(0).permutation(27)[:20]].reshape(10, 2, 3)
    own = colours[labels]  # [N, 2, 3]
    rows = own[:, [0, 0, 1, 1]][:, :, None].repeat(4, 2)  # [N, 4, 4, 3]
    shares = generator.uniform(0.2, 1, (len(labels), 1, 1, 1))
    blocks = shares * rows + (1 - shares) * generator.uniform(0, 255, rows.shape)
    return np.rint(blocks).astype(np.uint8).repeat(8, 1).repeat(8, 2)


def batch_of(name: str, count: int, seed: int) -> dict[str, Any]:
    """Return what a batch of CIFAR-10 holds: planes of red, green and blue in rows of 3,072 bytes."""
    labels = np.arange(count, dtype=np.int64) % 10
    data = np.ascontiguousarray(images_of(labels, seed).transpose(0, 3, 1, 2)).reshape(count, 3072)
    names = [f"{name}_s_{row:06d}.png" for row in range(count)]
    return {"batch_label": name, "labels": labels.tolist(), "data": data, "filenames": names}


def write_cifar10(folder: Path, batch: int = 40, test: int = 100) -> Path:
    """Write CIFAR-10's seven files with so many rows in each train batch and in the test batch."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(TRAIN):
        write_python2_pickle(folder / name, batch_of(name, batch, seed + 1))
    write_python2_pickle(folder / "test_batch", batch_of("test_batch", test, 7))
    meta = {"num_cases_per_batch": batch, "label_names": NAMES, "num_vis": 3072}
    write_python2_pickle(folder / "batches.meta", meta)
    return folder


def write_generated(path: Path, count: int = 1000) -> Path:
    """Write a set of generated images as Wang et al. 2023 publish theirs: sorted by class, uncompressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.sort(np.arange(count, dtype=np.int64) % 10)
    np.savez(path, image=images_of(labels, 8), label=labels)
    return path


def write_class_tree(path: Path, groups: int, leaves: int) -> list[str]:
    """Write a tree whose root has so many groups of so many classes, and words for all; return the classes."""
    names = [[f"c{group:03}{leaf}" for leaf in range(leaves)] for group in range(groups)]
    lines = [f"root g{group:03}" for group in range(groups)]
    lines += [f"g{group:03} {name}" for group, below in enumerate(names) for name in below]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return [name for below in names for name in below]


def write_words(path: Path, classes: list[str]) -> None:
    """Write a word for each class and for its group."""
    groups = sorted({f"g{name[1:4]}" for name in classes})
    path.write_text("\n".join(f"{node}\tthe {node}, or so" for node in ["root", *groups, *classes]))

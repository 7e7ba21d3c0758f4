"""A digest in front of every HDF5 file: a changed bit is noticed before HDF5 reads the file, which may crash over it.

HDF5 leaves the first bytes of a file to its users. Here they hold one JSON object: the SHA-256 of the rest, and the
spans of bytes that it leaves out. Those are images: they are large, and carry a fingerprint of their own, which is
checked when a pool is put together and when a split is read whole.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

HEAD_BYTES = 1024
_IMAGES = ("images", "encoded")
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_CHUNK = 1 << 20

Span = tuple[int, int]
"""First byte, and the one after the last."""


def seal(path: str | os.PathLike[str]) -> None:
    """Write the digest of a closed HDF5 file into its first bytes, so that a change by another program is noticed.

    Args:
        path: of a file that one of this library's functions made and another program changed on purpose.

    Raises:
        OSError: the file cannot be opened or written.

    Example:
        >>> seal("results/digits/scores/margin/seed0.h5")
    """
    with open_unlocked(path) as hdf5:
        spans = sorted(_image_spans(hdf5))
    with open(path, "r+b") as file:
        head = json.dumps({"digest": _digest(file, spans), "without": spans}).encode()
        file.seek(0)
        file.write(head.ljust(HEAD_BYTES))


def open_unlocked(path: str | os.PathLike[str]) -> h5py.File:
    """Open a finished file for reading without a lock: it never changes, and some disks have no locks.

    Where this process has it open with one, as a user of h5py may, it is opened like that.
    """
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        if "locking flag" not in str(error):
            raise
        return h5py.File(path, "r")


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is as it was sealed; True also for an HDF5 file that never was.

    A process looks at a file once, unless it is written to.
    """
    found = os.stat(path)
    return _is_whole(os.fspath(path), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.lru_cache(maxsize=1024)
def _is_whole(path: str, device: int, number: int, size: int, written: int, changed: int) -> bool:
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
        if head.startswith(_HDF5_SIGNATURE):
            return True
        try:
            found = json.loads(head)
            spans = [(int(first), int(end)) for first, end in found["without"]]
            return _are_inside(spans, Path(path).stat().st_size) and bool(found["digest"] == _digest(file, spans))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return False


def _are_inside(spans: list[Span], size: int) -> bool:
    """Return whether spans follow each other inside a file of this size."""
    edges = [HEAD_BYTES, *(edge for span in spans for edge in span), size]
    return edges == sorted(edges)


def _image_spans(group: h5py.Group) -> Iterator[Span]:
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from _image_spans(item)
        elif name in _IMAGES and isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            yield item.id.get_offset(), item.id.get_offset() + item.id.get_storage_size()


def _digest(file: BinaryIO, spans: list[Span]) -> str:
    """Hash the bytes of a file after its head, but for some spans, and where these are."""
    digest = hashlib.sha256(json.dumps(spans).encode())
    size = Path(file.name).stat().st_size
    starts, ends = [HEAD_BYTES, *(end for _, end in spans)], [*(first for first, _ in spans), size]
    for start, end in zip(starts, ends, strict=True):
        file.seek(start)
        for place in range(start, end, _CHUNK):
            digest.update(file.read(min(_CHUNK, end - place)))
    return digest.hexdigest()

"""Images that are kept as the bytes of their files, and decoded when they are asked for. Imports no torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pumalib.data.decoding import View, decode_into
from pumalib.data.image_readers import BLOCK_BYTES, LazyImages, ask_for_bytes


class FileBytes(Protocol):
    """The bytes of image files, by number; threads read at once."""

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes files have."""

    def sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [N, 2] height and width of images as they are shown, in pixels."""

    def read(self, number: int) -> bytes | memoryview:
        """Return the bytes of a file."""

    def name(self, number: int) -> str:
        """Return what to call it in a message."""

    def ask_for(self, numbers: NDArray[np.int64]) -> None:
        """Say which files are read next."""


@dataclass(frozen=True)
class EncodedImages(LazyImages):
    """Images as the bytes of their files.

    Attributes:
        files: where the bytes are.
        numbers: [N] int64, which of the files.
        view: what is made of them.
    """

    files: FileBytes
    numbers: NDArray[np.int64]
    view: View

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.view.image_shape

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode rows [B] as [B, H, W, C], as many at once as this process has threads."""
        taken = np.empty((len(rows), *self.image_shape), np.uint8)
        numbers = self.numbers[rows]
        self.files.ask_for(numbers)
        is_whole = (self.files.sizes(numbers) == self.view.image_size).all(1)

        def put(place: int) -> None:
            number = int(numbers[place])
            content, name = self.files.read(number), self.files.name(number)
            decode_into(taken[place], content, self.view, name, bool(is_whole[place]))

        in_threads(put, len(rows))
        return taken

    def take(self, rows: NDArray[np.int64]) -> EncodedImages:
        """Return some of the images, none of which is read yet."""
        return EncodedImages(self.files, self.numbers[rows], self.view)

    def with_rows_of(self, other: EncodedImages) -> EncodedImages:
        """Return these images and then those of another one, which are of the same files and view."""
        if other.files is not self.files or other.view != self.view:
            raise ValueError("expected images of the same files and view, got others")
        return EncodedImages(self.files, np.concatenate([self.numbers, other.numbers]), self.view)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[N], bytes of each file."""
        return self.files.lengths(self.numbers)

    @property
    def sizes(self) -> NDArray[np.int32]:
        """[N, 2], height and width of each image as it is shown, in pixels."""
        return self.files.sizes(self.numbers)

    def blocks(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the bytes of all files one after another, in blocks that fit in memory."""
        block: list[NDArray[np.uint8]] = []
        room = BLOCK_BYTES
        for number in self.numbers.tolist():
            block.append(np.frombuffer(self.files.read(number), np.uint8))
            room -= len(block[-1])
            if room <= 0:
                yield np.concatenate(block)
                block, room = [], BLOCK_BYTES
        if block:
            yield np.concatenate(block)


@dataclass(frozen=True)
class MappedBytes:
    """Bytes of files that stand one after another in a file, memory-mapped.

    Attributes:
        content: [bytes] uint8.
        offsets: [N + 1] int64, where each begins, and the last one ends.
        shown: [N, 2] int32, height and width of the images.
        path: of the file, for messages.
    """

    content: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    shown: NDArray[np.int32]
    path: str

    @functools.cached_property
    def _whole(self) -> memoryview:
        """A part of it is there at once, where one of a mapped array takes microseconds."""
        return self.content.data

    @functools.cached_property
    def _places(self) -> NDArray[np.int64]:
        return self.offsets.view(np.ndarray)

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes files have."""
        return np.asarray(self.offsets[numbers + 1] - self.offsets[numbers])

    def sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [N, 2] height and width of images."""
        return np.asarray(self.shown[numbers])

    def read(self, number: int) -> memoryview:
        """Return the bytes of a file."""
        return self._whole[self._places[number] : self._places[number + 1]]

    def name(self, number: int) -> str:
        """Return what to call it in a message."""
        return f"image {number} in {self.path}"

    def ask_for(self, numbers: NDArray[np.int64]) -> None:
        """Let the system read these at once."""
        if isinstance(self.content, np.memmap):
            starts = self.offsets[numbers]
            ask_for_bytes(self.content, starts, self.offsets[numbers + 1] - starts)


def in_threads(work: Callable[[int], object], count: int) -> None:
    """Call with 0, 1, ..., count - 1, in as many threads as this process may use; the first error is raised."""
    threads = num_threads()
    if threads == 1 or count < 2:
        for place in range(count):
            work(place)
        return

    def part(first: int) -> None:
        for place in range(first, count, threads):
            work(place)

    for each in [_executor(threads).submit(part, first) for first in range(threads)]:
        each.result()


def num_threads() -> int:
    """Return how many threads may decode at once: OMP_NUM_THREADS, as Snakemake sets it for a job, or all processors.

    Pixels do not depend on it.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit():
        return max(1, int(said))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "decoding")

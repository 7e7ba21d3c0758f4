"""The content of what a user owns, told cheaply: a file or a folder is read once, and afterwards only looked at.

A digest is that of the bytes and names alone. It does not change with a touch, a copy or a move of the whole folder,
and changes with every byte, name and folder below it. Everything counts, hidden files and empty folders included.
Links are followed. Rights, owners and times do not count.

What was read is remembered per file under size, mtime, ctime and inode. The kernel sets ctime at every write, rename
and change of times, so that content that was put in place with an older mtime is noticed. For each folder there is one
more digest, over names, modes and these four values of all its files: if it is the same, nothing in the folder changed.
A start where nothing changed is one `stat` a file: 29 s with 5,000,000 files; see benchmarks/watched.py.

SHA-256 it is, as everywhere here: with the processor's instructions for it, it runs at 1.5 GB/s, BLAKE2b at 0.5.
"""

from __future__ import annotations

import hashlib
import heapq
import marshal
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from pumalib.errors import ConfigError, DataError
from pumalib.files.reading import Reading, expect_regular, read_file, refusal, status_of, told_in_one_sentence
from pumalib.files.remembered import BLOCK_RECORDS, NO_STATE, Memory, Record, Recorder

FORM = b"puma.watched.1\n"
"""Begins every folder's digest; another number for another form."""

READING_THREADS = 4
"""Twice as fast as one for images of 100 kB on two cores, and no slower for files of 20 bytes; 8 are slower again."""

_FILES_A_TASK = 64
_ENTRIES_AT_ONCE = 128
"""Few enough that Python collects no garbage in between: a tenth faster than 1,024."""
_NAMES_A_RUN = 1 << 16
_REGULAR = stat.S_IFREG >> 12

_fields = attrgetter("st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")


def content_digest(path: str | os.PathLike[str], memory: Path) -> str:
    """Tell the content of a file or folder, reading only what changed since the last time.

    Args:
        path: of the file or folder; a link is followed.
        memory: folder for what was read, made where missing. It may be deleted, shared and used by several processes.

    Returns:
        Hex digest: of a file, the SHA-256 of its bytes, as `sha256sum` prints it; of a folder, the SHA-256 over `FORM`,
        the names and digests of its files, and the names and digests of its folders.

    Raises:
        DataError: nothing is there, or something is neither file nor folder, or a link leads to nothing or in a circle.
        ResourceError: something may not be read.
        ConfigError: the memory is inside of the folder, whose content would change each time.
    """
    place = os.path.realpath(path)
    with told_in_one_sentence(place):
        status = os.stat(place)
    if not stat.S_ISDIR(status.st_mode):
        expect_regular(status.st_mode, place)
        return _digest_of_file(place, Memory(memory)).hex()
    if Path(os.path.realpath(memory)).is_relative_to(place):
        raise ConfigError(
            f"expected a folder outside of {place} to remember its content, got {memory}, which is inside; "
            "watch a folder that holds no results"
        )
    with ThreadPoolExecutor(READING_THREADS) as pool:
        return _digest_of_tree(place, Memory(memory), pool).hex()


def _digest_of_file(place: str, memory: Memory) -> bytes:
    with told_in_one_sentence(place):
        state = _state_of_file(place)
        with memory.recall(place) as kept:
            if kept.state == state:
                return kept.digest
        started = time.time_ns()
        reading = read_file(place)
        is_final = reading.is_final(started) and _state_of_file(place) == state
    if is_final:
        with memory.record(place) as recorder:
            recorder.publish(state, reading.digest)
    return reading.digest


def _state_of_file(place: str) -> bytes:
    return hashlib.sha256(_marshalled([place], [_fields(os.stat(place))])).digest()


@dataclass
class _Level:
    """A folder on the way down: its digest so far, and the folders that are still to be added to it."""

    place: str
    name: bytes
    identity: tuple[int, int]
    folders: list[bytes]
    digest: Any = field(default_factory=lambda: hashlib.sha256(FORM))


def _digest_of_tree(place: str, memory: Memory, pool: ThreadPoolExecutor) -> bytes:
    """Go down and up again without recursion: a tree may be deeper than Python's stack."""
    levels: list[_Level] = []
    name = b""
    while True:
        levels.append(_enter(place, name, levels, memory, pool))
        while not levels[-1].folders:
            done = levels.pop()
            if not levels:
                return bytes(done.digest.digest())
            levels[-1].digest.update(done.name + b"\0" + done.digest.digest())
        name = levels[-1].folders.pop()
        place = os.path.join(levels[-1].place, os.fsdecode(name))


def _enter(place: str, name: bytes, above: list[_Level], memory: Memory, pool: ThreadPoolExecutor) -> _Level:
    with told_in_one_sentence(place), _opened(place) as handle:
        status = os.fstat(handle)
        identity = status.st_dev, status.st_ino
        _expect_new(identity, place, above)
        digest, folders = _digest_of_files(_Folder(place, handle, pool), memory)
    level = _Level(place, name, identity, folders)
    level.digest.update(digest)
    return level


def _expect_new(identity: tuple[int, int], place: str, above: list[_Level]) -> None:
    for level in above:
        if level.identity == identity:
            raise DataError(f"expected folders that end, got a link at {place} back to {level.place}; remove the link")


@contextmanager
def _opened(place: str) -> Iterator[int]:
    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


class _Folder(NamedTuple):
    """An open folder, and who reads its files."""

    place: str
    handle: int
    pool: ThreadPoolExecutor


def _digest_of_files(folder: _Folder, memory: Memory) -> tuple[bytes, list[bytes]]:
    """Tell the files right in a folder, and name its folders, the last one first.

    The state is taken before and after: where both are equal and old enough, it belongs to what was read between.
    """
    seen = _look(folder)
    if not seen.num_files:
        return hashlib.sha256().digest(), seen.folders
    with memory.recall(folder.place) as kept:
        if kept.state == seen.state:
            return kept.digest, seen.folders
        with memory.record(folder.place) as recorder:
            digest, is_final = _read_files(folder, kept.records(), recorder)
            is_final = is_final and _look(folder).state == seen.state
            recorder.publish(seen.state if is_final else NO_STATE, digest)
    return digest, seen.folders


class _Listing(NamedTuple):
    """What a folder lists without reading its files.

    Attributes:
        state: digest over name, type, size, mtime, ctime and inode of its files, in the order of the system.
        folders: names, the last one first.
    """

    state: bytes
    num_files: int
    folders: list[bytes]


def _look(folder: _Folder) -> _Listing:
    digest, folders, num_entries = hashlib.sha256(), [], 0
    with os.scandir(folder.handle) as listing:
        while entries := list(islice(listing, _ENTRIES_AT_ONCE)):
            names = [entry.name for entry in entries]
            rows = [_fields(entry.stat()) for entry in entries]
            for index in [index for index, row in enumerate(rows) if row[0] >> 12 != _REGULAR]:
                _expect_folder(rows[index][0], os.path.join(folder.place, names[index]))
                folders.append(os.fsencode(names[index]))
                rows[index] = ()
            digest.update(_marshalled(names, rows))
            num_entries += len(entries)
    return _Listing(digest.digest(), num_entries - len(folders), sorted(folders, reverse=True))


def _marshalled(names: list[str], rows: list[tuple[int, ...]]) -> bytes:
    """Write without references (version 2), which depend on which objects are one, not on what they hold."""
    return marshal.dumps((names, rows), 2)


def _read_files(folder: _Folder, kept: Iterator[Record], recorder: Recorder) -> tuple[bytes, bool]:
    """Digest a folder's files by name, and record those that are final; also return whether all are."""
    digest, all_final = hashlib.sha256(), True
    started = time.time_ns()
    pairs = _joined(_sorted_names(folder.handle), kept)
    while block := list(islice(pairs, BLOCK_RECORDS)):
        readings = _read_block(folder, block)
        for reading in readings:
            digest.update(reading.name + b"\0" + reading.digest)
        final = [reading for reading in readings if reading.is_final(started)]
        all_final = all_final and len(final) == len(readings)
        recorder.add([Record(reading.name, reading.status, reading.digest) for reading in final])
    return digest.digest(), all_final


def _sorted_names(handle: int) -> Iterator[bytes]:
    """Yield the names in a folder, sorted as bytes; held meanwhile as packed runs, not as objects."""
    runs = []
    with os.scandir(handle) as listing:
        names = (os.fsencode(entry.name) for entry in listing)
        while run := sorted(islice(names, _NAMES_A_RUN)):
            runs.append(b"/".join([*run, b""]))
    return heapq.merge(*map(_unpacked, runs))


def _unpacked(run: bytes) -> Iterator[bytes]:
    start = 0
    while (end := run.find(b"/", start)) >= 0:
        yield run[start:end]
        start = end + 1


def _joined(names: Iterator[bytes], kept: Iterator[Record]) -> Iterator[tuple[bytes, Record | None]]:
    """Pair each name with what is remembered of it; both come sorted."""
    record = next(kept, None)
    for name in names:
        while record is not None and record.name < name:
            record = next(kept, None)
        yield name, record if record is not None and record.name == name else None


def _read_block(folder: _Folder, block: list[tuple[bytes, Record | None]]) -> list[Reading]:
    """Look at files, and read those that are not remembered as they are now; leave out folders."""
    readings: dict[bytes, Reading] = {}
    unknown = []
    for name, record in block:
        status = os.stat(name, dir_fd=folder.handle)
        if record is not None and record.status == status_of(status):
            readings[name] = Reading(*record, is_steady=True)
        elif not stat.S_ISDIR(status.st_mode):
            unknown.append(name)
    readings.update((reading.name, reading) for reading in _read_in_threads(folder, unknown))
    return [readings[name] for name, _ in block if name in readings]


def _read_in_threads(folder: _Folder, names: list[bytes]) -> list[Reading]:
    """Read files; after an error or Ctrl-C no further ones, and none is read once the folder is closed."""
    size = max(1, min(_FILES_A_TASK, len(names) // (4 * READING_THREADS)))
    slices = [names[first : first + size] for first in range(0, len(names), size)]
    tasks = [folder.pool.submit(_read_some, folder, some) for some in slices]
    try:
        wait(tasks, return_when=FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        wait(tasks)
    return [reading for task in tasks for reading in task.result()]


def _read_some(folder: _Folder, names: list[bytes]) -> list[Reading]:
    readings = []
    for name in names:
        place = os.path.join(folder.place, os.fsdecode(name))
        try:
            readings.append(read_file(place, name, folder.handle))
        except OSError as error:
            raise refusal(error, place) from error
    return readings


def _expect_folder(mode: int, place: str) -> None:
    if not stat.S_ISDIR(mode):
        expect_regular(mode, place)

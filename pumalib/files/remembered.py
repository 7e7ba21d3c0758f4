"""What was read once and need not be read again: digests of files, kept on disk under what `stat` says of each file.

A memory file holds a head and blocks. The head says which digest belongs to which state of a whole folder, so that an
unchanged folder costs the reading of 112 bytes. The blocks hold one record a file, sorted by name, and are streamed:
memory does not grow with the folder. Head and blocks each carry a checksum. What fails it counts as not remembered.
Files are replaced whole, so that several processes can use one memory at once; the last one's records stay.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

BLOCK_RECORDS = 4096
NO_STATE = bytes(32)
"""State that no folder has: its records may be used, its digest may not."""

_MAGIC = b"puma.memory.v1\r\n"
_HEAD_BYTES = len(_MAGIC) + 3 * 32
_BLOCK = struct.Struct("<II32s")
_RECORD = struct.Struct("<QQQQ32s")
_LONGEST_NAME = 1024
_FORGOTTEN_PART_SECONDS = 86_400

_log = logging.getLogger(__name__)


class Status(NamedTuple):
    """What tells a changed file without reading it, in 64 bits each: no write leaves all four as they were."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Record(NamedTuple):
    """Digest of one file's bytes, and the status that it had before and after it was read."""

    name: bytes
    status: Status
    digest: bytes


class Remembered:
    """What one memory file holds; empty where there is none, or a damaged or foreign one.

    Attributes:
        state: that `digest` belongs to; `NO_STATE`: of none.
        digest: of the content.
    """

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file
        self.state, self.digest = NO_STATE, b""
        head = _read(file, _HEAD_BYTES)
        if head[-32:] == _checksum(head[:-32]) and head.startswith(_MAGIC):
            self.state, self.digest = head[-96:-64], head[-64:-32]
        else:
            self._file = None

    def records(self) -> Iterator[Record]:
        """Yield the records by name, up to the first damaged block; once."""
        while block := _read(self._file, _BLOCK.size):
            if len(block) < _BLOCK.size:
                return
            count, names_size, checksum = _BLOCK.unpack(block)
            if count > BLOCK_RECORDS or names_size > BLOCK_RECORDS * _LONGEST_NAME:
                return
            body = _read(self._file, count * _RECORD.size + names_size)
            if _checksum(block[:8] + body) != checksum:
                return
            split = count * _RECORD.size
            for name, row in zip(body[split:].split(b"\0"), _RECORD.iter_unpack(body[:split]), strict=True):
                yield Record(name, Status(*row[:4]), row[4])


def _read(file: BinaryIO | None, size: int) -> bytes:
    if file is None:
        return b""
    try:
        return file.read(size) or b""
    except OSError:
        return b""


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


class Recorder:
    """A memory file in the making; gives up silently, with `error` set, where it cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
        self._file: BinaryIO | None = None
        self.error: OSError | None = None

    def add(self, records: Sequence[Record]) -> None:
        """Write up to `BLOCK_RECORDS` records, sorted by name and after those before."""
        if records:
            self._write(_encoded(records))

    def publish(self, state: bytes, digest: bytes) -> None:
        """Put the file in its place, with the digest of a state; nothing can be added afterwards."""
        head = _MAGIC + state + digest
        self._write(b"")
        try:
            if self._file is not None and self.error is None:
                self._file.seek(0)
                self._file.write(head + _checksum(head))
                self._file.close()
                os.replace(self._part, self._path)
        except OSError as error:
            self.error = error

    def publish_if_more(self) -> None:
        """Put an unfinished file in its place, without a state, if it is larger than what is there."""
        try:
            size = self._path.stat().st_size if self._path.exists() else 0
            if self._file is not None and self._file.tell() > size:
                self.publish(NO_STATE, bytes(32))
        except OSError as error:
            self.error = error

    def discard(self) -> None:
        """Remove what was not published."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink()

    def _write(self, content: bytes) -> None:
        if self.error is not None:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self._part, "xb")  # noqa: SIM115 closed by publish or discard
                self._file.write(bytes(_HEAD_BYTES))
            self._file.write(content)
        except OSError as error:
            self.error = error


def _encoded(records: Sequence[Record]) -> bytes:
    rows = b"".join([_RECORD.pack(*status, digest) for _, status, digest in records])
    names = b"\0".join([name for name, _, _ in records])
    sizes = struct.pack("<II", len(records), len(names))
    return sizes + _checksum(sizes + rows + names) + rows + names


class Memory:
    """A folder of memory files, one for each watched file or folder; made where missing.

    Where it cannot be written, nothing is remembered, and one warning says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._has_warned = False
        self._clear_forgotten_parts()

    @contextmanager
    def recall(self, place: str) -> Iterator[Remembered]:
        """Open what is remembered of a place: nothing where its file is missing or cannot be used."""
        with ExitStack() as stack:
            file = None
            with suppress(OSError):
                file = stack.enter_context(open(self._path(place), "rb", opener=_open_without_waiting))
            yield Remembered(file)

    @contextmanager
    def record(self, place: str) -> Iterator[Recorder]:
        """Write what is to be remembered of a place; it counts once it is published.

        What an error interrupts is published too, if it is more than there was: the next reading goes on from there.
        """
        recorder = Recorder(self._path(place))
        try:
            yield recorder
        except BaseException:
            recorder.publish_if_more()
            raise
        finally:
            recorder.discard()
            self._warn_once(recorder.error)

    def _path(self, place: str) -> Path:
        return self.folder / hashlib.sha256(os.fsencode(place)).hexdigest()

    def _warn_once(self, error: OSError | None) -> None:
        if error is not None and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "expected to write %s, got: %s; files are read again at each start until you make room there, or "
                "change the owner or permissions",
                self.folder,
                error.strerror,
            )

    def _clear_forgotten_parts(self) -> None:
        """Remove what processes that were killed more than a day ago left half-written."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".part") and entry.stat().st_mtime < time.time() - _FORGOTTEN_PART_SECONDS:
                    os.unlink(entry.path)


def _open_without_waiting(path: str, flags: int) -> int:
    """Open also a FIFO at once: somebody's FIFO in our place must not hang us."""
    return os.open(path, flags | os.O_NONBLOCK)

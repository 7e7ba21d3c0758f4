"""Where image files are: in a folder, or in a tar file, which is read as it is. Paths are relative, with slashes."""

from __future__ import annotations

import functools
import os
import posixpath
import tarfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError


class Entry(NamedTuple):
    """What stands in a folder.

    Attributes:
        name: in its folder.
        kind: `folder`, `file` or `other`.
    """

    name: str
    kind: str


class Place(ABC):
    """A folder, or a tar file that holds one."""

    @abstractmethod
    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield what stands in a folder, in the order of the disk.

        Raises:
            OSError: no such folder.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            OSError: it cannot be read.
        """

    @abstractmethod
    def length(self, path: str) -> int:
        """Return how many bytes a file has.

        Raises:
            OSError: there is none.
        """

    @abstractmethod
    def ask_for(self, paths: list[str]) -> None:
        """Let the system read these files at once."""

    def has_folder(self, folder: str) -> bool:
        """Return whether there is such a folder."""
        try:
            next(self.entries(folder), None)
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class FolderPlace(Place):
    """A folder of the disk."""

    root: Path

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield what stands in a folder."""
        with os.scandir(self.root / folder) as scanned:
            for entry in scanned:
                kind = "folder" if entry.is_dir() else "file" if entry.is_file() else "other"
                yield Entry(entry.name, kind)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        return (self.root / path).read_bytes()

    def length(self, path: str) -> int:
        """Return how many bytes a file has."""
        return (self.root / path).stat().st_size

    def ask_for(self, paths: list[str]) -> None:
        """Do nothing: the system looks ahead in a file by itself."""


class TarPlace(Place):
    """A tar file, which is not compressed; its list of files is read once.

    Where all of it is in one folder, as most are packed, paths are those below that folder. Links to files in it are
    those files.

    Raises:
        DataError: no such file, a compressed or a damaged one, or several in one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spans: dict[str, tuple[int, int]] = {}
        self._folders: dict[str, dict[str, str]] = {"": {}}
        self._links: dict[str, str] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    self._add(member)
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                _expect_end(path, tar.offset)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(
                f"expected a whole tar file that is not compressed at {path}, got: {error}; unpack a compressed one, "
                "or pack it anew"
            ) from None
        self._follow_links()
        (name, kind), *others = [*self._folders[""].items(), ("", "")][:2]
        self._top = name if kind == "folder" and not any(other for other, _ in others) else ""
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def _add(self, member: tarfile.TarInfo) -> None:
        path = _plain(member.name)
        if not path:
            return
        kind = "folder" if member.isdir() else "file" if member.isreg() and not member.issparse() else "other"
        folder = _folder_of(path)
        self._make(folder)[PurePosixPath(path).name] = kind
        if kind == "folder":
            self._make(path)
        elif kind == "file":
            self._spans[path] = member.offset_data, member.size
        elif member.islnk():
            self._links[path] = _plain(member.linkname)
        elif member.issym():
            self._links[path] = posixpath.normpath(posixpath.join(folder, member.linkname))

    def _follow_links(self) -> None:
        """Take links for the files that they lead to, in one step or in several."""
        for path in self._links:
            target, seen = path, set[str]()
            while target in self._links and target not in seen:
                seen.add(target)
                target = self._links[target]
            if target in self._spans:
                self._spans[path] = self._spans[target]
                self._folders[_folder_of(path)][PurePosixPath(path).name] = "file"

    def _make(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            self._make(_folder_of(folder))[PurePosixPath(folder).name] = "folder"
            self._folders[folder] = {}
        return self._folders[folder]

    def entries(self, folder: str) -> Iterator[Entry]:
        """Yield what stands in a folder."""
        known = self._folders.get(self._full(folder))
        if known is None:
            raise FileNotFoundError(2, "No such folder", f"{self._path}:{folder}")
        for name, kind in known.items():
            yield Entry(name, kind)

    def read(self, path: str) -> bytes:
        """Return the bytes of a file."""
        start, length = self._span(path)
        content = os.pread(self._file, length, start)
        while len(content) < length:
            more = os.pread(self._file, length - len(content), start + len(content))
            if not more:
                raise OSError(5, "The tar file ends before this file does", f"{self._path}:{path}")
            content += more
        return content

    def length(self, path: str) -> int:
        """Return how many bytes a file has."""
        return self._span(path)[1]

    def _span(self, path: str) -> tuple[int, int]:
        full = self._full(path)
        if full not in self._spans:
            raise FileNotFoundError(2, "No such file", f"{self._path}:{path}")
        return self._spans[full]

    def _full(self, path: str) -> str:
        return "/".join(part for part in (self._top, path) if part)

    def ask_for(self, paths: list[str]) -> None:
        """Let the system read these files at once."""
        for path in paths if hasattr(os, "posix_fadvise") else ():
            start, length = self._span(path)
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)


_BLOCK = 512


def _expect_end(path: Path, offset: int) -> None:
    """Refuse a tar file that does not end where its last member does: `tarfile` stops there without a word.

    Raises:
        OSError: no block of zeros there, or anything else after it.
    """
    with path.open("rb") as file:
        file.seek(offset)
        length = 0
        while block := file.read(_BLOCK * 2048):
            length += len(block)
            if block.strip(b"\0"):
                raise OSError(f"a damaged member at byte {offset}, or another tar file there")
    if length < _BLOCK:
        raise OSError(f"it ends early, at byte {offset + length}")


def _plain(name: str) -> str:
    path = str(PurePosixPath(name.lstrip("/")))
    return "" if path == "." else path


def _folder_of(path: str) -> str:
    parent = str(PurePosixPath(path).parent)
    return "" if parent == "." else parent


def place_at(path: Path) -> Place:
    """Return the folder or the tar file at a path.

    Raises:
        DataError: a file that is no plain tar file.
    """
    if not path.is_file():
        return FolderPlace(path)
    found = path.stat()
    return _tar_at(path, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@functools.lru_cache(maxsize=4)
def _tar_at(path: Path, number: int, size: int, written: int, changed: int) -> TarPlace:
    """A process reads the list of a tar file once: of millions it takes minutes."""
    return TarPlace(path)


@dataclass(frozen=True)
class SeenFiles:
    """What was found in files; they must not change while they are read again.

    Attributes:
        lengths: [N] int64, bytes of each.
        checksums: [N] uint32, CRC-32 of each.
        sizes: [N, 2] int32, height and width of each as it is shown; 0 of those that cannot be read.
    """

    lengths: NDArray[np.int64]
    checksums: NDArray[np.uint32]
    sizes: NDArray[np.int32]


@dataclass(frozen=True)
class PlacedFiles:
    """Files of a place, by number.

    Attributes:
        place: where they are.
        root: path of it, for messages.
        paths: of each below it.
        seen: what was found in each; None: they were not looked at.
    """

    place: Place
    root: Path
    paths: list[str]
    seen: SeenFiles | None = None

    def read(self, number: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            DataError: it cannot be read, or is another one than was looked at.
        """
        try:
            content = self.place.read(self.paths[number])
        except OSError as error:
            raise DataError(f"expected to read {self.name(number)}, got: {error.strerror}") from None
        if self.seen is not None and zlib.crc32(content) != int(self.seen.checksums[number]):
            raise DataError(
                f"expected {self.name(number)} to stay as it was while the dataset is made, got other bytes; "
                "run the same command again"
            )
        return content

    def lengths(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes files have that were looked at."""
        assert self.seen is not None
        return self.seen.lengths[numbers]

    def sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return [N, 2] height and width of images that were looked at."""
        assert self.seen is not None
        return self.seen.sizes[numbers]

    def checksums(self, numbers: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the CRC-32 of files that were looked at."""
        assert self.seen is not None
        return self.seen.checksums[numbers]

    def name(self, number: int) -> str:
        """Return what to call a file in a message."""
        return str(self.root / self.paths[number])

    def ask_for(self, numbers: NDArray[np.int64]) -> None:
        """Let the system read these files at once."""
        self.place.ask_for([self.paths[number] for number in numbers.tolist()])

"""One file that others may write to: its digest, whether it can be trusted, and errors of the system in a sentence."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from pumalib.errors import DataError, PumaError, ResourceError
from pumalib.files.remembered import Status

RACY_NS = 2_000_000_000
"""Age in nanoseconds from which a ctime is trusted: a younger file may change again within one tick of its clock."""

_READ_BYTES = 1 << 20
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Reading(NamedTuple):
    """Digest of a file's bytes.

    Attributes:
        is_steady: the file had one status before and after.
    """

    name: bytes
    status: Status
    digest: bytes
    is_steady: bool

    def is_final(self, started: int) -> bool:
        """Return whether any later write will show in the status; ``started``: nanoseconds, before reading."""
        return self.is_steady and self.status.ctime_ns < started - RACY_NS


def read_file(place: str, name: bytes = b"", handle: int | None = None) -> Reading:
    """Digest a regular file, named in an open folder or by its place; never wait for a FIFO that took its place."""
    descriptor = os.open(name or place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
    try:
        before = os.fstat(descriptor)
        expect_regular(before.st_mode, place)
        digest = hashlib.sha256()
        for block in iter(partial(os.read, descriptor, min(_READ_BYTES, before.st_size + 1)), b""):
            digest.update(block)
        after = status_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    return Reading(name, after, digest.digest(), after == status_of(before))


def status_of(status: os.stat_result) -> Status:
    """Keep what tells a change, each in 64 bits: a time before 1970 or after 2262 has no place in a signed number."""
    return Status(status.st_size, status.st_mtime_ns % 2**64, status.st_ctime_ns % 2**64, status.st_ino)


def expect_regular(mode: int, place: str) -> None:
    """Refuse what has no content.

    Raises:
        DataError: it is a FIFO, a socket or a device.
    """
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise DataError(f"expected files and folders, got {kind} at {place}; remove it, or name another folder")


@contextmanager
def told_in_one_sentence(place: str) -> Iterator[None]:
    """Turn an error of the system, at ``place`` or below it, into one sentence."""
    try:
        yield
    except OSError as error:
        name = error.filename if isinstance(error.filename, str | bytes) else ""
        raise refusal(error, os.path.join(place, os.fsdecode(name)) if name else place) from error


def refusal(error: OSError, place: str) -> PumaError:
    """Return the sentence for an error of the system at a place."""
    if isinstance(error, PermissionError):
        return ResourceError(f"expected to read {place}, got: {error.strerror}; change its owner or permissions")
    if not isinstance(error, FileNotFoundError):
        return DataError(f"expected to read {place}, got: {error.strerror}; mend or remove it")
    if os.path.islink(place):
        return DataError(f"expected a file or folder at {place}, got a link to nothing; mend or remove the link")
    return DataError(f"expected a file or folder at {place}, found nothing there; put it there, and start again")

"""Writing of a whole folder, at once or not at all."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pumalib.errors import ResourceError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give an empty folder beside ``path``; move it into place on success, remove it on failure.

    Its files are not flushed one by one: a machine that loses power right after may lose them.

    Args:
        path: of the folder; nothing is there yet.

    Raises:
        ResourceError: it cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            shutil.rmtree(left)
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ResourceError(
            f"expected to write {target}, got: {error.strerror}; change the owner, permissions or mount of "
            f"{target.parent}, or make room there"
        ) from error
    try:
        yield temporary
        temporary.rename(target)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise ResourceError(
            f"expected room for {target}, got a full disk or quota; make room, and run the same command again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

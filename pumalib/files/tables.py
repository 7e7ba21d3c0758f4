"""CSV tables, each with a checksum in a hidden file beside it: a table that was cut short or changed is refused.

The checksum has the form of `sha256sum`, so that `sha256sum --check` reads it. A table without one is not checked.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import write_text


def write_table(path: str | Path, text: str) -> None:
    """Write a table, whole or not at all, and then its checksum."""
    target = Path(path)
    write_text(target, text)
    write_text(checksum_path(target), f"{_sha256(text.encode())}  {target.name}\n")


def read_table(path: str | Path, what: str = "a table") -> str:
    """Read a table as text.

    Args:
        path: of the table.
        what: it holds, for the message where there is none.

    Raises:
        ArtifactError: missing, not text, or other bytes than were written.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        raise ArtifactError(f"expected {what} at {path}, got a folder, FIFO or device")
    try:
        content = target.read_bytes()
    except OSError as error:
        raise ArtifactError(f"expected {what} at {path}, got: {error.strerror}") from None
    if not is_as_written(target, content):
        raise ArtifactError(
            f"expected the table {path} as it was written, got one that was changed or cut short; "
            "delete it and run again"
        )
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a mark in front
    except UnicodeDecodeError as error:
        raise ArtifactError(f"expected a table in UTF-8 at {path}, got: {error}") from None


def is_as_written(path: Path, content: bytes) -> bool:
    """Return whether the bytes of a table fit its checksum; True also where there is none."""
    checksum = checksum_path(path)
    return not checksum.is_file() or checksum.read_bytes().split()[:1] == [_sha256(content).encode()]


def checksum_path(path: Path) -> Path:
    """Return where the checksum of a table is."""
    return path.with_name(f".{path.name}.sha256")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
